"""The calculus of a Value: slopes by the chain rule."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import microgpt
from microgpt import Value, dot, gradients

# ------------------------------------------------------------------ the calculus of a Value


Function = Callable[..., Value]

FUNCTIONS: dict[str, Function] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, _: -x,
    "x ** 2": lambda x, _: x**2,
    "x ** -0.5": lambda x, _: x**-0.5,
    "log x": lambda x, _: x.log(),
    "exp x": lambda x, _: x.exp(),
    "x + 3": lambda x, _: x + 3,
    "3 + x": lambda x, _: 3 + x,
    "x - 3": lambda x, _: x - 3,
    "3 - x": lambda x, _: 3 - x,
    "x * 3": lambda x, _: x * 3,
    "3 * x": lambda x, _: 3 * x,
    "x / 3": lambda x, _: x / 3,
    "3 / x": lambda x, _: 3 / x,
    "dot([x, y, x], [y, y, x])": lambda x, y: dot([x, y, x], [y, y, x]),
    "x twice, in two ways": lambda x, y: (x * y + x) * x.exp() / (x + y),
}
PLAIN: dict[str, Callable[[float, float], float]] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, _: -x,
    "x ** 2": lambda x, _: x * x,
    "x ** -0.5": lambda x, _: 1 / math.sqrt(x),
    "log x": lambda x, _: math.log(x),
    "exp x": lambda x, _: math.exp(x),
    "x + 3": lambda x, _: x + 3,
    "3 + x": lambda x, _: 3 + x,
    "x - 3": lambda x, _: x - 3,
    "3 - x": lambda x, _: 3 - x,
    "x * 3": lambda x, _: x * 3,
    "3 * x": lambda x, _: 3 * x,
    "x / 3": lambda x, _: x / 3,
    "3 / x": lambda x, _: 3 / x,
    "dot([x, y, x], [y, y, x])": lambda x, y: 2 * x * y - x * y + y * y + x * x,
    "x twice, in two ways": lambda x, y: (x * y + x) * math.exp(x) / (x + y),
}
positive = st.floats(0.1, 4.0)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=positive, y=positive)
def test_a_function_and_its_slopes(name: str, x: float, y: float) -> None:
    """The number is the one that plain floats give; the slopes are central differences of it."""
    function, plain = FUNCTIONS[name], PLAIN[name]
    a, b = Value(x), Value(y)
    result = function(a, b)
    result.backward()
    assert result.data == pytest.approx(plain(x, y), rel=1e-12, abs=1e-12)
    step = 1e-5
    slope_x = (plain(x + step, y) - plain(x - step, y)) / (2 * step)
    slope_y = (plain(x, y + step) - plain(x, y - step)) / (2 * step)
    assert a.grad == pytest.approx(slope_x, rel=1e-6, abs=1e-6)
    assert b.grad == pytest.approx(slope_y, rel=1e-6, abs=1e-6)


@given(st.floats(-5, 5))
@example(0.0)
@example(-0.0)
def test_relu(x: float) -> None:
    a = Value(x)
    result = a.relu()
    result.backward()
    assert (result.data, a.grad) == ((x, 1.0) if x > 0 else (0.0, 0.0))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=8))
def test_dot_is_a_sum_of_products_from_left_to_right(pairs: list[tuple[float, float]]) -> None:
    xs, ys = [Value(x) for x, _ in pairs], [Value(y) for _, y in pairs]
    result = dot(xs, ys)
    result.backward()
    expected = pairs[0][0] * pairs[0][1]
    for x, y in pairs[1:]:
        expected = expected + x * y
    assert result.data == expected
    assert [x.grad for x in xs] == [y for _, y in pairs]
    assert [y.grad for y in ys] == [x for x, _ in pairs]


def test_a_dot_rounds_as_single_additions_do() -> None:
    """1e16 + 1 is 1e16 again; a sum that carries a correction along would give 2."""
    ones = [Value(1.0)] * 4
    assert dot([Value(x) for x in (1e16, 1.0, 1.0, -1e16)], ones).data == 0.0


def test_a_value_used_several_times_collects_the_slope_of_each_use() -> None:
    x = Value(3.0)
    (x + x * x + x).backward()
    assert x.grad == 2 + 2 * 3.0


def test_backward_adds_to_the_slopes_that_are_there() -> None:
    x = Value(3.0)
    (x * 2).backward()
    (x * 5).backward()
    assert x.grad == 7.0


def test_a_shared_value_passes_its_whole_slope_on() -> None:
    """The diamond: a naive walk would visit `shared` before its second parent has been."""
    x = Value(2.0)
    shared = x * x
    ((shared + 1) * shared + shared).backward()
    assert shared.grad == 2 * 4.0 + 2
    assert x.grad == shared.grad * 4.0


def test_a_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    total = x
    for _ in range(50_000):
        total = total + x
    total.backward()
    assert (total.data, x.grad) == (50_001.0, 50_001.0)
    assert gradients(total)[x] == 50_001.0


def test_gradients_are_those_of_backward_and_change_nothing() -> None:
    rng = random.Random(1)
    model = microgpt.new_model(["samos", "ithaka", "chios"], rng)
    cache: microgpt.Cache = [([], []) for _ in range(microgpt.N_LAYER)]
    logits = [microgpt.gpt(model, token, t, cache) for t, token in enumerate([model.bos, 3, 1])]
    loss = -microgpt.softmax(logits[-1])[2].log()
    numbers = [value.data for value in loss.ancestry()]

    found = gradients(loss)

    values = loss.ancestry()
    assert all(value.grad == 0.0 for value in values)
    assert [value.data for value in values] == numbers
    assert found.keys() == set(values)
    loss.backward()
    assert {value: value.grad for value in values} == found
    assert any(found[p] for p in model.parameters if p in found)

"""Autograd on `Value`s."""

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
def test_functions_and_their_gradients(name: str, x: float, y: float) -> None:
    """Compare with floats, and the gradients with central differences."""
    function, plain = FUNCTIONS[name], PLAIN[name]
    a, b = Value(x), Value(y)
    result = function(a, b)
    grads = gradients(result)
    assert result.data == pytest.approx(plain(x, y), rel=1e-12, abs=1e-12)
    step = 1e-5
    slope_x = (plain(x + step, y) - plain(x - step, y)) / (2 * step)
    slope_y = (plain(x, y + step) - plain(x, y - step)) / (2 * step)
    assert grads[a] == pytest.approx(slope_x, rel=1e-6, abs=1e-6)
    assert grads.get(b, 0.0) == pytest.approx(slope_y, rel=1e-6, abs=1e-6)


@given(st.floats(-5, 5))
@example(0.0)
@example(-0.0)
def test_relu(x: float) -> None:
    a = Value(x)
    result = a.relu()
    assert (result.data, gradients(result)[a]) == ((x, 1.0) if x > 0 else (0.0, 0.0))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=8))
def test_dot_is_a_sum_of_products_from_left_to_right(pairs: list[tuple[float, float]]) -> None:
    xs, ys = [Value(x) for x, _ in pairs], [Value(y) for _, y in pairs]
    result = dot(xs, ys)
    grads = gradients(result)
    expected = pairs[0][0] * pairs[0][1]
    for x, y in pairs[1:]:
        expected = expected + x * y
    assert result.data == expected
    assert [grads[x] for x in xs] == [y for _, y in pairs]
    assert [grads[y] for y in ys] == [x for x, _ in pairs]


def test_a_dot_rounds_as_single_additions_do() -> None:
    """1e16 + 1 is 1e16 again; a sum that carries a correction along would give 2."""
    ones = [Value(1.0)] * 4
    assert dot([Value(x) for x in (1e16, 1.0, 1.0, -1e16)], ones).data == 0.0


def test_gradients_of_a_value_used_several_times_add_up() -> None:
    x = Value(3.0)
    assert gradients(x + x * x + x)[x] == 2 + 2 * 3.0


def test_the_gradients_of_results_add_up_to_that_of_their_sum() -> None:
    """`gradients` accumulates nothing between two calls."""
    x = Value(3.0)
    double, fivefold = x * 2, x * 5
    assert gradients(double)[x] == 2.0
    assert gradients(fivefold)[x] == 5.0
    assert gradients(double + fivefold)[x] == 7.0


def test_a_shared_value_propagates_its_complete_gradient() -> None:
    """A diamond: in a wrong order, `shared` would be processed before its second parent."""
    x = Value(2.0)
    shared = x * x
    grads = gradients((shared + 1) * shared + shared)
    assert grads[shared] == 2 * 4.0 + 2
    assert grads[x] == grads[shared] * 4.0


def test_a_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    total = x
    for _ in range(50_000):
        total = total + x
    assert (total.data, gradients(total)[x]) == (50_001.0, 50_001.0)


def test_children_come_before_their_parents() -> None:
    x, y = Value(2.0), Value(3.0)
    root = (x * y + x).exp() + y
    seen: set[Value] = set()
    for value in gradients(root):
        assert seen.issuperset(value.children)
        seen.add(value)
    assert len(seen) == 6
    assert value is root


def loss_of(model: microgpt.Model, tokens: list[int]) -> Value:
    """Return −log p of the last token, given the tokens before it."""
    *_, logits = microgpt.gpt(model, tokens[:-1])
    return -microgpt.softmax(logits)[tokens[-1]].log()


def test_the_models_gradients_are_central_differences_and_change_nothing() -> None:
    model = microgpt.Model(["samos", "ithaka", "chios"], random.Random(1))
    tokens = [model.bos, 3, 1, 2]
    loss = loss_of(model, tokens)
    before = [(value, value.data, value.children, value.local_grads) for value in gradients(loss)]

    grads = gradients(loss)

    after = [(value, value.data, value.children, value.local_grads) for value in gradients(loss)]
    assert after == before
    assert gradients(loss) == grads
    parts = [p for p in model.parameters if p in grads]
    assert len(parts) > len(model.parameters) / 2
    step = 1e-6
    for p in parts[:: len(parts) // 40]:
        number = p.data
        p.data = number + step
        up = loss_of(model, tokens).data
        p.data = number - step
        down = loss_of(model, tokens).data
        p.data = number
        assert grads[p] == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-8)

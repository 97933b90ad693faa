from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anexa.errors import AnexaError, UsageError
from anexa.graph.expression import evaluate_expression, read_values
from microgpt import gradients

Numbers = dict[str, float]


@dataclass(frozen=True)
class Term:
    """A piece of an expression, and what Python's own floats make of it."""

    text: str
    value: Callable[[Numbers], float]


def binary(pair: tuple[Term, Term], symbol: str) -> Term:
    left, right = pair

    def value(numbers: Numbers) -> float:
        a, b = left.value(numbers), right.value(numbers)
        return {"+": a + b, "-": a - b, "*": a * b}[symbol] if symbol != "/" else a / b

    return Term(f"({left.text} {symbol} {right.text})", value)


def unary(term: Term, form: str) -> Term:
    functions: dict[str, Callable[[float], float]] = {
        "-{}": lambda x: -x,
        "({}).log()": math.log,
        "({}).exp()": math.exp,
        "({}).relu()": lambda x: max(0.0, x),
        "({})**3": lambda x: x**3,
        "({})**-2": lambda x: x**-2,
    }
    return Term(form.format(term.text), lambda numbers: functions[form](term.value(numbers)))


def named(name: str) -> Term:
    return Term(name, lambda numbers: numbers[name])


def constant(x: float) -> Term:
    return Term(repr(x), lambda _: x)


TERMS = st.recursive(
    st.sampled_from("abc").map(named) | st.floats(0.25, 4).map(constant),
    lambda inner: (
        st.builds(binary, st.tuples(inner, inner), st.sampled_from("+-*/"))
        | st.builds(
            unary,
            inner,
            st.sampled_from(
                ["-{}", "({}).log()", "({}).exp()", "({}).relu()", "({})**3", "({})**-2"]
            ),
        )
    ),
    max_leaves=8,
)
NUMBERS = st.fixed_dictionaries(dict.fromkeys("abc", st.floats(-3, 3)))


def used(term: Term, numbers: Numbers) -> Numbers:
    return {name: x for name, x in numbers.items() if name in term.text.replace("exp", "")}


@given(TERMS, NUMBERS)
def test_results_equal_those_of_python(term: Term, numbers: Numbers) -> None:
    try:
        expected = term.value(numbers)
    except (ArithmeticError, ValueError):
        with pytest.raises(AnexaError):
            evaluate_expression(term.text, used(term, numbers))
        return
    try:
        root, _ = evaluate_expression(term.text, used(term, numbers))
    except AnexaError:
        return  # a slope has no value where the result has one
    # A quotient is a product with a power: the last bits differ.
    scale = max(abs(node.data) for node in gradients(root))
    assert root.data == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale) or scale > 1e100


@given(TERMS, NUMBERS)
def test_gradients_equal_central_differences(term: Term, numbers: Numbers) -> None:
    try:
        root, names = evaluate_expression(term.text, used(term, numbers))
    except AnexaError:
        assume(False)
    grads = gradients(root)
    for node, name in names.items():
        if node.children or name not in numbers:
            continue
        slopes = []
        for h in (1e-5, 1e-6):
            try:
                up = term.value({**numbers, name: numbers[name] + h})
                down = term.value({**numbers, name: numbers[name] - h})
            except (ArithmeticError, ValueError):
                assume(False)
            slopes.append((up - down) / (2 * h))
            # Where differences are rounding, or a relu bends nearby, they say nothing.
            assume(all(abs(x) < 1e6 for x in (up, down)))
        assume(all(abs(x.data) < 1e4 for x in gradients(root)))
        assume(slopes[0] == pytest.approx(slopes[1], rel=1e-4, abs=1e-4))
        assume(abs(numbers[name]) > 1e-4)
        assume(all(abs(v.data) > 1e-3 or not v.children for v in gradients(root)))
        assert grads[node] == pytest.approx(slopes[0], rel=1e-2, abs=1e-2)


def test_every_operation_is_named() -> None:
    root, names = evaluate_expression("a - b/c", {"a": 1, "b": 2, "c": 4})
    assert root.data == 0.5
    titles = [names.get(node, "") for node in gradients(root)]
    assert sorted(titles) == sorted(["a", "b", "c", "** −1", "×", "", "×", "+"])


def test_variable_is_one_node() -> None:
    root, names = evaluate_expression("a*a + a", {"a": 3})
    (a,) = [node for node, name in names.items() if name == "a"]
    assert len(gradients(root)) == 3
    assert gradients(root)[a] == 7


def test_expression_without_variables_is_computed() -> None:
    root, names = evaluate_expression("2*3 + 4", {})
    assert (root.data, root.children, names) == (10, (), {})
    assert evaluate_expression("(2).exp()", {})[0].data == math.exp(2)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "().__class__",
        "a.b",
        "a.__class__",
        "a.data",
        "lambda: 0",
        "9**9**9**9",
        "(" * 10_000 + "a" + ")" * 10_000,
        "(" * 400 + "a" + ")" * 400,
        "(" * 999,
        "-" * 999 + "a",
        "a" + "+a" * 499,
        "a" + ".log()" * 160,
        "9" * 1000,
        "1" + "0" * 500,
        "",
        "a b",
        "a^2",
        "a**a",
        "2**a",
        "a.log(2)",
        "log(a)",
        "a.log",
        "True",
        "1j",
        "...",
        "a // 2",
        "a % 2",
        "+a",
        "a if a else a",
        "a and a",
        "not a",
        "[a]",
        "a\n+a",
        "a\0",
        "\ud800",
        "(yield)",
        "a := 2",
        "f'{a}'",
        "a  # why",
        "1/(a - a)",
        "(a - a).log()",
        "(a - a)**0.5",
        "(-a)**0.5",
        "(-8)**0.5",
        "(-a).log()",
        "a.exp().exp().exp().exp()",
        "1e308*10",
        "a*1e308*1e308",
        "1e999",
        "1e999 - 1e999",
    ],
)
@pytest.mark.parametrize("values", [{"a": 2.0}, {}])
def test_everything_else_is_refused_in_one_sentence(text: str, values: Numbers) -> None:
    with pytest.raises(AnexaError) as refusal:
        evaluate_expression(text, values)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@given(st.text(alphabet="ab12.()+-*/ log_exp", max_size=60) | st.text(max_size=40))
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        root, _ = evaluate_expression(text, {"a": 0.5})
    except AnexaError:
        return
    assert all(math.isfinite(node.data) for node in gradients(root))


def test_missing_names_are_listed_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"no value for b, c: add for example b=2 c=3$"):
        evaluate_expression("(a*b + c).relu()", {"a": 2})


def test_unused_value_is_refused() -> None:
    with pytest.raises(UsageError, match="z is given a value but does not occur"):
        evaluate_expression("a", {"a": 1, "z": 2})


def test_read_values() -> None:
    assert read_values(["a=2", "b = -3.5", "x_1=1e-3"]) == {"a": 2, "b": -3.5, "x_1": 1e-3}


@pytest.mark.parametrize(
    "slips",
    [
        ["a"],
        ["a="],
        ["=2"],
        ["a=x"],
        ["2=2"],
        ["a=nan"],
        ["a=inf"],
        ["a=1", "a=2"],
        ["a=1=2"],
        ["a=1_0"],
        ["a=٢"],
    ],
)
def test_wrong_assignments_are_refused(slips: list[str]) -> None:
    with pytest.raises(UsageError):
        read_values(slips)

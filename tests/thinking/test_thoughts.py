from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.problems import MAX_DIGITS, MAX_FACTOR_DIGITS
from anexa.thinking.thoughts import ThoughtStep, add, compare, multiply, scale, steps_of, subtract

numbers = st.integers(0, 10**MAX_DIGITS - 1)
factors = st.integers(0, 10**MAX_FACTOR_DIGITS - 1)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (add(347, 86), "347+086:7+6+0=13,4+8+1=13,3+0+1=04:433"),
        (add(0, 0), "0+0:0+0+0=00:0"),
        (compare(478, 5003), "0478?5003:0<5:<"),
        (compare(5003, 478), "5003?0478:5>0:>"),
        (compare(5003, 5009), "5003?5009:5=5,0=0,0=0,3<9:<"),
        (compare(86, 86), "86?86:8=8,6=6:="),
        (subtract(5003, 478), "5003-0478:13-8-0=5,10-7-1=2,10-4-1=5,05-0-1=4:4525"),
        (subtract(478, 5003), "-(5003-0478):13-8-0=5,10-7-1=2,10-4-1=5,05-0-1=4:-4525"),
        (subtract(4998, 5003), "-(5003-4998):13-8-0=5,10-9-1=0,10-9-1=0,05-4-1=0:-0005"),
        (subtract(86, 86), "86-86:06-6-0=0,08-8-0=0:00"),
        (scale(347, 8, 1), "347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760"),
        (scale(0, 0), "0*0:0*0+0=00:0"),
    ],
)
def test_lines_are_written_out(made: ThoughtStep, line: str) -> None:
    value = line.split(":")[-1]
    assert made.text == line
    assert made.value == ({"<": -1, "=": 0, ">": 1}[value] if value in "<=>" else int(value))
    assert steps_of(made.operation.replace("?", "-"), made.a, made.b).count(made) == 1


@given(numbers, numbers)
def test_sums_and_differences_have_a_column_for_each_digit(a: int, b: int) -> None:
    width = max(len(str(a)), len(str(b)))
    for operation, result in (("+", a + b), ("-", a - b)):
        *_, step = steps_of(operation, a, b)
        expression, facts, last = step.text.split(":")
        assert step.value == int(last) == result
        assert len(last.lstrip("-")) == width or operation == "+"
        assert [len(digits) for digits in re.findall(r"\d+", expression)] == [width, width]
        assert len(facts.split(",")) == width


@given(numbers | st.integers(0, 20), numbers | st.integers(0, 20))
def test_a_difference_begins_with_a_comparison(a: int, b: int) -> None:
    comparison, difference = steps_of("-", a, b)
    expression, facts, sign = comparison.text.split(":")
    left, right = expression.split("?")
    assert (int(left), int(right), len(left)) == (a, b, len(right))
    assert comparison.value == (a > b) - (a < b) == "<=>".index(sign) - 1
    *alike, last = facts.split(",")
    assert all(fact[0] == fact[2] and fact[1] == "=" for fact in alike)
    assert last[1] == sign
    assert "".join(fact[0] for fact in [*alike, last]) == left[: len(alike) + 1]
    assert "".join(fact[2] for fact in [*alike, last]) == right[: len(alike) + 1]
    assert difference.text.startswith("-(") == (sign == "<")


@given(factors, factors)
def test_products_have_a_line_for_each_nonzero_digit(a: int, b: int) -> None:
    steps = multiply(a, b)
    assert steps[-1].value == a * b
    parts = [step.text.split(":")[0] for step in steps if step.operation == "*"]
    digits = str(b)[::-1]
    expected = [
        f"{a}*{digit}{'0' * place}" for place, digit in enumerate(digits) if digit != "0"
    ] or [f"{a}*0"]
    assert parts == expected
    assert len(steps) == 2 * len(parts) - 1


@given(numbers, numbers, factors, factors)
def test_every_fact_of_a_calculation_is_a_true_equation_of_eight_characters(
    a: int, b: int, c: int, d: int
) -> None:
    for operation, x, y in (("+", a, b), ("-", a, b), ("*", c, d)):
        for step in steps_of(operation, x, y):
            for fact in step.text.split(":")[1].split(",") if step.operation != "?" else ():
                assert len(fact) == 8
                x1, s1, x2, s2, x3, result = re.fullmatch(  # type: ignore[union-attr]
                    r"(\d+)([-+*])(\d)([-+])(\d)=(\d+)", fact
                ).groups()
                first = int(x1) * int(x2) if s1 == "*" else int(x1) + int(s1 + x2)
                assert first + int(s2 + x3) == int(result)


def test_the_longest_thought_fits_in_a_context_of_512() -> None:
    """With room for the question, the answer, and the special tokens between them."""
    longest = max(
        len("\n".join(step.text for step in steps_of(operation, greatest, greatest)))
        for operation, digits in (("+", MAX_DIGITS), ("-", MAX_DIGITS), ("*", MAX_FACTOR_DIGITS))
        for greatest in (10**digits - 1,)
    )
    assert longest <= 470
    assert len("9999*9999") + longest + len(str(9999 * 9999)) <= 512 - 10


@given(factors, factors)
def test_no_thought_is_longer_than_that_of_the_largest_factors(a: int, b: int) -> None:
    assert len("\n".join(step.text for step in multiply(a, b))) <= 470

"""Calculations with several operations: parsed, written out again and worked out."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL, answer_of, solve
from anexa.thinking.expressions import (
    MAX_CALCULATION_NUMBERS,
    Calculation,
    RefusedDivision,
    evaluate,
    numbers_of,
    parse_expression,
)
from anexa.thinking.thoughts import LARGER, SMALLER, write_step
from tests.thinking.reading import assert_true, calculate, read_line

signs = st.sampled_from("+-*/")
leaves = st.integers(0, 20) | st.integers(0, 10**6)
nodes = st.recursive(
    leaves, lambda inner: st.builds(Calculation, signs, inner, inner), max_leaves=8
)
calculations = nodes.filter(lambda node: isinstance(node, Calculation))


def parse(text: str) -> Calculation:
    found = parse_expression(text, max_digits=40)
    assert found
    return found


@given(calculations, st.booleans())
def test_a_calculation_is_parsed_as_it_is_written(calculation: Calculation, spaced: bool) -> None:
    text = str(calculation)
    assert parse(re.sub(r"[-+*/]", r" \g<0> ", text) if spaced else text) == calculation


@given(calculations)
def test_brackets_are_only_written_where_they_matter(calculation: Calculation) -> None:
    text = str(calculation)
    for opened in (match.start() for match in re.finditer(r"\(", text)):
        depth, closed = 0, opened
        for closed in range(opened, len(text)):
            depth += {"(": 1, ")": -1}.get(text[closed], 0)
            if depth == 0:
                break
        without = text[:opened] + text[opened + 1 : closed] + text[closed + 1 :]
        assert parse(without) != calculation


@given(st.text(alphabet="0123456789+-*/() ", max_size=25))
def test_a_calculation_is_parsed_as_python_parses_it(text: str) -> None:
    found = parse_expression(text, max_digits=40)
    if found is None:
        return
    assert " " not in text or "  " not in text
    try:
        expected = calculate(text.replace(" ", ""))
    except ZeroDivisionError:
        return
    assert _value(found) == expected


def _value(node: Calculation | int) -> Fraction:
    if isinstance(node, int):
        return Fraction(node)
    a, b = _value(node.left), _value(node.right)
    return {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or Fraction(1))}[node.operation]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "(7)",
        "7+",
        "+7",
        "-7+3",
        "7--3",
        "7+*3",
        "(7+3",
        "7+3)",
        "()",
        "7 7",
        "7  +3",
        "7+a",
        "7**2",
        "7//2",
        "2(3+4)",
        "(3+4)2",
        "1" * 41 + "+1",
        "+".join("1" * 17),
        "(" * 999 + "1+1",
    ],
)
def test_other_texts_are_no_calculations(text: str) -> None:
    assert parse_expression(text, max_digits=40) is None


def test_long_calculations_are_parsed_up_to_a_number_of_numbers() -> None:
    assert parse("+".join("1" * MAX_CALCULATION_NUMBERS)).numbers == (1,) * MAX_CALCULATION_NUMBERS
    assert numbers_of(7) == (7,)
    assert parse("12+3*(4-2)").numbers == (12, 3, 4, 2)


def values_in(node: Calculation | int) -> list[Fraction]:
    """Return the exact values of all operations, the last one's last."""
    if isinstance(node, int):
        return []
    return [*values_in(node.left), *values_in(node.right), _value(node)]


@given(calculations, st.integers(0, 25))
def test_steps_lead_to_the_value(calculation: Calculation, ones_letter: int) -> None:
    try:
        expected: Fraction | None = calculate(str(calculation))
    except ZeroDivisionError:
        expected = None
    if expected is None:
        with pytest.raises(RefusedDivision) as stopped:
            evaluate(calculation, ones_letter)
        assert stopped.value.by_zero or stopped.value.steps[-1].remainder
        return
    try:
        steps = evaluate(calculation, ones_letter)
    except RefusedDivision:
        assert any(value.denominator > 1 for value in values_in(calculation))
        return
    assert all(value.denominator == 1 for value in values_in(calculation)[:-1])
    lines = [read_line(step.text) for step in steps]
    for line in lines:
        assert_true(line)
    assert len(steps) == len(calculation.numbers) - 1
    assert all(calculate(line.remaining) == expected for line in lines[:-1])
    assert not lines[-1].remaining
    known = [*calculation.numbers]
    for step in steps:  # each operand is a number of the question or an earlier value
        assert step.a in known
        assert step.b in known
        known.append(step.value)
    last = steps[-1]
    assert not any(step.remainder for step in steps[:-1])
    assert last.value + Fraction(last.remainder, last.b or 1) == expected
    assert steps[0].text[0] == chr(ord("A") + ones_letter)


@pytest.mark.parametrize(
    ("text", "lines", "answer"),
    [
        ("12+3*(4-2)", ["4-2", "3*2", "12+6"], "18"),
        ("(5-12)*3+1", ["5-12", "-(7*3)", "1-21"], "-20"),
        ("8/2/2", ["8/2", "4/2"], "2"),
        ("7+9/3", ["9/3", "7+3"], "10"),
        ("(7+9)/3", ["7+9", "16/3"], "5 R 1"),
        ("(3-9)/2", ["3-9", "-(6/2)"], "-3"),
        ("7/2+3", ["7/2"], INEXACT_REFUSAL),
        ("1+7/2*3", ["7/2"], INEXACT_REFUSAL),
        ("(3-9)/4", ["3-9", "-(6/4)"], INEXACT_REFUSAL),
        ("5/0", [], BY_ZERO_REFUSAL),
        ("3*4+5/0", [], BY_ZERO_REFUSAL),
        ("5/(3-3)", ["3-3"], BY_ZERO_REFUSAL),
        ("1+5/(3-3)", ["3-3"], BY_ZERO_REFUSAL),
    ],
)
def test_calculations_are_solved(text: str, lines: list[str], answer: str) -> None:
    steps, said = solve(parse(text))
    written = []
    for step in steps:
        line = read_line(step.text)
        assert_true(line)
        expression = f"{line.a}{line.operation}{line.b}"
        written.append(f"-({expression})" if line.negated else expression)
    assert (written, said) == (lines, answer)


@given(leaves, leaves)
def test_a_comparison_is_answered_by_the_number_asked_for(a: int, b: int) -> None:
    answers = [answer_of(write_step(operation, a, b)) for operation in (LARGER, SMALLER)]
    assert answers == ([EQUAL_ANSWER] * 2 if a == b else [str(max(a, b)), str(min(a, b))])

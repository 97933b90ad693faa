"""Sources of digits, in the thoughts of all tasks and in damaged ones."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.explore.digit_sources import DigitSource, Span
from anexa.explore.part_places import LinePlace, locate, locate_numbers
from anexa.model.place_marks import mark_places
from anexa.thinking.checker import Report, check
from anexa.thinking.tasks import distinct_problems, task_names
from tests.thinking.test_checker import EXAMPLES

BETWEEN = "<|assistant|><think>"


def check_and_locate(
    question: str, thought: str, answer: str, *, marked: bool = True
) -> tuple[Report, list[LinePlace], str]:
    """Check a thought; return the report, the locations of its lines, and the rendered text."""
    rendered = mark_places(question) if marked else question
    text = f"<|user|>{rendered}{BETWEEN}{thought}</think>"
    report = check(question, thought, answer)
    numbers = locate_numbers(rendered, len("<|user|>"))
    return report, locate(report, numbers, text, text.index(thought, text.index(BETWEEN))), text


def cut(text: str, span: Span) -> str:
    return text[slice(*span)]


def digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


@pytest.mark.parametrize("task", task_names(()))
def test_each_digit_has_a_source_with_the_same_digit(task: str) -> None:
    for problem in distinct_problems(task, 10, random.Random(1)):
        if problem.thought:
            check_sources(problem.question, problem.thought, problem.answer)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example[0] for example in EXAMPLES])
@pytest.mark.parametrize("marked", [True, False])
def test_each_digit_of_the_examples_has_a_source(
    example: tuple[str, str, str], marked: bool
) -> None:
    check_sources(*example, marked=marked)


def check_sources(question: str, thought: str, answer: str, *, marked: bool = True) -> None:
    """Check that the sources of a true thought have the same digits, and precede them."""
    report, places, text = check_and_locate(question, thought, answer, marked=marked)
    assert report.all_true
    for line, place in zip(report.lines, places, strict=True):
        assert cut(text, place.span) == line.text
        for one in place.operands:
            assert int(digits(cut(text, one.span))[::-1]) == one.operand.number
            assert one.origin is not None
            assert int(digits(cut(text, one.origin))) == one.operand.number
            assert one.origin[1] <= place.span[0]
        expression, *facts, value = place.parts
        assert cut(text, expression.span) == line.text.partition(":")[0]
        assert [cut(text, fact.span) for fact in facts] == [fact.text for fact in line.facts]
        assert cut(text, value.span) == line.text.rpartition(":")[2]
        written = [at for at in range(*value.span) if text[at] in "0123456789<=>"]
        assert sorted(source.place for source in value.sources) == written
        for part in place.parts:
            for source in part.sources:
                assert part.span[0] <= source.place < part.span[1]
                assert source.spans or (source.role, text[source.place]) in ZEROS
                for span in source.spans:
                    assert cut(text, span) == text[source.place]
                    assert span[1] <= part.span[0]
        check_roles(line.operation, [fact.sources for fact in facts])


# Zeros in front of a number; a remainder less than the divisor, which no multiple fits.
ZEROS = {("number", "0"), ("multiple", "0")}
CARRIED = {"+": "carry", "-": "carry", "*": "sum", "/": "remainder", "?": ""}


def check_roles(operation: str, facts: list[tuple[DigitSource, ...]]) -> None:
    """Check what the digits of the facts of a true line are."""
    for sources in facts:
        roles = [source.role for source in sources]
        if operation == "/":
            assert {"second"} <= {*roles} <= {"first", "second", "remainder", "multiple"}
        else:
            assert sorted({*roles} - {CARRIED[operation]}) == ["first", "second"]
    assert not any(source.role == CARRIED[operation] for source in facts[0])
    if operation in "+*":
        assert all(CARRIED[operation] in [source.role for source in one] for one in facts[1:])


def sources_of(text: str, places: list[LinePlace], fact: str) -> list[tuple[str, str, list[int]]]:
    """Role, digit and places of the sources of a fact."""
    (part,) = (part for line in places for part in line.parts if cut(text, part.span) == fact)
    return [(s.role, text[s.place], [span[0] for span in s.spans]) for s in part.sources]


def test_sources_of_a_product() -> None:
    _, places, text = check_and_locate(*next(one for one in EXAMPLES if one[0] == "347*86"))
    question, line = text.index("C3B4A7*B8A6"), text.index("A7B4C3*a6b8")
    carried = text.index("=60,B4") + 1
    assert sources_of(text, places, "B4*a6+60=84;B4") == [
        ("first", "4", [line + 3, question + 3]),
        ("second", "6", [line + 8, question + 10]),
        ("sum", "6", [carried]),
        ("sum", "0", [carried + 1]),
    ]


def test_sources_of_a_division() -> None:
    _, places, text = check_and_locate(*next(one for one in EXAMPLES if one[0] == "30/7"))
    question, line = text.index("B3A0/A7"), text.index("A0B3/a7")
    assert sources_of(text, places, "A:30-7*4=2") == [
        ("remainder", "3", [text.index("=3,A:30") + 1]),
        ("first", "0", [line + 1, question + 3]),
        ("second", "7", [line + 6, question + 6]),
        ("multiple", "4", [text.index("7*4=28") + 2]),
    ]


def test_the_larger_number_of_a_negative_difference_comes_first() -> None:
    _, places, text = check_and_locate("3-5", "A3-a5:A:3<5,A:05-3-0=2:-A2", "-2")
    line = text.index("A3-a5")
    assert [(role, at[0]) for role, _, at in sources_of(text, places, "A:05-3-0=2")] == [
        ("second", line + 4),
        ("first", line + 1),
    ]


LINES = st.sampled_from([line for _, thought, _ in EXAMPLES for line in thought.split("\n")])


@given(
    st.lists(LINES, min_size=1, max_size=4).map("\n".join),
    st.lists(st.tuples(st.integers(0, 250), st.text("0123456789+-*/?<=>:,;()aAbB \n", max_size=2))),
    st.sampled_from(["347*86", "478-5003", "Hello", "3 and 47 and 86", f"{'9' * 41}+6", "A5+B"]),
)
def test_any_thought_is_located(
    thought: str, changes: list[tuple[int, str]], question: str
) -> None:
    for at, new in changes:
        thought = thought[:at] + new + thought[at + 1 :]
    thought = thought.strip("\n")
    report, places, text = check_and_locate(question, thought, "29842")
    assert len(places) == len(report.lines)
    for line, place in zip(report.lines, places):
        assert cut(text, place.span) == line.text
        assert len(place.parts) == (len(line.facts) + 2 if line.operation else 0)
        for part in place.parts:
            for source in part.sources:
                assert part.span[0] <= source.place < part.span[1]
                for first, stop in source.spans:
                    assert stop == first + 1 <= part.span[0]

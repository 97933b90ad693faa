"""Facts and their sources, in the thoughts of all tasks and in damaged ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.explore.fact_sources import LinePlace, Span, locate, locate_numbers
from anexa.thinking.checker import Report, check
from anexa.thinking.tasks import distinct_problems, task_names

BETWEEN = "<|assistant|><think>"


def check_and_locate(
    question: str, thought: str, answer: str
) -> tuple[Report, list[LinePlace], str]:
    """Check a thought; return the report, the locations of its lines, and the rendered text."""
    text = f"<|user|>{question}{BETWEEN}{thought}</think>"
    report = check(question, thought, answer)
    numbers = locate_numbers(question, len("<|user|>"))
    return report, locate(report, numbers, text, text.index(thought, text.index(BETWEEN))), text


def cut(text: str, span: Span) -> str:
    return text[slice(*span)]


@pytest.mark.parametrize("task", task_names(()))
def test_each_digit_has_a_source_with_the_same_digit(task: str) -> None:
    for problem in distinct_problems(task, 10, random.Random(1)):
        if not problem.thought:
            continue
        report, places, text = check_and_locate(problem.question, problem.thought, problem.answer)
        assert report.all_true
        for line, place in zip(report.lines, places, strict=True):
            assert cut(text, place.span) == line.text
            assert (place.value and int(cut(text, place.value))) == line.value
            for one in place.operands:
                assert int(cut(text, one.span)) == one.operand.number
                assert one.origin is not None
                origin = cut(text, one.origin)
                whole = one.operand.source != "part"
                assert abs(int(origin)) == (
                    one.operand.number if whole else int(str(one.operand.number)[0])
                )
                assert one.origin[1] <= place.span[0]
            for fact, found in zip(line.facts, place.facts, strict=True):
                assert cut(text, found.span) == fact.text
                roles = [source.role for source in found.sources]
                carried = line.operation != "?" and found.column > 0
                assert roles == ["first", "second"] + ["carry"] * carried
                for source in found.sources:
                    digit = fact.text[source.place]
                    assert digit.isdigit()
                    assert [cut(text, span) for span in source.spans] == [digit] * len(source.spans)


def test_sources_of_a_product() -> None:
    _, places, text = check_and_locate("347*86", "347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760", "27760")
    question, line = text.index("347*86"), text.index("347*80")
    first, second, carry = places[0].facts[1].sources
    assert (first.place, second.place, carry.place) == (0, 2, 4)
    assert first.spans == ((line + 1, line + 2), (question + 1, question + 2))  # the 4 of 347
    assert second.spans == ((line + 4, line + 5), (question + 4, question + 5))  # the 8 of 80, 86
    tens = text.index("=56") + 1
    assert carry.spans == ((tens, tens + 1),)


def test_zeros_in_front_have_no_origin() -> None:
    _, places, text = check_and_locate("478-5003", "0478?5003:0<5:<", "")
    (fact,) = places[0].facts
    line = text.index("0478?")
    assert fact.sources[0].spans == ((line, line + 1),)
    assert fact.sources[1].spans[1] == (text.index("-5003") + 1, text.index("-5003") + 2)


LINES = st.sampled_from(
    [
        "347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082",
        "347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760",
        "02082+27760:2+0+0=02,8+6+0=14,0+7+1=08,2+7+0=09,0+2+0=02:29842",
        "0478?5003:0<5:<",
        "-(5003-0478):13-8-0=5,10-7-1=2,10-4-1=5,05-0-1=4:-4525",
    ]
)


@given(
    st.lists(LINES, min_size=1, max_size=4).map("\n".join),
    st.lists(st.tuples(st.integers(0, 250), st.text("0123456789+-*?<=>:,() \n", max_size=2))),
    st.sampled_from(["347*86", "478-5003", "Hello", "3 and 47 and 86", f"{'9' * 41}+6"]),
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
        for fact, found in zip(line.facts, place.facts, strict=True):
            assert cut(text, found.span) == fact.text
            for source in found.sources:
                for first, stop in source.spans:
                    assert stop == first + 1 <= found.span[0]
                    if fact.fits:
                        assert text[first] == fact.text[source.place]

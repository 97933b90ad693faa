"""Sources of digits, in the thoughts of all tasks and in damaged ones."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.explore.digit_sources import DigitSource, Span
from anexa.explore.part_locations import LineLocation, locate_numbers, locate_parts
from anexa.model.place_marks import mark_places
from anexa.thinking.checker import ThoughtReport, check
from anexa.thinking.expressions import evaluate
from anexa.thinking.problems import make_problem
from anexa.thinking.questions import parse_calculation, parse_question
from anexa.thinking.tasks import draw_distinct_problems, resolve_task_names
from anexa.thinking.thoughts import split_remaining
from tests.thinking.test_checker import EXAMPLES

BETWEEN = "<|assistant|><think>"


def check_and_locate(
    question: str, thought: str, answer: str, *, marked: bool = True
) -> tuple[ThoughtReport, list[LineLocation], str]:
    """Check a thought; return the report, the locations of its lines, and the rendered text."""
    rendered = mark_places(question) if marked else question
    text = f"<|user|>{rendered}{BETWEEN}{thought}</think>"
    report = check(question, thought, answer)
    numbers = locate_numbers(rendered, len("<|user|>"))
    start = text.index(thought, text.index(BETWEEN))
    return report, locate_parts(parse_question(question), report, numbers, text, start), text


def cut(text: str, span: Span) -> str:
    return text[slice(*span)]


def digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


@pytest.mark.parametrize("task", resolve_task_names(()))
def test_each_digit_has_a_source_with_the_same_digit(task: str) -> None:
    for one in draw_distinct_problems(task, 10, random.Random(1)):
        if one.thought:
            check_sources(one.question, one.thought, one.answer)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example[0] for example in EXAMPLES])
@pytest.mark.parametrize("marked", [True, False])
def test_each_digit_of_the_examples_has_a_source(
    example: tuple[str, str, str], marked: bool
) -> None:
    check_sources(*example, marked=marked)


def check_sources(question: str, thought: str, answer: str, *, marked: bool = True) -> None:
    """Check that the sources of a true thought have the same digits, and precede them."""
    report, locations, text = check_and_locate(question, thought, answer, marked=marked)
    assert report.all_true
    for line, location in zip(report.lines, locations, strict=True):
        assert cut(text, location.span) == line.text
        for one in location.operands:
            assert int(digits(cut(text, one.span))[::-1]) == one.operand.number
            assert one.origin is not None
            assert one.origin[1] <= location.span[0]
            for span in (one.origin, one.copy):
                assert span is None or int(digits(cut(text, span))) == one.operand.number
        remaining = [part for part in location.parts if part.kind == "remaining"]
        end = "".join(f":={cut(text, part.span)}" for part in remaining)
        assert end == "".join(re.findall(":=[^,]+$", line.text))
        expression, *facts, value = location.parts[: len(location.parts) - len(remaining)]
        assert cut(text, expression.span) == line.text.partition(":")[0]
        assert [cut(text, fact.span) for fact in facts] == [fact.text for fact in line.facts]
        assert cut(text, value.span) == line.text.removesuffix(end).rpartition(":")[2]
        for part in (value, *remaining):
            written = [at for at in range(*part.span) if text[at] in "0123456789"]
            assert [source.offset for source in part.sources] in (written, written[::-1])
        for part in location.parts:
            for source in part.sources:
                assert part.span[0] <= source.offset < part.span[1]
                assert source.spans or (source.role, text[source.offset]) in ZEROS
                for span in source.spans:
                    assert cut(text, span) == text[source.offset]
                    assert span[1] <= part.span[0] or is_joined(text, part.span, source)
        check_roles(line.operation, [fact.sources for fact in facts])


def is_joined(text: str, part: Span, source: DigitSource) -> bool:
    """Whether a source is in the same fact: 252 in 10*25+2=252."""
    equation = re.search(r":10\*\d+\+\d=(?=\d+$)", cut(text, part))
    return (
        equation is not None
        and source.role == "result"
        and all(span[1] < part[0] + equation.end() <= source.offset for span in source.spans)
    )


# Zeros in front of a number; the remainder before the first digit; no times a divisor.
ZEROS = {(role, "0") for role in ("number", "partial", "remainder", "multiple")}
CARRIED = {"+": "carry", "-": "carry", "*": "sum", "?>": "", "?<": ""}
DIVISION = re.compile(  # the roles in a fact of a division, by its kind
    "(second )+"  # a multiple in the table
    "|(remainder )+first (result )+"  # the next digit
    "|(second )+(multiple )+"  # a multiple that is tried
    "|multiple partial "  # a comparison
    "|partial multiple (carry )?"  # a column of a difference
)


def check_roles(operation: str, facts: list[tuple[DigitSource, ...]]) -> None:
    """Check what the digits of the facts of a true line are."""
    for sources in facts:
        roles = [source.role for source in sources]
        if operation == "/":
            assert DIVISION.fullmatch("".join(f"{role} " for role in roles))
        else:
            assert sorted({*roles} - {CARRIED[operation]}) == ["first", "second"]
    if operation != "/":
        assert not any(source.role == CARRIED[operation] for source in facts[0])
    if operation in "+*":
        assert all(CARRIED[operation] in [source.role for source in one] for one in facts[1:])


def sources_of(
    text: str, locations: list[LineLocation], fact: str
) -> list[tuple[str, str, list[int]]]:
    """Return role, digit and origins of the sources of a part, which is found by its text."""
    (part,) = (part for line in locations for part in line.parts if cut(text, part.span) == fact)
    return sources_at(text, locations, part.span[0])


def sources_at(
    text: str, locations: list[LineLocation], at: int
) -> list[tuple[str, str, list[int]]]:
    """Return role, digit and origins of the sources of the part that begins at an offset."""
    (part,) = (part for line in locations for part in line.parts if part.span[0] == at)
    return [(s.role, text[s.offset], [span[0] for span in s.spans]) for s in part.sources]


def test_sources_of_a_product() -> None:
    _, locations, text = check_and_locate(*next(one for one in EXAMPLES if one[0] == "347*86"))
    question, line = text.index("C3B4A7*B8A6"), text.index("A7B4C3*a6b8")
    carried = text.index("=60,B4") + 1
    assert sources_of(text, locations, "B4*a6+60=84;B4") == [
        ("first", "4", [line + 3, question + 3]),
        ("second", "6", [line + 8, question + 10]),
        ("sum", "6", [carried]),
        ("sum", "0", [carried + 1]),
    ]


def test_sources_of_a_division() -> None:
    one = make_problem("/", 992, 37)
    _, locations, text = check_and_locate(one.question, one.thought, one.answer)
    question, line = text.index("C9B9A2/B3A7"), text.index("A2B9C9/a7b3")
    tens, ones = text.index("B:10*9+9=99"), text.index("A:10*25+2=252")
    table, tried = text.index("37*6=222"), text.rindex("37*6=222")
    before = text.rindex("37*7=259")
    left = text.index("09-4-0=5,09-7-0=2") + 7
    assert sources_of(text, locations, "B:10*9+9=99") == [
        ("remainder", "9", [text.index("C:10*0+9=9") + 9]),  # 37*0 fits, and nothing is subtracted
        ("first", "9", [line + 3, question + 3]),
        ("result", "9", [tens + 5]),
        ("result", "9", [tens + 7]),
    ]
    assert sources_of(text, locations, "A:10*25+2=252") == [
        ("remainder", "2", [left + 9]),
        ("remainder", "5", [left]),
        ("first", "2", [line + 1, question + 5]),
        *(("result", digit, [ones + at]) for digit, at in (("2", 5), ("5", 6), ("2", 8))),
    ]
    assert sources_at(text, locations, tried) == [
        ("second", "3", [line + 10, question + 8, before]),
        ("second", "7", [line + 8, question + 10, before + 1]),
        *(("multiple", "2", [table + at]) for at in (5, 6, 7)),
    ]
    assert sources_at(text, locations, text.index("2<5")) == [
        ("multiple", "2", [tried + 6, table + 6]),
        ("partial", "5", [ones + 11, ones + 6]),
    ]
    assert sources_at(text, locations, text.index("02-2-0=0,05")) == [
        ("partial", "2", [ones + 12, ones + 8]),
        ("multiple", "2", [tried + 7, table + 7]),
    ]
    assert sources_at(text, locations, text.index("05-2-0=3")) == [
        ("partial", "5", [ones + 11, ones + 6]),
        ("multiple", "2", [tried + 6, table + 6]),
        ("carry", "0", [text.index("02-2-0=0,05")]),
    ]
    assert sources_of(text, locations, "B2A6 R 30") == [
        ("result", "2", [text.rindex("37*2=74") + 3]),
        ("result", "6", [tried + 3]),
        ("result", "3", [text.index("05-2-0=3") + 7]),
        ("result", "0", [text.index("02-2-0=0,05") + 7]),
    ]


def test_sources_of_what_remains() -> None:
    """The value of a line takes the place of its operands; the other numbers are copied again."""
    question = "12-(3+40)*5"
    calculation = parse_calculation(question)
    assert calculation
    thought = "\n".join(step.text for step in evaluate(calculation))
    _, locations, text = check_and_locate(question, thought, "-203")
    asked = text.index("B1A2-(A3+B4A0)*A5")
    first, second = text.index("B1A2-B4A3*A5"), text.index("B1A2-C2B1A5")
    sum_, product = text.index("B4A3:=") + 1, text.index("C2B1A5:=") + 1
    assert sources_of(text, locations, "B1A2-B4A3*A5") == [
        ("number", "1", [asked + 1]),
        ("number", "2", [asked + 3]),
        ("number", "4", [sum_]),
        ("number", "3", [sum_ + 2]),
        ("number", "5", [asked + 16]),
    ]
    assert sources_of(text, locations, "A3B4*a5") == [
        ("number", "3", [sum_ + 2, first + 8]),
        ("number", "4", [sum_, first + 6]),
        ("number", "5", [asked + 16, first + 11]),
    ]
    assert sources_of(text, locations, "B1A2-C2B1A5") == [
        ("number", "1", [asked + 1, first + 1]),
        ("number", "2", [asked + 3, first + 3]),
        *(("number", digit, [product + at]) for digit, at in (("2", 0), ("1", 2), ("5", 4))),
    ]
    assert sources_of(text, locations, "A2B1C0-a5b1c2") == [
        ("number", "2", [asked + 3, second + 3]),
        ("number", "1", [asked + 1, second + 1]),
        ("number", "0", []),
        *(("number", "512"[at], [product + 4 - 2 * at, second + 10 - 2 * at]) for at in range(3)),
    ]


@pytest.mark.parametrize(
    ("remaining", "sources"),
    [
        ("B6A3*A7", [["B6A3", 1], ["B6A3", 3], ["A5", 1]]),  # a wrong digit
        ("B6A3", [["B6A3", 1], ["B6A3", 3]]),  # another calculation: by the number
        ("A5*(B6A3-A9)", [["A5", 1], ["B6A3", 1], ["B6A3", 3]]),  # the 9 comes from nowhere
        ("A8", []),
    ],
)
def test_sources_of_what_does_not_remain(remaining: str, sources: list[tuple[str, int]]) -> None:
    line = f"A1B2+a2b4:A:1+2+0=03,B:2+4+0=06:B6A3:={remaining}"
    _, (location,), text = check_and_locate("(21+42)*5", line, "315")
    last = location.parts[-1]
    assert (last.kind, cut(text, last.span)) == ("remaining", remaining)
    found = [source.spans[0][0] for source in last.sources]
    assert found == [text.index(number) + at for number, at in sources]


def test_equal_numbers_that_remain_keep_their_sources() -> None:
    line = "A2+a3:A:2+3+0=05:A5:=A5*A5+A1"
    _, (location,), text = check_and_locate("(2+3)*5+1", line, "26")
    value, factor = text.index("A5:=") + 1, text.index("A5+A1") + 1
    assert [source.spans[0][0] for source in location.parts[-1].sources][:2] == [value, factor]


def test_the_larger_number_of_a_negative_difference_comes_first() -> None:
    _, locations, text = check_and_locate("3-5", "A3-a5:A:3<5,A:05-3-0=2:-A2", "-2")
    line = text.index("A3-a5")
    assert [(role, at[0]) for role, _, at in sources_of(text, locations, "A:05-3-0=2")] == [
        ("second", line + 4),
        ("first", line + 1),
    ]


LINES = st.sampled_from([line for _, thought, _ in EXAMPLES for line in thought.split("\n")])


@given(
    st.lists(LINES, min_size=1, max_size=4).map("\n".join),
    st.lists(st.tuples(st.integers(0, 250), st.text("0123456789+-*/?<=>:,;()aAbB \n", max_size=2))),
    st.sampled_from(
        [
            "347*86",
            "5-12+3",
            "(1-5)*3",
            "478-5003",
            "Hello",
            "3 and 47 and 86",
            f"{'9' * 41}+6",
            "A5+B",
        ]
    ),
)
def test_any_thought_is_located(
    thought: str, changes: list[tuple[int, str]], question: str
) -> None:
    for at, new in changes:
        thought = thought[:at] + new + thought[at + 1 :]
    thought = thought.strip("\n")
    report, locations, text = check_and_locate(question, thought, "29842")
    assert len(locations) == len(report.lines)
    for line, location in zip(report.lines, locations):
        assert cut(text, location.span) == line.text
        parts = len(line.facts) + 2 + bool(split_remaining(line.text)[1])
        assert len(location.parts) == (parts if line.operation else 0)
        for part in location.parts:
            for source in part.sources:
                assert part.span[0] <= source.offset < part.span[1]
                for first, stop in source.spans:
                    assert stop == first + 1 <= source.offset

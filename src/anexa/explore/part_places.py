"""Locates the parts of a thought and the sources of their digits: where each digit was copied from.

All locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from anexa.explore.digit_sources import DigitSource, LineDigits, NumberDigits, Span
from anexa.thinking.checker import Line, Report
from anexa.thinking.facts import FACTS
from anexa.thinking.questions import MAX_DIGITS_READ
from anexa.thinking.sources import Operand

# A number, with or without the letters of the places of its digits.
NUMBER = re.compile("(?:[A-Z][0-9])+|[0-9]+")
OPERAND = re.compile("(?:[A-Za-z][0-9])+")
DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class OperandPlace:
    """Location of an operand of a line, and of the number that it was copied from.

    Attributes:
        operand: operand, as the checker read it.
        span: location of the operand in the expression of the line.
        origin: location of its source: a number of the question, or the value of an earlier line;
            None if the operand has no source.
    """

    operand: Operand
    span: Span
    origin: Span | None


@dataclass(frozen=True)
class PartPlace:
    """Location of a part of a line, and the sources of its digits.

    Attributes:
        line: index of the line.
        kind: "expression", "fact" or "value".
        index: index of the fact in its line; 0 for another part.
        span: location of the part.
        sources: sources of its digits; empty if the part cannot be parsed.
    """

    line: int
    kind: Literal["expression", "fact", "value"]
    index: int
    span: Span
    sources: tuple[DigitSource, ...]


@dataclass(frozen=True)
class LinePlace:
    """Location of a line of a thought, and of its parts.

    Attributes:
        span: location of the line.
        operands: locations of the operands; empty if the line cannot be parsed.
        parts: locations of the expression, the facts and the value, in this order; empty if the
            line cannot be parsed.
    """

    span: Span
    operands: tuple[OperandPlace, ...]
    parts: tuple[PartPlace, ...]


def locate(report: Report, numbers: Sequence[Span], text: str, start: int) -> list[LinePlace]:
    """Locate the parts of a checked thought and their sources.

    Args:
        report: result of checking the thought.
        numbers: locations of the numbers of the question, from `locate_numbers`.
        text: text that contains the question and the thought.
        start: offset of the first line of the thought.
    """
    places: list[LinePlace] = []
    for number, line in enumerate(report.lines):
        end = start + len(line.text)
        operands = _operands(line, start, numbers, places)
        parts = tuple(_parts(line, number, start, operands, text)) if operands else ()
        places.append(LinePlace((start, end), operands, parts))
        start = end + 1
    return places


def locate_numbers(question: str, start: int) -> list[Span]:
    """Locate the numbers of a question, in the order of `Operand.place`.

    Args:
        question: the question as it stands in the prompt, with place marks or without.
        start: offset of the question in the text.
    """
    return [
        (start + match.start(), start + match.end())
        for match in NUMBER.finditer(question)
        if len(DIGIT.findall(match[0])) <= MAX_DIGITS_READ
    ]


def _operands(
    line: Line, start: int, numbers: Sequence[Span], places: Sequence[LinePlace]
) -> tuple[OperandPlace, ...]:
    """Locate the operands of a line; `places` has the locations of the earlier lines."""
    found = []
    for operand, match in zip(line.operands, OPERAND.finditer(line.text)):
        origin = None
        if operand.source == "line":
            origin = places[operand.place].parts[-1].span
        elif operand.source == "question" and operand.place < len(numbers):
            origin = numbers[operand.place]
        span = start + match.start(), start + match.end()
        found.append(OperandPlace(operand, span, origin))
    return tuple(found)


def _parts(
    line: Line, number: int, start: int, operands: Sequence[OperandPlace], text: str
) -> Iterator[PartPlace]:
    """Locate the expression, the facts and the value of a line."""
    first, second = (_digits(operand, text) for operand in operands)
    colon = start + line.text.index(":")
    sources = tuple(
        DigitSource("number", place, found[1:])
        for digits in (first, second)
        for power, place in enumerate(digits.own)
        if (found := digits.spans(power))
    )
    yield PartPlace(number, "expression", 0, (start, colon), sources)
    starts = accumulate((len(fact.text) + 1 for fact in line.facts), initial=colon + 1)
    spans = [(at, at + len(fact.text)) for at, fact in zip(starts, line.facts)]
    matches = [
        next(filter(None, (kind.fullmatch(text, *span) for kind in FACTS[line.operation])), None)
        for span in spans
    ]
    digits = LineDigits(line.operation, first, second, matches)
    for index, span in enumerate(spans):
        yield PartPlace(number, "fact", index, span, digits.sources_of_fact(index))
    value = start + line.text.rindex(":") + 1
    end = start + len(line.text)
    yield PartPlace(
        number, "value", 0, (value, end), digits.sources_of_value(text[value:end], value)
    )


def _digits(operand: OperandPlace, text: str) -> NumberDigits:
    """Locate the digits of an operand and of its source, ones first."""
    own = [match.start() for match in DIGIT.finditer(text, *operand.span)]
    if operand.origin is None:
        return NumberDigits(own, ())
    start, stop = operand.origin
    stop = text.find(" ", start, stop) if " " in text[start:stop] else stop  # B2A6 R 30
    return NumberDigits(own, [match.start() for match in DIGIT.finditer(text, start, stop)][::-1])

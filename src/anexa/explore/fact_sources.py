"""Locations of the facts of a thought, and of the sources of their digits.

A thought is the reasoning of a model before its answer; a fact in it is the equation for one column
of digits, such as 8+6+0=14; the source of a digit is the place that it was copied from. All
locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from anexa.thinking.checker import Line, Report
from anexa.thinking.facts import FACTS
from anexa.thinking.questions import MAX_DIGITS_READ
from anexa.thinking.sources import Operand

Span: TypeAlias = tuple[int, int]
"""Part of a text: offset of its first character, and offset after its last character."""

DIGITS = re.compile("[0-9]+")
# The offsets in a fact of the digits of both operands, of the carry that it takes from the fact
# before, and of the carry that it hands on; None for no carry.
COLUMNS = {"+": (0, 2, 4, 6), "*": (0, 2, 4, 6), "-": (1, 3, 5, 0), "?": (0, 2, None, None)}


@dataclass(frozen=True)
class OperandPlace:
    """Location of an operand of a line of a thought, and of the number that it was copied from.

    Attributes:
        operand: operand, as the checker read it.
        span: location of the operand in the expression of the line.
        origin: location of its source: a number of the question, one digit of such a number, or
            the value of an earlier line; None if the operand has no source.
    """

    operand: Operand
    span: Span
    origin: Span | None


@dataclass(frozen=True)
class DigitSource:
    """Location of a digit of a fact that was copied from earlier text, and of its sources.

    A fact is the equation for one column of digits, such as 8+6+0=14; the digits of its result are
    not copied.

    Attributes:
        role: "first" or "second" for the digit of an operand, "carry" for the carry or the borrow.
        place: offset of the digit in the fact.
        spans: locations of its sources. For a digit of an operand: in the expression of the line,
            and in the operand's own source, which a leading zero does not have. For a carry: in
            the previous fact.
    """

    role: str
    place: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class FactPlace:
    """Location of a fact, the equation for one column of digits, and the sources of its digits.

    Attributes:
        line: index of the line.
        column: index of the fact in its line.
        span: location of the fact.
        sources: sources of its digits; empty if the fact cannot be parsed.
    """

    line: int
    column: int
    span: Span
    sources: tuple[DigitSource, ...]


@dataclass(frozen=True)
class LinePlace:
    """Location of a line (one calculation) of a thought, and of its parts.

    Attributes:
        span: location of the line.
        operands: locations of the operands; empty if the line cannot be parsed.
        facts: locations of the facts.
        value: location of the value; None for a comparison, or if the line cannot be parsed.
    """

    span: Span
    operands: tuple[OperandPlace, ...]
    facts: tuple[FactPlace, ...]
    value: Span | None


def locate(report: Report, numbers: list[Span], text: str, start: int) -> list[LinePlace]:
    """Locate the facts of a checked thought, and the numbers that they were copied from.

    Args:
        report: result of checking the thought.
        numbers: locations of the numbers of the question, from `locate_numbers`.
        text: text that contains the question and the thought.
        start: offset of the first line of the thought.

    Returns:
        The location of each line of the thought.
    """
    places: list[LinePlace] = []
    for number, line in enumerate(report.lines):
        end = start + len(line.text)
        value = None
        if line.value is not None:
            value = (start + line.text.rindex(":") + 1, end)
        operands = _operands(line, start, numbers, places, text)
        facts = tuple(_facts(line, number, start, operands, text))
        places.append(LinePlace((start, end), operands, facts, value))
        start = end + 1
    return places


def locate_numbers(question: str, start: int) -> list[Span]:
    """Locate the numbers of a question, in the order of `Operand.place`.

    Args:
        question: the question, as the checker reads it.
        start: offset of the question in the text.

    Returns:
        For each number its first character and the one after its last, as offsets in the text.
    """
    return [
        (start + match.start(), start + match.end())
        for match in DIGITS.finditer(question)
        if len(match[0]) <= MAX_DIGITS_READ
    ]


def _operands(
    line: Line, start: int, numbers: list[Span], places: list[LinePlace], text: str
) -> tuple[OperandPlace, ...]:
    """Locate the operands of a line of a thought.

    Args:
        line: line, as the checker read it.
        start: offset of the line in the text.
        numbers: locations of the numbers of the question.
        places: locations of the earlier lines.
        text: text with question and thought.
    """
    spans = [
        (start + match.start(), start + match.end())
        for match in DIGITS.finditer(line.text.split(":")[0])
    ]
    found = []
    for operand, span in zip(line.operands, spans):
        origin = None
        if operand.source == "line":
            origin = places[operand.place].value
        elif operand.source != "nowhere" and operand.place < len(numbers):
            origin = numbers[operand.place]
            if operand.source == "part":
                zeros = span[1] - span[0] - 1
                origin = _digit(origin, zeros, text)
        found.append(OperandPlace(operand, span, origin))
    return tuple(found)


def _facts(
    line: Line, number: int, start: int, operands: tuple[OperandPlace, ...], text: str
) -> Iterator[FactPlace]:
    """Locate the facts (equations for one column of digits each) of a line."""
    at = start + line.text.find(":") + 1
    carry: Span | None = None
    for column, fact in enumerate(line.facts):
        sources: list[DigitSource] = []
        if FACTS[line.operation].fullmatch(fact.text):
            first, second, taken, handed = COLUMNS[line.operation]
            for role, place, operand in zip(("first", "second"), (first, second), operands):
                width = operand.span[1] - operand.span[0]
                power = width - 1 - column if line.operation == "?" else column
                if line.operation == "*" and role == "second":  # a digit and zeros
                    power = width - 1
                spans = _digit_spans(operand, power, text)
                sources.append(DigitSource(role, place, spans))
            if taken is not None and carry is not None:
                sources.append(DigitSource("carry", taken, (carry,)))
            carry = None if handed is None else (at + handed, at + handed + 1)
        yield FactPlace(number, column, (at, at + len(fact.text)), tuple(sources))
        at += len(fact.text) + 1


def _digit_spans(operand: OperandPlace, power: int, text: str) -> tuple[Span, ...]:
    """Locate the digit of 10^power in the expression, and the digit that it was copied from."""
    own = _digit(operand.span, power, text)
    if operand.operand.source == "part":
        origin = operand.origin
    else:
        origin = _digit(operand.origin, power, text) if operand.origin else None
    return tuple(span for span in (own, origin) if span)


def _digit(number: Span, power: int, text: str) -> Span | None:
    """Locate the digit of 10^power of a number; None if the number is not that long."""
    place = number[1] - 1 - power
    return (place, place + 1) if place >= number[0] and text[place].isdigit() else None

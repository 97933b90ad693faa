"""Locates the parts of a thought, and the sources that each of their digits is copied from.

All locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from anexa.explore.digit_sources import DigitSource, LineDigits, NumberDigits, Span
from anexa.explore.division_sources import DivisionDigits
from anexa.explore.remaining import NumberSource, RemainingCalculation
from anexa.thinking.checker import ThoughtLine, ThoughtReport
from anexa.thinking.facts import FACT_PATTERNS
from anexa.thinking.questions import MAX_QUESTION_DIGITS, Question
from anexa.thinking.sources import Operand
from anexa.thinking.thoughts import REMAINING_SEPARATOR, split_remaining

# A number, with or without the letters of the places of its digits.
NUMBER_PATTERN = re.compile("(?:[A-Z][0-9])+|[0-9]+")
# An operand in the expression of a line: each digit follows the letter of its place.
OPERAND_PATTERN = re.compile("(?:[A-Za-z][0-9])+")
DIGIT_PATTERN = re.compile("[0-9]")


@dataclass(frozen=True)
class OperandLocation:
    """Location of an operand of a line, and of the numbers that it was copied from.

    Attributes:
        operand: the operand and its source, from the checker.
        span: location of the operand in the expression of the line.
        origin: location of its source: a number of the question, or the value of an earlier line;
            None if the operand has no source.
        copy: location of the same number in the remaining calculation at the end of the line
            before; None if that line has none, or the number is not in it.
    """

    operand: Operand
    span: Span
    origin: Span | None
    copy: Span | None


@dataclass(frozen=True)
class PartLocation:
    """Location of a part of a line, and the sources of its digits.

    Attributes:
        line: index of the line.
        kind: "expression", "fact", "value", or "remaining" for the remaining calculation.
        index: for a fact, its index in the line; otherwise 0.
        span: location of the part.
        sources: sources of its digits; empty if the part cannot be parsed.
    """

    line: int
    kind: Literal["expression", "fact", "value", "remaining"]
    index: int
    span: Span
    sources: tuple[DigitSource, ...]


@dataclass(frozen=True)
class LineLocation:
    """Location of a line of a thought, and of its parts.

    Attributes:
        span: location of the line, without its line break.
        operands: locations of the operands; empty if the line cannot be parsed.
        parts: locations of the expression, the facts, the value and the remaining calculation, in
            this order; empty if the line cannot be parsed.
    """

    span: Span
    operands: tuple[OperandLocation, ...]
    parts: tuple[PartLocation, ...]


def locate_parts(
    question: Question, report: ThoughtReport, numbers: Sequence[Span], text: str, start: int
) -> list[LineLocation]:
    """Locate the parts of a checked thought and their sources.

    Args:
        question: the question, as `parse_question` parses it.
        report: result of checking the thought.
        numbers: locations of the numbers of the question, from `locate_numbers`.
        text: text that contains the question and the thought.
        start: offset of the first line of the thought.

    Returns:
        The location of each line, in order.
    """
    found = []
    located = LocatedNumbers(numbers, text)
    calculation = RemainingCalculation(question)
    for number, line in enumerate(report.lines):
        end = start + len(line.text)
        operands = _operands(line, start, located)
        parts: list[PartLocation] = []
        if operands:
            parts += _parts(line, number, start, operands, text)
            located.add_value(number, parts[-1].span)
            calculation.add(number, line)
            parts += _remaining(line, number, start, calculation.sources(), located)
        found.append(LineLocation((start, end), operands, tuple(parts)))
        start = end + 1
    return found


class LocatedNumbers:
    """Locations of the numbers that the next line can copy, which `locate_parts` updates.

    Args:
        numbers: locations of the numbers of the question.
        text: text that contains the question and the thought.

    Attributes:
        text: text that contains the question and the thought.
        origins: locations of the numbers of the question, and of the values of earlier lines, by
            their sources.
        copies: locations of the numbers in the remaining calculation of the last line that can be
            parsed, by the sources of the numbers.
    """

    def __init__(self, numbers: Sequence[Span], text: str) -> None:
        self.text = text
        self.origins: dict[NumberSource, Span] = {}
        self.copies: dict[NumberSource, Span] = {}
        self._sources: dict[str, NumberSource] = {}  # source by the number's digits
        for position, span in reversed([*enumerate(numbers)]):
            self._add(("question", position), span)

    def add_value(self, line: int, span: Span) -> None:
        """Add the value of the line with index `line`, which stands at `span`."""
        self._add(("line", line), span)

    def find(self, span: Span) -> NumberSource | None:
        """Find the source of the number at `span`.

        Returns:
            The latest line whose value is equal; else the first equal number of the question; else
            None.
        """
        return self._sources.get(self._digits(span))

    def _add(self, source: NumberSource, span: Span) -> None:
        self.origins[source] = span
        self._sources[self._digits(span)] = source

    def _digits(self, span: Span) -> str:
        """Return the digits of the number at `span`, without letters and leading zeros."""
        digits = "".join(self.text[at] for at in _digits(self.text, span)[::-1])
        return digits.lstrip("0") or "0"


def locate_numbers(question: str, start: int) -> list[Span]:
    """Locate the numbers of a question, in the order of `Operand.position`.

    Args:
        question: the question as it stands in the prompt, with place marks or without.
        start: offset of the question in the text.

    Returns:
        The locations, without numbers that the checker skips because they are too long.
    """
    return [
        (start + match.start(), start + match.end())
        for match in NUMBER_PATTERN.finditer(question)
        if len(DIGIT_PATTERN.findall(match[0])) <= MAX_QUESTION_DIGITS
    ]


def _operands(
    line: ThoughtLine, start: int, located: LocatedNumbers
) -> tuple[OperandLocation, ...]:
    """Locate the operands of a line, and the numbers that they were copied from."""
    found = []
    for operand, match in zip(line.operands, OPERAND_PATTERN.finditer(line.text)):
        source = operand.source, operand.position
        span = start + match.start(), start + match.end()
        origin, copy = located.origins.get(source), located.copies.get(source)
        found.append(OperandLocation(operand, span, origin, copy))
    return tuple(found)


def _parts(
    line: ThoughtLine, number: int, start: int, operands: Sequence[OperandLocation], text: str
) -> Iterator[PartLocation]:
    """Locate the expression, the facts and the value of a line."""
    first, second = (
        NumberDigits(
            [_digits(text, operand.span)[::-1], *_all_digits(text, operand.origin, operand.copy)]
        )
        for operand in operands
    )
    colon = start + line.text.index(":")
    sources = tuple(
        DigitSource("number", offset, digits.spans(power)[1:])
        for digits in (first, second)
        for power, offset in enumerate(digits.own)
    )
    yield PartLocation(number, "expression", 0, (start, colon), sources)
    starts = accumulate((len(fact.text) + 1 for fact in line.facts), initial=colon + 1)
    spans = [(at, at + len(fact.text)) for at, fact in zip(starts, line.facts)]
    matches = [
        next(
            filter(None, (kind.fullmatch(text, *span) for kind in FACT_PATTERNS[line.operation])),
            None,
        )
        for span in spans
    ]
    digits = (
        DivisionDigits(first, second, matches)
        if line.operation == "/"
        else LineDigits(line.operation, first, second, matches)
    )
    for index, span in enumerate(spans):
        yield PartLocation(number, "fact", index, span, digits.sources_of_fact(index))
    written, _ = split_remaining(line.text)
    value, end = start + written.rindex(":") + 1, start + len(written)
    yield PartLocation(
        number, "value", 0, (value, end), digits.sources_of_value(text[value:end], value)
    )


def _remaining(
    line: ThoughtLine,
    number: int,
    start: int,
    sources: Sequence[NumberSource],
    located: LocatedNumbers,
) -> Iterator[PartLocation]:
    """Locate the remaining calculation of a line, and update `located.copies` for the next line.

    Args:
        line: the line.
        number: index of the line.
        start: offset of the line.
        sources: sources of the numbers that should remain, from left to right; if the line has
            another count of numbers, each one's source is searched by its digits instead.
        located: locations of the numbers so far.
    """
    written, remaining = split_remaining(line.text)
    span = start + len(written) + len(REMAINING_SEPARATOR), start + len(line.text)
    spans = (
        [match.span() for match in NUMBER_PATTERN.finditer(located.text, *span)]
        if remaining
        else []
    )
    is_known = len(spans) == len(sources)
    copies: dict[NumberSource, Span] = {}
    found: list[DigitSource] = []
    for copy, source in zip(spans, sources if is_known else map(located.find, spans)):
        if source is None:
            continue
        copies[source] = copy
        before = located.origins.get(source), located.copies.get(source)
        digits = NumberDigits(_all_digits(located.text, *before))
        for power, at in enumerate(_digits(located.text, copy)):
            found.append(DigitSource("number", at, digits.spans(power)))
    located.copies = copies
    if remaining:
        found.sort(key=lambda source: source.offset)
        yield PartLocation(number, "remaining", 0, span, tuple(found))


def _all_digits(text: str, *spans: Span | None) -> list[list[int]]:
    """Return the offsets of a number's digits, ones first, for each of its spans."""
    return [_digits(text, span) for span in spans if span]


def _digits(text: str, span: Span) -> list[int]:
    """Return the offsets of a number's digits, ones first, without a remainder as in B2A6 R 30."""
    start, stop = span
    stop = text.find(" ", start, stop) if " " in text[start:stop] else stop
    return [match.start() for match in DIGIT_PATTERN.finditer(text, start, stop)][::-1]

"""Sources of the digits in a line of a thought: where each digit is looked up.

All locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from anexa.thinking.facts import COMPARISON, FACTS

Span: TypeAlias = tuple[int, int]
"""Part of a text: offset of its first character, and offset after its last character."""

_, DIFFERENCE = FACTS["-"]
MULTIPLE, QUOTIENT = FACTS["/"]


@dataclass(frozen=True)
class DigitSource:
    """A digit of an expression, a fact or a value, and the places where it was copied from.

    Attributes:
        role: part of the digit: "number" for a digit of an expression; in a fact "first" or
            "second" for a digit of an operand, "carry" for the carry or the borrow, "sum" for the
            sum so far of a product, "remainder" for the remainder so far of a division, "multiple"
            for the factor of a divisor; "result" for a digit of a value, or for its "<", "=" or
            ">".
        place: offset of the digit.
        spans: locations of its sources. For a digit of an operand: in the expression of the line,
            and in the operand's own source, which a leading zero does not have.
    """

    role: str
    place: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class NumberDigits:
    """The digits of an operand in the expression of a line, and in its source; ones first.

    Attributes:
        own: offsets of the digits in the expression.
        origin: offsets of the digits in the question or in an earlier value; empty if the operand
            has no source.
    """

    own: Sequence[int]
    origin: Sequence[int]

    def spans(self, power: int) -> tuple[Span, ...]:
        """Locate the digit of 10^power in the expression and in the source."""
        return _spans(digits[power] for digits in (self.own, self.origin) if power < len(digits))


@dataclass(frozen=True)
class LineDigits:
    """The digits of a line.

    Attributes:
        operation: operation of the line, as the checker read it.
        first: digits of the first operand.
        second: digits of the second operand.
        matches: each fact, matched in the text by one of `FACTS`; None if it is malformed.
    """

    operation: str
    first: NumberDigits
    second: NumberDigits
    matches: Sequence[re.Match[str] | None]

    @cached_property
    def _compared(self) -> int:
        """Number of facts that compare, at the beginning of a difference or a comparison."""
        flags = [match is not None and match.re is COMPARISON for match in self.matches]
        return flags.index(False) if False in flags else len(flags)

    @cached_property
    def _is_swapped(self) -> bool:
        """Whether a difference is calculated the other way round, as 3-5 is."""
        last = self.matches[self._compared - 1] if self._compared else None
        return last is not None and last[2] == "<"

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        """Powers of the digits that each fact of a product multiplies."""
        m, n = len(self.first.own), len(self.second.own)
        return [
            (i, k - i)
            for k in range(m + n - 1)
            for i in range(max(0, k - n + 1), min(k, m - 1) + 1)
        ]

    def sources_of_fact(self, number: int) -> tuple[DigitSource, ...]:
        """List the digits of a fact that are copied from somewhere; none if it is malformed."""
        match = self.matches[number]
        before = self.matches[number - 1] if number else None
        if match is None:
            return ()
        if match.re is COMPARISON:
            power = len(self.first.own) - 1 - number
            return (*self._digit(match, 1, power), *self._digit(match, 3, power, 1))
        if match.re is DIFFERENCE:
            power = number - self._compared
            swapped = int(self._is_swapped)
            sources = (
                *self._digit(match, 2, power, swapped),
                *self._digit(match, 3, power, 1 - swapped),
            )
            return (*sources, *_carried("carry", match, 4, before, 1)) if power else sources
        if self.operation == "*":
            i, j = self._pairs[number] if number < len(self._pairs) else (0, 0)
            sources = (*self._digit(match, 1, i), *self._digit(match, 2, j, 1))
            return (*sources, *_carried("sum", match, 3, before, 4))
        if match.re is MULTIPLE:
            return tuple(self._divisor(match, 1))
        if match.re is QUOTIENT:
            return tuple(self._quotient(match, number, before))
        sources = (*self._digit(match, 1, number), *self._digit(match, 2, number, 1))
        return (*sources, *_carried("carry", match, 3, before, 4))

    def sources_of_value(self, text: str, start: int) -> tuple[DigitSource, ...]:
        """List the digits of the value of the line, and the facts that they are copied from.

        Args:
            text: the value.
            start: its offset.
        """
        if None in self.matches or not self.matches:
            return ()
        matches = [match for match in self.matches if match]
        last = matches[-1]
        if self.operation == "?":
            return (DigitSource("result", start, _spans([last.start(2)])),)
        value, _, _ = text.partition(" ")
        # The group of the digit of the result in a fact, and the offset of the digit in it.
        group, shift = {"+": (4, 1), "-": (5, 0), "*": (5, 0), "/": (3, 0)}[self.operation]
        kind = {"-": DIFFERENCE, "/": QUOTIENT}.get(self.operation)
        found = [
            match.start(group) + shift
            for match in matches
            if (kind is None or match.re is kind) and match[group] is not None
        ]
        if self.operation == "/":
            found.reverse()
        if self.operation in "+*":  # the carry out of the last place
            found += reversed(range(last.start(4), last.end(4) - 1))
        places = [match.start() for match in re.finditer("[0-9]", value)][::-1]
        sources = [
            DigitSource("result", start + place, _spans([at])) for place, at in zip(places, found)
        ]
        if self.operation == "/":
            rest = range(start + len(value) + len(" R "), start + len(text))
            sources += _aligned("result", rest, last, 4)
        return tuple(sources)

    def _digit(
        self, match: re.Match[str], group: int, power: int, operand: int = 0
    ) -> Iterator[DigitSource]:
        """Yield the digit of an operand in a fact; `operand` is 0 for the first one, else 1."""
        role, number = (("first", self.first), ("second", self.second))[operand]
        yield DigitSource(role, match.start(group), number.spans(power))

    def _divisor(self, match: re.Match[str], group: int) -> Iterator[DigitSource]:
        for power, place in enumerate(reversed(range(*match.span(group)))):
            yield DigitSource("second", place, self.second.spans(power))

    def _quotient(
        self, match: re.Match[str], number: int, before: re.Match[str] | None
    ) -> Iterator[DigitSource]:
        """Yield the digits of a step of a division: remainder and digit - divisor * digit."""
        start, stop = match.span(1)
        if before is not None and before.re is QUOTIENT and stop - start > 1:
            yield from _aligned("remainder", range(start, stop - 1), before, 4)
        power = len(self.matches) - 1 - number
        yield DigitSource("first", stop - 1, self.first.spans(power))
        yield from self._divisor(match, 2)
        multiples = [
            one for one in self.matches if one and one.re is MULTIPLE and one[2] == match[3]
        ]
        yield DigitSource("multiple", match.start(3), _spans(one.start(2) for one in multiples))


def _carried(
    role: str, match: re.Match[str], group: int, before: re.Match[str] | None, source: int
) -> Iterator[DigitSource]:
    """Yield digits that are copied from the fact before, if there is one."""
    if before is not None:
        yield from _aligned(role, range(*match.span(group)), before, source)


def _aligned(
    role: str, places: Sequence[int], before: re.Match[str], group: int
) -> Iterator[DigitSource]:
    """Yield digits that are copied, from the left, from a group of a fact."""
    for place, at in zip(places, range(*before.span(group))):
        yield DigitSource(role, place, _spans([at]))


def _spans(offsets: Iterator[int] | list[int]) -> tuple[Span, ...]:
    return tuple((offset, offset + 1) for offset in offsets)

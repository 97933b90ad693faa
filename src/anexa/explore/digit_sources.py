"""Sources of the digits in a line of a thought: where each digit is copied from.

Lines that divide are in `division_sources.py`. All locations are offsets in one text that
contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from anexa.thinking.facts import COMPARISON_PATTERN, DIFFERENCE_PATTERN
from anexa.thinking.thoughts import COMPARISONS, LARGER

Span: TypeAlias = tuple[int, int]
"""Part of a text: offset of its first character, and offset after its last character."""


@dataclass(frozen=True)
class DigitSource:
    """A digit of an expression, a fact or a value, and the earlier digits that it was copied from.

    Attributes:
        role: part of the text that the digit belongs to. In an expression or a remaining
            calculation: "number". In a fact: "first" or "second" operand; "carry", or the borrow;
            "sum" so far, in a product; and in a division "remainder" so far, "partial" dividend
            (the remainder followed by the digit that is brought down), "multiple" of the divisor,
            or "result" for the digits after "=" in 10*25+2=252. In a value: "result".
        offset: offset of the digit.
        spans: locations of its sources. For a digit of an operand, also in the value of a
            comparison, its location in each of `NumberDigits.occurrences`; a padding zero is only
            in the expression.
    """

    role: str
    offset: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class NumberDigits:
    """The digits of a number that is written several times in the text.

    Attributes:
        occurrences: for each occurrence, the offsets of the digits, ones first. An operand occurs
            in the expression of the line, in the question or an earlier value, and in the
            remaining calculation of the line before.
    """

    occurrences: Sequence[Sequence[int]]

    @property
    def own(self) -> Sequence[int]:
        """Offsets of the digits in the first occurrence, ones first."""
        return self.occurrences[0]

    def spans(self, power: int) -> tuple[Span, ...]:
        """Return the span of the digit of 10^power in each occurrence that has it; () if none."""
        return locate_digits(
            digits[power] for digits in self.occurrences if 0 <= power < len(digits)
        )


@dataclass(frozen=True)
class LineDigits:
    """The sources of the digits in a line with any operation but a division.

    Attributes:
        operation: operation of the line: "+", "-", "*", or one of `COMPARISONS`.
        first: digits of the first operand.
        second: digits of the second operand.
        matches: each fact, matched in the text by one of `anexa.thinking.facts.FACT_PATTERNS`;
            None if it is malformed.
    """

    operation: str
    first: NumberDigits
    second: NumberDigits
    matches: Sequence[re.Match[str] | None]

    @cached_property
    def _compared(self) -> int:
        """Number of comparisons at the beginning of the facts."""
        flags = [match is not None and match.re is COMPARISON_PATTERN for match in self.matches]
        return flags.index(False) if False in flags else len(flags)

    @cached_property
    def _is_second_larger(self) -> bool:
        """Whether the second operand is the larger one, by the last comparison of digits."""
        last = self.matches[self._compared - 1] if self._compared else None
        return last is not None and last[2] == "<"

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        """For each fact of a product, the powers of ten of the two digits that it multiplies."""
        m, n = len(self.first.own), len(self.second.own)
        return [
            (i, k - i)
            for k in range(m + n - 1)
            for i in range(max(0, k - n + 1), min(k, m - 1) + 1)
        ]

    def sources_of_fact(self, number: int) -> tuple[DigitSource, ...]:
        """Return the sources of the copied digits of a fact; empty if the fact is malformed.

        Args:
            number: index of the fact.
        """
        match = self.matches[number]
        before = self.matches[number - 1] if number else None
        if match is None:
            return ()
        if match.re is COMPARISON_PATTERN:
            power = len(self.first.own) - 1 - number
            return (*self._digit(match, 1, power), *self._digit(match, 3, power, 1))
        if match.re is DIFFERENCE_PATTERN:
            power = number - self._compared
            swapped = int(self._is_second_larger)  # 3-5 subtracts the first from the second
            sources = (
                *self._digit(match, 2, power, swapped),
                *self._digit(match, 3, power, 1 - swapped),
            )
            return (*sources, *_carried("carry", match, 4, before, 1)) if power else sources
        if self.operation == "*":
            i, j = self._pairs[number] if number < len(self._pairs) else (0, 0)
            sources = (*self._digit(match, 1, i), *self._digit(match, 2, j, 1))
            return (*sources, *_carried("sum", match, 3, before, 4))
        sources = (*self._digit(match, 1, number), *self._digit(match, 2, number, 1))
        return (*sources, *_carried("carry", match, 3, before, 4))

    def sources_of_value(self, text: str, start: int) -> tuple[DigitSource, ...]:
        """Return the sources of the digits of the value.

        They are digits of the result in the facts; of a comparison, the digits of an operand.

        Args:
            text: the value.
            start: offset of the value.

        Returns:
            The sources; empty if a fact is malformed or there is none.
        """
        if None in self.matches or not self.matches:
            return ()
        value = text.partition(" ")[0]  # without a remainder, which only a division has
        offsets = [start + match.start() for match in re.finditer("[0-9]", value)][::-1]
        if self.operation in COMPARISONS:
            is_second = self._is_second_larger == (self.operation == LARGER)
            chosen = self.second if is_second else self.first
            return tuple(
                DigitSource("result", offset, chosen.spans(power))
                for power, (offset, _) in enumerate(zip(offsets, chosen.own))
            )
        matches = [match for match in self.matches if match]
        last = matches[-1]
        # The regular expression's group with the digit of the result, and the digit's index in it.
        group, shift = {"+": (4, 1), "-": (5, 0), "*": (5, 0)}[self.operation]
        found = [
            match.start(group) + shift
            for match in matches
            if match.re is not COMPARISON_PATTERN and match[group] is not None
        ]
        if self.operation != "-":  # the carry out of the highest place
            found += reversed(range(last.start(4), last.end(4) - 1))
        return tuple(
            DigitSource("result", offset, locate_digits([at])) for offset, at in zip(offsets, found)
        )

    def _digit(
        self, match: re.Match[str], group: int, power: int, operand: int = 0
    ) -> Iterator[DigitSource]:
        """Yield the source of an operand's digit in a fact.

        Args:
            match: the fact.
            group: group of the digit in the match.
            power: power of ten of the digit.
            operand: 0 for the first operand, 1 for the second.
        """
        role, number = (("first", self.first), ("second", self.second))[operand]
        yield DigitSource(role, match.start(group), number.spans(power))


def _carried(
    role: str, match: re.Match[str], group: int, before: re.Match[str] | None, source: int
) -> Iterator[DigitSource]:
    """Yield the sources of digits that are copied from the fact before, if there is one.

    Args:
        role: role of the digits.
        match: the fact.
        group: group of the digits in the fact.
        before: the fact before.
        source: group of the digits in the fact before.
    """
    if before is not None:
        for offset, at in zip(range(*match.span(group)), range(*before.span(source))):
            yield DigitSource(role, offset, locate_digits([at]))


def locate_digits(offsets: Iterable[int]) -> tuple[Span, ...]:
    """Return the spans, of one character each, of digits at the given offsets."""
    return tuple((offset, offset + 1) for offset in offsets)

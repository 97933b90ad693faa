"""Sources of the digits in a line of a thought that divides: where each digit is copied from.

All locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from anexa.explore.digit_sources import DigitSource, NumberDigits, locate_digits
from anexa.thinking.facts import COMPARISON_PATTERN, MULTIPLE_PATTERN, NEXT_DIGIT_PATTERN

NO_DIGITS = NumberDigits(())  # digits of a number that has not occurred yet


class DivisionDigits:
    """The sources of the digits in a line that divides, as on paper.

    First comes the table of multiples of the divisor, 37*1=37 to 37*9=333. Then for each digit of
    the dividend: the digit is brought down, which makes the partial dividend (10*25+2=252);
    multiples are tried and compared with it; the multiple that fits is subtracted from it.

    Args:
        first: digits of the dividend.
        second: digits of the divisor.
        matches: each fact, matched in the text by one of `anexa.thinking.facts.FACT_PATTERNS`;
            None if it is malformed.
    """

    def __init__(
        self, first: NumberDigits, second: NumberDigits, matches: Sequence[re.Match[str] | None]
    ) -> None:
        self._first, self._second, self._matches = first, second, matches
        self._table: dict[str, re.Match[str]] = {}  # facts of the table of multiples, by factor
        self._divisor = second  # with the divisor in the latest multiple's fact
        self._partial = NO_DIGITS  # of the partial dividend: after "=", and before it
        self._multiple = NO_DIGITS  # of the latest multiple: where it is tried, and in the table
        self._columns = 0  # number of consecutive facts that compare, or subtract, so far
        self._left: list[int] = []  # offsets of the digits of the remainder so far, ones first
        # Offsets of the digits of the quotient, highest first; None while no multiple is tried.
        self._quotient: list[int | None] = []
        self._sources = [self._read(match, before) for match, before in self._neighbors()]

    def sources_of_fact(self, number: int) -> tuple[DigitSource, ...]:
        """Return the sources of the copied digits of a fact; empty if the fact is malformed.

        Args:
            number: index of the fact.
        """
        return self._sources[number]

    def sources_of_value(self, text: str, start: int) -> tuple[DigitSource, ...]:
        """Return the sources of the digits of the value: digits of quotient and remainder in facts.

        Args:
            text: the value.
            start: offset of the value.

        Returns:
            The sources; empty if a fact is malformed or there is none.
        """
        if None in self._matches or not self._matches:
            return ()
        value, _, remainder = text.partition(" R ")
        rest = range(start + len(text) - len(remainder), start + len(text))
        offsets = [start + match.start() for match in re.finditer("[0-9]", value)]
        found = [at for at in self._quotient if at is not None]
        quotient = zip(reversed(offsets), reversed(found))
        sources = [
            DigitSource("result", offset, locate_digits([at]))
            for offset, at in (*quotient, *zip(reversed(rest), self._left))
        ]
        return _in_order(sources)

    def _neighbors(self) -> Iterator[tuple[re.Match[str] | None, re.Match[str] | None]]:
        """Yield each fact with the fact before it (None for the first)."""
        return zip(self._matches, [None, *self._matches])

    def _read(
        self, match: re.Match[str] | None, before: re.Match[str] | None
    ) -> tuple[DigitSource, ...]:
        """Find the sources of a fact, and remember its digits for the facts that follow."""
        if match is None:
            return ()
        if match.re is NEXT_DIGIT_PATTERN:
            return _in_order(self._bring_down(match))
        if match.re is MULTIPLE_PATTERN:
            return _in_order(self._multiply(match))
        if before is None or before.re is not match.re:
            self._columns = 0
        if match.re is COMPARISON_PATTERN:
            return tuple(self._compare(match))
        return tuple(self._subtract(match, before))

    def _bring_down(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield the sources in a fact that brings down a digit, such as 10*25+2=252."""
        parts = [match.start(2), *_ones_first(match, 1)]
        remainder = self._left[: len(parts) - 1]
        self._left = [*_ones_first(match, 3)]
        self._partial = NumberDigits([self._left, parts[: len(self._left)]])
        for offset, at in zip_longest(parts[1:], remainder):
            yield DigitSource("remainder", offset, locate_digits([] if at is None else [at]))
        power = len(self._first.own) - 1 - len(self._quotient)
        yield DigitSource("first", parts[0], self._first.spans(power))
        for offset, at in zip(self._partial.own, parts):
            yield DigitSource("result", offset, locate_digits([at]))
        self._quotient.append(None)

    def _multiply(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield the sources in a multiple; the product of one that is tried is in the table."""
        for power, offset in enumerate(_ones_first(match, 1)):
            yield DigitSource("second", offset, self._divisor.spans(power))
        self._divisor = NumberDigits([*self._second.occurrences, _ones_first(match, 1)])
        if not self._quotient:
            self._table[match[2]] = match
            return
        self._quotient[-1] = match.start(2)
        entry = self._table.get(match[2])
        table = NumberDigits([] if entry is None else [_ones_first(entry, 3)])
        self._multiple = NumberDigits([_ones_first(match, 3), *table.occurrences])
        for power, offset in enumerate(self._multiple.own):
            yield DigitSource("multiple", offset, table.spans(power))

    def _compare(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield the sources in a comparison of a digit of the multiple and of the dividend."""
        numbers = self._multiple, self._partial
        width = max(len(number.own) if number.occurrences else 0 for number in numbers)
        power = width - 1 - self._columns
        self._columns += 1
        yield DigitSource("multiple", match.start(1), self._multiple.spans(power))
        yield DigitSource("partial", match.start(3), self._partial.spans(power))

    def _subtract(
        self, match: re.Match[str], before: re.Match[str] | None
    ) -> Iterator[DigitSource]:
        """Yield the sources in the subtraction of one column, such as 15-8-0=7."""
        power = self._columns
        if not power:
            self._left = []
        self._left.append(match.start(5))
        self._columns += 1
        yield DigitSource("partial", match.start(2), self._partial.spans(power))
        yield DigitSource("multiple", match.start(3), self._multiple.spans(power))
        if power and before is not None:
            yield DigitSource("carry", match.start(4), locate_digits([before.start(1)]))


def _ones_first(match: re.Match[str], group: int) -> Sequence[int]:
    """Return the offsets of the digits of a number in a fact, ones first."""
    return range(*match.span(group))[::-1]


def _in_order(sources: Iterator[DigitSource] | list[DigitSource]) -> tuple[DigitSource, ...]:
    return tuple(sorted(sources, key=lambda source: source.offset))

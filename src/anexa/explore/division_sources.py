"""Sources of the digits in a line that divides: the table of multiples, and each step on paper.

All locations are offsets in one text that contains the question and, after it, the thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from anexa.explore.digit_sources import DigitSource, NumberDigits, locate_digits
from anexa.thinking.facts import COMPARISON, MULTIPLE, NEXT_DIGIT

NO_DIGITS = NumberDigits(())


class DivisionDigits:
    """The digits of a line that divides.

    Args:
        first: digits of the dividend.
        second: digits of the divisor.
        matches: each fact, matched in the text by one of `FACTS`; None if it is malformed.
    """

    def __init__(
        self, first: NumberDigits, second: NumberDigits, matches: Sequence[re.Match[str] | None]
    ) -> None:
        self._first, self._second, self._matches = first, second, matches
        self._table: dict[str, re.Match[str]] = {}  # multiples before the first step, by factor
        self._divisor = second  # with the divisor in the multiple before
        self._partial = NO_DIGITS  # the partial dividend, in 10*25+2 and in =252
        self._multiple = NO_DIGITS  # the multiple that was tried last, there and in the table
        self._columns = 0  # facts that compare the digits of both, or subtract, so far
        self._left: list[int] = []  # offsets of the digits that are left, ones first
        self._quotient: list[int | None] = []  # offsets of its digits; None if nothing is tried yet
        self._sources = [self._read(match, before) for match, before in self._neighbors()]

    def sources_of_fact(self, number: int) -> tuple[DigitSource, ...]:
        """List the digits of a fact that are copied from somewhere; none if it is malformed."""
        return self._sources[number]

    def sources_of_value(self, text: str, start: int) -> tuple[DigitSource, ...]:
        """List the digits of the value of the line, and the facts that they are copied from.

        Args:
            text: the value.
            start: its offset.
        """
        if None in self._matches or not self._matches:
            return ()
        value, _, remainder = text.partition(" R ")
        rest = range(start + len(text) - len(remainder), start + len(text))
        places = [start + match.start() for match in re.finditer("[0-9]", value)]
        found = [at for at in self._quotient if at is not None]
        quotient = zip(reversed(places), reversed(found))
        sources = [
            DigitSource("result", place, locate_digits([at]))
            for place, at in (*quotient, *zip(reversed(rest), self._left))
        ]
        return _in_order(sources)

    def _neighbors(self) -> Iterator[tuple[re.Match[str] | None, re.Match[str] | None]]:
        """Yield each fact with the fact before it."""
        return zip(self._matches, [None, *self._matches])

    def _read(
        self, match: re.Match[str] | None, before: re.Match[str] | None
    ) -> tuple[DigitSource, ...]:
        """Find the sources of a fact, and remember its digits for the facts that follow."""
        if match is None:
            return ()
        if match.re is NEXT_DIGIT:
            return _in_order(self._bring_down(match))
        if match.re is MULTIPLE:
            return _in_order(self._multiply(match))
        if before is None or before.re is not match.re:
            self._columns = 0
        if match.re is COMPARISON:
            return tuple(self._compare(match))
        return tuple(self._subtract(match, before))

    def _bring_down(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield the digits of a partial dividend, as in 10*25+2=252."""
        parts = [match.start(2), *_ones_first(match, 1)]
        remainder = self._left[: len(parts) - 1]
        self._left = [*_ones_first(match, 3)]
        self._partial = NumberDigits([self._left, parts[: len(self._left)]])
        for place, at in zip_longest(parts[1:], remainder):
            yield DigitSource("remainder", place, locate_digits([] if at is None else [at]))
        power = len(self._first.own) - 1 - len(self._quotient)
        yield DigitSource("first", parts[0], self._first.spans(power))
        for place, at in zip(self._partial.own, parts):
            yield DigitSource("result", place, locate_digits([at]))
        self._quotient.append(None)

    def _multiply(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield the digits of a multiple; one that is tried is copied from the table."""
        for power, place in enumerate(_ones_first(match, 1)):
            yield DigitSource("second", place, self._divisor.spans(power))
        self._divisor = NumberDigits([*self._second.places, _ones_first(match, 1)])
        if not self._quotient:
            self._table[match[2]] = match
            return
        self._quotient[-1] = match.start(2)
        entry = self._table.get(match[2])
        table = NumberDigits([] if entry is None else [_ones_first(entry, 3)])
        self._multiple = NumberDigits([_ones_first(match, 3), *table.places])
        for power, place in enumerate(self._multiple.own):
            yield DigitSource("multiple", place, table.spans(power))

    def _compare(self, match: re.Match[str]) -> Iterator[DigitSource]:
        """Yield a digit of the multiple, and the digit of the partial dividend in its place."""
        numbers = self._multiple, self._partial
        width = max(len(number.own) if number.places else 0 for number in numbers)
        power = width - 1 - self._columns
        self._columns += 1
        yield DigitSource("multiple", match.start(1), self._multiple.spans(power))
        yield DigitSource("partial", match.start(3), self._partial.spans(power))

    def _subtract(
        self, match: re.Match[str], before: re.Match[str] | None
    ) -> Iterator[DigitSource]:
        """Yield the digits of a column, as in 15-8-0=7 (with a borrow)."""
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
    return tuple(sorted(sources, key=lambda source: source.place))

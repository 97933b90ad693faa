"""Sources of operands in a thought: numbers of the question, their digits, earlier values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of an expression, and its source.

    Attributes:
        number: the operand.
        source: "question" (a number of the question), "part" (one digit of such a number with its
            place value: 80 of 86), "line" (the value of an earlier line) or "nowhere".
        place: index of the number or of the line, from 0; -1 for "nowhere".
    """

    number: int
    source: Literal["question", "part", "line", "nowhere"]
    place: int = -1


def parts_of(number: int) -> set[int]:
    """Split a number into its nonzero digits with their place values: 86 into 6 and 80."""
    digits = reversed(str(number))
    return {int(digit) * 10**place for place, digit in enumerate(digits) if digit != "0"} or {0}


class Sources:
    """Sources for a question of unknown phrasing: numbers may be used repeatedly.

    Args:
        numbers: the numbers of the question.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._places: dict[int, int] = {}
        self._parts: dict[int, int] = {}
        for place, number in enumerate(numbers):
            self._places.setdefault(number, place)
            for part in parts_of(number):
                self._parts.setdefault(part, place)
        self._lines: dict[int, list[int]] = {}  # value: lines that have it
        self._waiting: dict[int, int] = {}  # line: its value, which no later line has used yet

    def add_value(self, line: int, value: int) -> None:
        """Record the value of a line."""
        self._lines.setdefault(value, []).append(line)
        self._waiting[line] = value

    def addend(self, number: int) -> Operand:
        """Find the source of an operand of a sum or a difference."""
        return self._value(number) or self._number(number) or Operand(number, "nowhere")

    def factors(self, first: int, second: int) -> tuple[Operand, Operand]:
        """Find the sources of both factors; `second` is a digit followed by zeros."""
        right = self.addend(second)
        if right.source == "nowhere" and second in self._parts:
            right = Operand(second, "part", self._parts[second])
        return self.addend(first), right

    def find_unused(self, last: int) -> str | None:
        """Describe a value before line `last` that no later line uses; None if all are used."""
        for line, value in self._waiting.items():
            if line != last:
                return f"{value}, the value of line {line + 1},"
        return None

    def _value(self, number: int) -> Operand | None:
        lines = self._lines.get(number)
        if not lines:
            return None
        line = lines.pop() if len(lines) > 1 else lines[0]
        self._waiting.pop(line, None)
        return Operand(number, "line", line)

    def _number(self, number: int) -> Operand | None:
        place = self._places.get(number)
        return None if place is None else Operand(number, "question", place)


class SingleUseSources(Sources):
    """Sources for a question of known phrasing: each number and value must be used exactly once.

    A number is used as a whole or, as the second factor of a product, digit by digit, each time
    with the same first factor.

    Args:
        numbers: the numbers of the question.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(())
        self._numbers = tuple(numbers)
        self._left = [parts_of(number) for number in numbers]  # parts not used yet
        self._first: list[Operand | None] = [None] * len(numbers)  # first factor of the used parts

    def factors(self, first: int, second: int) -> tuple[Operand, Operand]:
        """Find the sources of both factors; `second` is a digit followed by zeros."""
        having = [place for place, left in enumerate(self._left) if second in left]
        having.sort(key=lambda place: self._numbers[place] != second)
        for place in having:
            left = self._factor_of(place, first)
            if left:
                self._first[place] = left
                self._left[place].remove(second)
                return left, self._part(second, place)
        right = self._value(second)
        if right:
            return self.addend(first), right
        # One factor has no source: the second one, if the first has one.
        unknown = Operand(second, "nowhere")
        for factor in self._first:
            if factor and factor.number == first:
                return factor, unknown
        left = self.addend(first)
        explained = left.source == "nowhere" and having
        return left, self._part(second, having[0]) if explained else unknown

    def find_unused(self, last: int) -> str | None:
        """Describe an unused number of the question, or unused value; None if all are used."""
        for number, left in zip(self._numbers, self._left):
            if left == parts_of(number):
                return f"{number}"
            if left:
                return f"{min(left)} of {number}"
        return super().find_unused(last)

    def _value(self, number: int) -> Operand | None:
        operand = super()._value(number)
        if operand and self._lines[number] == [operand.place]:
            del self._lines[number]
        return operand

    def _number(self, number: int, but: int | None = None) -> Operand | None:
        for place, candidate in enumerate(self._numbers):
            if candidate == number and place != but and self._left[place] == parts_of(number):
                self._left[place] = set()
                return Operand(number, "question", place)
        return None

    def _factor_of(self, place: int, number: int) -> Operand | None:
        """Find the source of the first factor, if it may multiply parts of number `place`."""
        first = self._first[place]
        if first:
            return first if first.number == number else None
        return self._value(number) or self._number(number, but=place)

    def _part(self, part: int, place: int) -> Operand:
        return Operand(part, "question" if self._numbers[place] == part else "part", place)

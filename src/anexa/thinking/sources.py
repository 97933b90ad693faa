"""Where the operands of a thought come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operand:
    """A number in an expression.

    Attributes:
        number: what it is.
        source: "question": one of the question's numbers; "part": a digit of one of them, with
            zeros for its place, as 80 of 86; "line": the value of an earlier line; or "nowhere".
        place: which number of the question or which line, counted from 0; -1 for "nowhere".
    """

    number: int
    source: Literal["question", "part", "line", "nowhere"]
    place: int = -1


def parts_of(number: int) -> set[int]:
    """A part for each digit but 0, with its zeros: 6 and 80 of 86. Of 0, there is 0."""
    digits = reversed(str(number))
    return {int(digit) * 10**place for place, digit in enumerate(digits) if digit != "0"} or {0}


class Sources:
    """Numbers of any question, and values; each may be taken as often as one likes."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._places: dict[int, int] = {}
        self._parts: dict[int, int] = {}
        for place, number in enumerate(numbers):
            self._places.setdefault(number, place)
            for part in parts_of(number):
                self._parts.setdefault(part, place)
        self._lines: dict[int, list[int]] = {}  # with this value
        self._waiting: dict[int, int] = {}  # line: its value, which was not taken so far

    def put(self, line: int, value: int) -> None:
        """A line has this value."""
        self._lines.setdefault(value, []).append(line)
        self._waiting[line] = value

    def addend(self, number: int) -> Operand:
        """A number of a sum or a difference."""
        return self._value(number) or self._number(number) or Operand(number, "nowhere")

    def factors(self, first: int, second: int) -> tuple[Operand, Operand]:
        """The numbers of a product; `second` is a digit with zeros."""
        right = self.addend(second)
        if right.source == "nowhere" and second in self._parts:
            right = Operand(second, "part", self._parts[second])
        return self.addend(first), right

    def left_over(self, last: int) -> str | None:
        """What should have been taken and was not: a value of any line but the last."""
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


class SourcesTakenOnce(Sources):
    """Few numbers, all of them to be taken, and values; each once.

    A number is taken as a whole; or as the second factor, part by part, all with the same first.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(())
        self._numbers = tuple(numbers)
        self._left = [parts_of(number) for number in numbers]  # not taken so far
        self._first: list[Operand | None] = [None] * len(numbers)  # factor, if taken in parts

    def factors(self, first: int, second: int) -> tuple[Operand, Operand]:
        """The numbers of a product; `second` is a digit with zeros."""
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
        # One of the two comes from nowhere: the second, if the first can be explained.
        unknown = Operand(second, "nowhere")
        for factor in self._first:
            if factor and factor.number == first:
                return factor, unknown
        left = self.addend(first)
        explained = left.source == "nowhere" and having
        return left, self._part(second, having[0]) if explained else unknown

    def left_over(self, last: int) -> str | None:
        """What should have been taken and was not: values but the last, and numbers."""
        for number, left in zip(self._numbers, self._left):
            if left == parts_of(number):
                return f"{number}"
            if left:
                return f"{min(left)} of {number}"
        return super().left_over(last)

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
        """The first factor, if it may go with parts of the number at `place`."""
        first = self._first[place]
        if first:
            return first if first.number == number else None
        return self._value(number) or self._number(number, but=place)

    def _part(self, part: int, place: int) -> Operand:
        return Operand(part, "question" if self._numbers[place] == part else "part", place)

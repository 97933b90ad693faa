"""Sources of operands in a thought: numbers of the question, and values of earlier lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from anexa.thinking.questions import AskedStep, Question, Reference
from anexa.thinking.thoughts import unsigned


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of an expression, and its source.

    Attributes:
        number: the operand, without a sign.
        source: "question" (a number of the question), "line" (the value of an earlier line, or a
            negative value without its sign) or "nowhere".
        place: index of the number or of the line, from 0; -1 for "nowhere".
    """

    number: int
    source: Literal["question", "line", "nowhere"]
    place: int = -1


Written = tuple[bool, str, int, int]
"""An expression of a line, as returned by `unsigned`: whether the result of the operation is to be
negated; the operation; its operands."""


class Sources:
    """Sources for a question of unknown phrasing: numbers and values may be used repeatedly.

    Args:
        numbers: the numbers of the question.

    Attributes:
        wrong_line: index of the first line that is no step of the question; None if there is none,
            or the phrasing is not known.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._places: dict[int, int] = {}
        for place, number in enumerate(numbers):
            self._places.setdefault(number, place)
        self._lines: dict[int, list[int]] = {}  # value: lines that have it
        self._values: dict[int, int] = {}
        self._unused: dict[int, int] = {}  # line: its value, which no later line has used yet
        self.wrong_line: int | None = None

    def find(self, line: int, written: Written) -> tuple[Operand, Operand]:  # noqa: ARG002
        """Find the sources of both operands of a line."""
        _, _, x, y = written
        signed = self._signed(x), self._signed(y)
        if all(signed):
            fitting = [pair for pair in product(*signed) if _has_signs(written, *pair)]
            if not fitting:
                return Operand(x, "nowhere"), Operand(y, "nowhere")
            pair = max(fitting, key=lambda pair: sum(map(self._is_unused, {*pair})))
        else:
            pair = signed[0][0] if signed[0] else x, signed[1][0] if signed[1] else y
        return self._operand(pair[0]), self._operand(pair[1])

    @property
    def is_solved(self) -> bool:
        """Whether the lines are the steps that the question asks for."""
        return self.wrong_line is None

    def add_value(self, line: int, value: int) -> None:
        """Record the value of a line."""
        self._lines.setdefault(value, []).append(line)
        self._values[line] = self._unused[line] = value

    def find_unused(self, last: int) -> str | None:
        """Describe a value before line `last` that no later line uses; None if all are used."""
        for line, value in self._unused.items():
            if line != last:
                return f"{value}, the value of line {line + 1},"
        return None

    def _signed(self, number: int) -> list[int]:
        """List the signed numbers with a source that are written so, without a sign."""
        values = [value for value in (number, -number) if value in self._lines]
        return [*values, number] if self._has_number(number) else values

    def _is_unused(self, value: int) -> bool:
        """Return whether a value is that of a line that no later line has used yet."""
        return value in self._lines and self._lines[value][-1] in self._unused

    def _operand(self, signed: int) -> Operand:
        """Use the source of a signed number; earlier values come before numbers of the question."""
        nowhere = Operand(abs(signed), "nowhere")
        return self._value(signed) or self._number(signed) or nowhere

    def _value(self, value: int) -> Operand | None:
        lines = self._lines.get(value)
        if not lines:
            return None
        line = lines.pop() if len(lines) > 1 else lines[0]
        self._unused.pop(line, None)
        return Operand(abs(value), "line", line)

    def _has_number(self, number: int) -> bool:
        return number in self._places

    def _number(self, number: int) -> Operand | None:
        place = self._places.get(number)
        return None if place is None else Operand(number, "question", place)


class SingleUseSources(Sources):
    """Sources for a question of known phrasing: each line computes a step that it asks for.

    So each value, and each number that the steps need, is used exactly once.

    Args:
        asked: the question.
    """

    def __init__(self, asked: Question) -> None:
        super().__init__(())
        self._asked = asked
        self._pending = dict(enumerate(asked.steps))  # steps that no line has computed yet
        self._line_of: dict[int, int] = {}  # step: its line
        needed = {reference for step in asked.steps for reference in (step.left, step.right)}
        self._numbers = {
            place: number
            for place, number in enumerate(asked.numbers)
            if Reference("number", place) in needed
        }

    def find(self, line: int, written: Written) -> tuple[Operand, Operand]:
        """Find the step that a line computes, and the sources of both operands."""
        values = {
            step: self._values[its_line]
            for step, its_line in self._line_of.items()
            if its_line in self._values
        }
        for number, step in self._pending.items():
            if not step.steps <= values.keys():
                continue
            found = _match(step, self._asked.operands(step, values), written)
            if found:
                del self._pending[number]
                self._line_of[number] = line
                left, right = found
                return self._use(left, written[2]), self._use(right, written[3])
        if self.wrong_line is None:
            self.wrong_line = line
        return super().find(line, written)

    @property
    def is_solved(self) -> bool:
        """Whether the lines are the steps that the question asks for."""
        return self.wrong_line is None and not self._pending

    def find_unused(self, last: int) -> str | None:
        """Describe an unused number of the question, or unused value; None if all are used."""
        for number in self._numbers.values():
            return f"{number}"
        if self._asked.is_refused and not self._pending:
            return None  # the step that would use the values cannot be computed
        return super().find_unused(last)

    def _use(self, reference: Reference, number: int) -> Operand:
        """Return a source of a step as an operand, which no later line can use."""
        kind, place = reference
        if kind == "number":
            self._numbers.pop(place, None)
            return Operand(number, "question", place)
        line = self._line_of[place]
        self._unused.pop(line, None)
        self._forget(line)
        return Operand(number, "line", line)

    def _value(self, value: int) -> Operand | None:
        operand = super()._value(value)
        if operand:
            self._forget(operand.place)
        return operand

    def _forget(self, line: int) -> None:
        """Remove a line from those whose value can be used."""
        lines = self._lines.get(self._values[line], [])
        if line in lines:
            lines.remove(line)
        if not lines:
            self._lines.pop(self._values[line], None)

    def _has_number(self, number: int) -> bool:
        return number in self._numbers.values()

    def _number(self, number: int) -> Operand | None:
        for place, candidate in self._numbers.items():
            if candidate == number:
                del self._numbers[place]
                return Operand(number, "question", place)
        return None


def _match(step: AskedStep, signed: tuple[int, int], written: Written) -> list[Reference] | None:
    """Match a line with a step; the operands of sums and products may be in any order.

    Args:
        step: the step.
        signed: values of its operands.
        written: the expression of the line.

    Returns:
        The sources of the line's operands, in their order; None if the line computes another step.
    """
    a, b = signed
    if step.operation == "/" and b == 0:
        return None
    sides = [step.left, step.right]
    negated, operation, x, y = unsigned(step.operation, a, b)
    if step.operation in "+-" and operation == "-" and a < 0:
        sides.reverse()  # -5+12 is written as 12-5
    if (negated, operation, x, y) == written:
        return sides
    if operation in "+*" and (negated, operation, y, x) == written:
        return sides[::-1]
    return None


def _has_signs(written: Written, a: int, b: int) -> bool:
    """Return whether an expression is an operation on two signed numbers, in any order."""
    if written[1] == "?":
        return min(a, b) >= 0
    pairs = ((a, b), (b, a))
    return any(unsigned(operation, *pair) == written for operation in "+-*/" for pair in pairs)

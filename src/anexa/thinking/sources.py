"""Sources of operands in a thought: numbers of the question, and values of earlier lines.

An operand is written without its sign; a "signed number" here is the number that it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from anexa.thinking.expressions import Calculation, parse_expression, reducible_operations
from anexa.thinking.facts import MAX_OPERAND_DIGITS, excerpt
from anexa.thinking.thoughts import COMPARISONS, rewrite_unsigned


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of an expression, and its source.

    Attributes:
        number: the operand as it is written, without a sign.
        source: "question" for a number of the question, "line" for the absolute value of an
            earlier line's value, or "nowhere".
        position: index of the number or of the line, from 0; -1 for "nowhere".
    """

    number: int
    source: Literal["question", "line", "nowhere"]
    position: int = -1


WrittenExpression = tuple[bool, str, int, int]
"""The expression of a line, as `rewrite_unsigned` returns it: whether it is negated, -(…); the
operation; the two operands."""


class OperandSources:
    """Sources for a question of unknown phrasing: numbers and values may be used repeatedly.

    For each line call `use_operands`, then `add_value`, then `update_remaining`.

    Args:
        numbers: the numbers of the question.

    Attributes:
        wrong_line: index of the first line that is not a step of the question; None if there is
            none, or the phrasing is not known.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._positions: dict[int, int] = {}
        for position, number in enumerate(numbers):
            self._positions.setdefault(number, position)
        self._lines: dict[int, dict[int, None]] = {}  # value: lines that have it, as a set in order
        self._values: dict[int, int] = {}
        self._unused: dict[int, int] = {}  # line: its value, if no later line has used it yet
        self._remaining: Calculation | None = None  # calculation at the end of the last line
        self.wrong_line: int | None = None

    def use_operands(
        self,
        line: int,  # noqa: ARG002
        written: WrittenExpression,
        value: int,
        calculation: str,
    ) -> tuple[Operand, Operand]:
        """Find the sources of both operands of a line, and mark them as used.

        If a calculation remained before the line, the operands are those of an operation in it; if
        the expression fits several operations, of the one that leaves `calculation`. Otherwise
        the operands are signed numbers that give the expression, preferably unused values.

        Args:
            line: index of the line.
            written: the expression of the line.
            value: the value of the line.
            calculation: the calculation that the line ends with, without place marks; or "".

        Returns:
            The two operands, in the order of the expression.
        """
        _, _, x, y = written
        signed = self._signed(x), self._signed(y)
        expected = [] if self._remaining is None else _steps(self._remaining, written, value)
        if expected:
            leaving = (pair for pair, rest in expected if write_remaining(rest) == calculation)
            a, b = next(leaving, expected[0][0])
            pair = (a, b) if (abs(a), abs(b)) == (x, y) else (b, a)
        elif all(signed):
            fitting = [pair for pair in product(*signed) if _has_signs(written, *pair)]
            if not fitting:
                return Operand(x, "nowhere"), Operand(y, "nowhere")
            pair = max(fitting, key=lambda pair: sum(map(self._is_unused, {*pair})))
        else:
            pair = signed[0][0] if signed[0] else x, signed[1][0] if signed[1] else y
        return self._operand(pair[0]), self._operand(pair[1])

    @property
    def is_solved(self) -> bool:
        """Whether the lines are the steps that the question asks for; True if they are unknown."""
        return self.wrong_line is None

    def add_value(self, line: int, value: int) -> None:
        """Record the value of the line with index `line`."""
        self._lines.setdefault(value, {})[line] = None
        self._values[line] = self._unused[line] = value

    def update_remaining(
        self, written: WrittenExpression, value: int, remainder: int, calculation: str
    ) -> tuple[str, ...]:
        """List the calculations that a line may correctly end with, and remember `calculation`.

        If no calculation remained before the line, it may end with any calculation whose numbers
        have a source, or with none. Otherwise it must be a step of that calculation and end with
        what remains of it.

        Args:
            written: the expression of the line.
            value: the value of the line.
            remainder: the remainder of a division; otherwise 0.
            calculation: the calculation that the line does end with, without place marks; or "".

        Returns:
            The calculations, as texts without place marks, "" for none. Empty if the line is not a
            step of the calculation before it.
        """
        before, self._remaining = self._remaining, _parse_remaining(calculation)
        if before is not None:
            return tuple(write_remaining(rest) for _, rest in _steps(before, written, value))
        said = self._remaining
        if said is None or remainder or not all(map(self._has_source, said.numbers)):
            return ("",)
        return calculation, ""

    def describe_unused(self, last: int) -> str | None:
        """Describe the first value, or the remaining calculation, that no line has used.

        Args:
            last: index of the last line, whose value is the result and need not be used.

        Returns:
            The subject of the sentence "… is never used"; None if everything is used.
        """
        if self._remaining is not None:
            return f'"{excerpt(str(self._remaining))}", which remains after the last line,'
        for line, value in self._unused.items():
            if line != last:
                return f"{value}, the value of line {line + 1},"
        return None

    def _signed(self, number: int) -> list[int]:
        """List the signed numbers that have a source and the absolute value `number`."""
        values = [value for value in (number, -number) if value in self._lines]
        return [*values, number] if self._has_number(number) else values

    def _has_source(self, signed: int) -> bool:
        """Return whether a signed number is the value of a line, or a number of the question."""
        return signed in self._lines or self._has_number(signed)

    def _is_unused(self, value: int) -> bool:
        """Return whether a value is that of a line that no later line has used yet."""
        return value in self._lines and next(reversed(self._lines[value])) in self._unused

    def _operand(self, signed: int) -> Operand:
        """Make an operand of a signed number, from a value if there is one, else the question."""
        nowhere = Operand(abs(signed), "nowhere")
        return self._value(signed) or self._number(signed) or nowhere

    def _value(self, value: int) -> Operand | None:
        """Make an operand of a value and mark its line as used; None if no line has the value.

        The latest of several lines comes first, and the next operand is from the one before it.
        """
        lines = self._lines.get(value)
        if not lines:
            return None
        line = next(reversed(lines))
        if len(lines) > 1:
            del lines[line]
        self._unused.pop(line, None)
        return Operand(abs(value), "line", line)

    def _has_number(self, number: int) -> bool:
        return number in self._positions

    def _number(self, number: int) -> Operand | None:
        position = self._positions.get(number)
        return None if position is None else Operand(number, "question", position)


def _parse_remaining(calculation: str) -> Calculation | None:
    """Parse the calculation at the end of a line; None unless `str(Calculation)` is the same."""
    parsed = parse_expression(calculation, 2 * MAX_OPERAND_DIGITS, has_negatives=True)
    return parsed if str(parsed) == calculation else None


def write_remaining(remaining: Calculation | int | None) -> str:
    """Write what remains of a calculation as the end of a line, without place marks; "" if none."""
    return str(remaining) if isinstance(remaining, Calculation) else ""


def _steps(
    calculation: Calculation, written: WrittenExpression, value: int = 0
) -> list[tuple[tuple[int, int], Calculation | int]]:
    """List the operations in a calculation that the expression of a line may compute.

    Returns:
        For each operation its operands with their signs, and the calculation that results if
        `value` replaces the operation.
    """
    return [
        ((a, b), rest)
        for operation, a, b, rest in reducible_operations(calculation, value)
        if written in write_both_ways(operation, a, b)
    ]


def write_both_ways(operation: str, a: int, b: int) -> list[WrittenExpression]:
    """Rewrite an operation by `rewrite_unsigned`; a sum or product in both orders."""
    negated, sign, x, y = rewrite_unsigned(operation, a, b)
    one = (negated, sign, x, y)
    return [one, (negated, sign, y, x)] if sign in "+*" else [one]


def _has_signs(written: WrittenExpression, a: int, b: int) -> bool:
    """Return whether some operation on two signed numbers, in any order, is written so."""
    if written[1] in COMPARISONS:
        return min(a, b) >= 0
    pairs = ((a, b), (b, a))
    return any(
        rewrite_unsigned(operation, *pair) == written for operation in "+-*/" for pair in pairs
    )

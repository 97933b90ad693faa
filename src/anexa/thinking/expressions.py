"""Calculations with several operations: their parser, and the steps that evaluate them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from anexa.thinking.thoughts import ThoughtStep, is_inexact, write_step

MAX_CALCULATION_NUMBERS = (
    16  # a longer calculation is not parsed, so its brackets cannot nest deeply
)

# A number, operator or bracket, perhaps after a space.
_TOKEN = re.compile(r" ?([0-9]+|[-+*/()])")


@dataclass(frozen=True)
class Calculation:
    """An operation on two numbers or calculations: a node of the syntax tree.

    `str(calculation)` is its text, with brackets only where they are needed, such as `3*(4-2)`.

    Attributes:
        operation: "+", "-", "*", "/", or one of `COMPARISONS`, which are never parsed.
        left: the first operand.
        right: the second operand.
    """

    operation: str
    left: Calculation | int
    right: Calculation | int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the calculation, from left to right."""
        return numbers_of(self.left) + numbers_of(self.right)

    def __str__(self) -> str:
        return f"{_bracketed(self, self.left)}{self.operation}{_bracketed(self, self.right, True)}"


class RefusedDivision(Exception):
    """Raised for a calculation with a division that is by zero or `is_inexact`.

    Only the last operation may leave a remainder, and only if neither of its operands is negative.

    Attributes:
        steps: the steps before the division, and the division itself if its divisor is not 0.
        by_zero: whether the divisor is 0.
    """

    def __init__(self, steps: list[ThoughtStep], *, by_zero: bool = False) -> None:
        super().__init__()
        self.steps, self.by_zero = steps, by_zero


def numbers_of(node: Calculation | int) -> tuple[int, ...]:
    """Return the numbers of an operand, from left to right."""
    return (node,) if isinstance(node, int) else node.numbers


def parse_expression(
    text: str, max_digits: int, *, has_negatives: bool = False
) -> Calculation | None:
    """Parse a calculation with +, -, *, / and brackets; * and / bind more tightly than + and -.

    Args:
        text: the calculation, with at most one space before each number, sign or bracket.
        max_digits: maximum number of digits of a number.
        has_negatives: whether a number may be negative, in brackets: (-7)+3.

    Returns:
        The calculation; None for any other text, such as a single number, or if it has more than
        `MAX_CALCULATION_NUMBERS` numbers.
    """
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match or len(tokens) > 4 * MAX_CALCULATION_NUMBERS or len(match[1]) > max_digits:
            return None
        tokens.append(match[1])
        position = match.end()
    if sum(token.isdigit() for token in tokens) > MAX_CALCULATION_NUMBERS:
        return None
    parser = _Parser(tokens, has_negatives)
    try:
        result = parser.parse_sum()
    except ValueError:
        return None
    return result if isinstance(result, Calculation) and parser.at_end else None


def evaluate(calculation: Calculation, ones_letter: int = 0) -> list[ThoughtStep]:
    """Work out a calculation step by step: always the leftmost operation on two numbers.

    Args:
        calculation: the calculation.
        ones_letter: index of the letter of the ones, 0 for A.

    Returns:
        The steps, in order. The line of each but the last ends with the calculation that remains.

    Raises:
        RefusedDivision: if a division `is_inexact` or a divisor is 0. Its `steps` are empty if
            the number 0 is a divisor in the calculation itself.
    """
    if _divides_by_zero(calculation):
        raise RefusedDivision([], by_zero=True)
    steps: list[ThoughtStep] = []
    remaining: Calculation | int = calculation
    while isinstance(remaining, Calculation):
        operation, a, b, _ = next(reducible_operations(remaining))
        if operation == "/" and b == 0:
            raise RefusedDivision(steps, by_zero=True)
        step = write_step(operation, a, b, ones_letter)
        *_, remaining = next(reducible_operations(remaining, step.value))
        is_last = isinstance(remaining, int)
        if is_inexact(a, b, step.remainder, is_last=is_last):
            raise RefusedDivision([*steps, step])
        steps.append(step if is_last else step.add_remaining(str(remaining), ones_letter))
    return steps


def reducible_operations(
    node: Calculation, value: int = 0
) -> Iterator[tuple[str, int, int, Calculation | int]]:
    """Yield every operation on two numbers in a calculation, from left to right.

    Args:
        node: the calculation.
        value: number that replaces the operation.

    Yields:
        The sign of the operation, its operands, and the calculation (or number) that results if
        `value` replaces the operation.
    """
    operation, left, right = node.operation, node.left, node.right
    if isinstance(left, int) and isinstance(right, int):
        yield operation, left, right, value
    if isinstance(left, Calculation):
        for sign, a, b, reduced in reducible_operations(left, value):
            yield sign, a, b, Calculation(operation, reduced, right)
    if isinstance(right, Calculation):
        for sign, a, b, reduced in reducible_operations(right, value):
            yield sign, a, b, Calculation(operation, left, reduced)


def _divides_by_zero(node: Calculation | int) -> bool:
    """Return whether a divisor in the calculation is the number 0."""
    if isinstance(node, int):
        return False
    if node.operation == "/" and isinstance(node.right, int) and node.right == 0:
        return True
    return _divides_by_zero(node.left) or _divides_by_zero(node.right)


def _bracketed(parent: Calculation, operand: Calculation | int, is_right: bool = False) -> str:
    """Write an operand, in brackets if it is negative or would be parsed otherwise without them."""
    if isinstance(operand, int):
        return f"({operand})" if operand < 0 else str(operand)
    weaker = _is_product(parent) > _is_product(operand)
    equal = _is_product(parent) == _is_product(operand)
    return f"({operand})" if weaker or (is_right and equal) else str(operand)


def _is_product(node: Calculation) -> bool:
    return node.operation in "*/"


class _Parser:
    """Recursive-descent parser of a calculation; raises ValueError on a syntax error."""

    def __init__(self, tokens: list[str], has_negatives: bool) -> None:
        self._tokens, self._position, self._has_negatives = tokens, 0, has_negatives

    @property
    def at_end(self) -> bool:
        """Whether all tokens have been read."""
        return self._position == len(self._tokens)

    def parse_sum(self) -> Calculation | int:
        """Parse a sum: products that are added or subtracted."""
        node = self._parse_product()
        while operation := self._take("+-"):
            node = Calculation(operation, node, self._parse_product())
        return node

    def _parse_product(self) -> Calculation | int:
        node = self._parse_operand()
        while operation := self._take("*/"):
            node = Calculation(operation, node, self._parse_operand())
        return node

    def _parse_operand(self) -> Calculation | int:
        if self._take("("):
            is_negative = self._has_negatives and self._take("-")
            node = -self._parse_number() if is_negative else self.parse_sum()
            if not self._take(")"):
                raise ValueError
            return node
        return self._parse_number()

    def _parse_number(self) -> int:
        if self.at_end or not self._tokens[self._position].isdigit():
            raise ValueError
        self._position += 1
        return int(self._tokens[self._position - 1])

    def _take(self, signs: str) -> str:
        """Read the next token if it is one of `signs`; return "" if it is not."""
        if self.at_end or self._tokens[self._position] not in signs:
            return ""
        self._position += 1
        return self._tokens[self._position - 1]

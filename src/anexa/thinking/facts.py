"""Parser of the facts in a line of a thought: equations about one or two digits, by their kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from anexa.thinking.thoughts import COMPARISONS, LARGER, comparison_sign

# Maximum number of digits of an operand of a line: a longer one is malformed, as `int` takes
# quadratic time.
MAX_OPERAND_DIGITS = 80

_NUMBER = f"([0-9]{{1,{MAX_OPERAND_DIGITS + 2}}})"
# Facts of several operations: two digits are compared (C:3<7), or subtracted (B:13-8-1=4: the digit
# 3 with a borrowed ten, less the digit 8, less the ten that the place before has borrowed). Facts
# of a division: a multiple of the divisor (37*4=148), and the next digit brought down
# (B:10*3+5=35). Its digits are compared and subtracted without the letters of their places.
COMPARISON_PATTERN = re.compile("(?:[A-Z]:)?([0-9])([<=>])([0-9])")
DIFFERENCE_PATTERN = re.compile("(?:[A-Z]:)?([01])([0-9])-([0-9])-([01])=([0-9])")
MULTIPLE_PATTERN = re.compile(rf"{_NUMBER}\*([0-9])={_NUMBER}")
NEXT_DIGIT_PATTERN = re.compile(rf"[A-Z]:10\*{_NUMBER}\+([0-9])={_NUMBER}")
FACT_PATTERNS = {
    "+": (re.compile(r"[A-Z]:([0-9])\+([0-9])\+([0-9])=([0-9]{2})"),),
    "-": (COMPARISON_PATTERN, DIFFERENCE_PATTERN),
    "*": (re.compile(rf"[A-Z]([0-9])\*[a-z]([0-9])\+{_NUMBER}={_NUMBER}(?:;[A-Z]([0-9]))?"),),
    "/": (MULTIPLE_PATTERN, NEXT_DIGIT_PATTERN, COMPARISON_PATTERN, DIFFERENCE_PATTERN),
    **dict.fromkeys(COMPARISONS, (COMPARISON_PATTERN,)),
}
"""Regular expressions of the facts that a line may contain, by its operation. The letters in them
name places and do not take part in the arithmetic."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of a line: an equation about one or two digits.

    Attributes:
        text: the equation.
        true: whether the equation holds.
        fits: whether it is exactly the fact that its position in the line requires, with the right
            digits and the right carry.
    """

    text: str
    true: bool
    fits: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """The checked facts of a line.

    Attributes:
        facts: the facts; superfluous ones at the end are left out.
        digits: the digits that the facts result in, highest place first, with a minus sign if the
            result is negative. None if a fact is missing, superfluous or malformed.
        remainder: the remainder of a division; otherwise 0.
        error: the first mistake, as a sentence; None if all facts are true and fit.
    """

    facts: tuple[Fact, ...]
    digits: str | None
    remainder: int
    error: str | None


def check_facts(
    text: str,
    expression: str,
    operation: str,
    operands: tuple[int, int],
    expected: Iterator[str],
) -> Facts:
    """Check the facts of a line: whether each is true, and is the one that belongs there.

    Args:
        text: the facts, separated by commas.
        expression: the expression of the line, for error messages.
        operation: "+", "-", "*", "/", or one of `COMPARISONS`.
        operands: the two operands, in the order of the expression.
        expected: the facts that belong there, as written by `write_facts`; it is consumed.
    """
    facts, errors = [], []
    spelled = _Spelled(operation, operands)
    for written in text.split(",") if text else ():
        right = next(expected, None)
        if right is None:
            errors.append(f'"{excerpt(written)}" is one fact too many in "{excerpt(expression)}"')
            spelled.is_whole = False
            break
        matches = (pattern.fullmatch(written) for pattern in FACT_PATTERNS[operation])
        match = next((match for match in matches if match), None)
        wrong = _falsehood(operation, match) if match else None
        facts.append(Fact(written, match is not None and wrong is None, written == right))
        if not match:
            errors.append(
                f'"{excerpt(written)}" in "{excerpt(expression)}" is not a fact of its kind'
            )
        elif wrong:
            errors.append(wrong)
        elif written != right:
            errors.append(
                f'"{excerpt(written)}" does not belong in "{excerpt(expression)}", where '
                f'"{excerpt(right)}" is the next fact'
            )
        spelled.add(match)
    missing = next(expected, None)
    if missing is not None:
        errors.append(f'"{excerpt(expression)}" lacks a fact, "{excerpt(missing)}"')
        spelled.is_whole = False
    digits = spelled.digits if spelled.is_whole and facts else None
    return Facts(tuple(facts), digits, spelled.remainder, errors[0] if errors else None)


def _falsehood(operation: str, match: re.Match[str]) -> str | None:
    """Return an error message for a false fact; None if the fact is true."""
    text, groups = match[0], match.groups()
    if match.re is COMPARISON_PATTERN:
        first, sign, second = groups
        is_true = sign == comparison_sign(int(first), int(second))
        return None if is_true else f'"{text}" is not true'
    numbers = [int(group) for group in groups if group is not None]
    if operation == "+":
        result, said = numbers[0] + numbers[1] + numbers[2], numbers[3]
    elif match.re is DIFFERENCE_PATTERN:
        borrow, first_digit, second_digit, borrowed, said = numbers
        result = 10 * borrow + first_digit - second_digit - borrowed
    elif operation == "*":
        result, said = numbers[0] * numbers[1] + numbers[2], numbers[3]
    elif match.re is MULTIPLE_PATTERN:
        result, said = numbers[0] * numbers[1], numbers[2]
    else:
        result, said = 10 * numbers[0] + numbers[1], numbers[2]
    if result != said:
        equation = text.partition(";")[0]
        left, _, right = re.sub("[A-Za-z]:?", "", equation).partition("=")
        return f"{excerpt(left)} is {excerpt(str(result))}, not {excerpt(right)}"
    if operation == "*" and groups[4] is not None and groups[4] != groups[3][-1]:
        return f'{groups[4]} is not the last digit of {excerpt(groups[3])} in "{excerpt(text)}"'
    return None


class _Spelled:
    """The digits that the facts of a line result in, collected fact by fact.

    Attributes:
        is_whole: whether no fact is missing, superfluous or malformed.
    """

    def __init__(self, operation: str, operands: tuple[int, int]) -> None:
        self._operation, self._operands = operation, operands
        self._found: list[str] = []  # digits of the result, in the order of the facts
        self._sign = ""  # "<", "=" or ">" of the last comparison
        self._front = ""  # digits of the carry out of the highest place
        self._rest = ""  # division: digits of the partial dividend or remainder, ones first
        self._columns = 0  # division: number of columns subtracted for the current digit
        self.is_whole = True

    def add(self, match: re.Match[str] | None) -> None:
        """Add a fact; None for a malformed one."""
        if match is None:
            self.is_whole = False
        elif self._operation == "/":
            self._divide(match)
        elif match.re is COMPARISON_PATTERN:
            self._sign = match[2]
        elif self._operation == "+":
            self._front = match[4][0]
            self._found.append(match[4][1])
        elif self._operation == "-":
            self._found.append(match[5])
        else:
            self._front = match[4][:-1]
            if match[5] is not None:
                self._found.append(match[5])

    def _divide(self, match: re.Match[str]) -> None:
        """Add a fact of a division.

        The last multiple that is tried after a digit is brought down gives the quotient's digit;
        multiples before the first digit is brought down are the table and give none.
        """
        if match.re is NEXT_DIGIT_PATTERN:
            self._found.append("0")
            self._rest = match[3][::-1]
        elif match.re is MULTIPLE_PATTERN and self._found:
            self._found[-1] = match[2]
            self._columns = 0
        elif match.re is DIFFERENCE_PATTERN and self._columns < len(self._rest):
            self._rest = self._rest[: self._columns] + match[5] + self._rest[self._columns + 1 :]
            self._columns += 1

    @property
    def remainder(self) -> int:
        """The remainder of a division; otherwise 0."""
        return int(self._rest[::-1] or 0)

    @property
    def digits(self) -> str:
        """The digits of the result; of a comparison those of the operand that the facts choose."""
        if self._operation in COMPARISONS:
            return str(self._operands[(self._sign == "<") == (self._operation == LARGER)])
        if self._operation == "/":
            return "".join(self._found).lstrip("0") or "0"
        digits = (self._front + "".join(reversed(self._found))).lstrip("0") or "0"
        return f"-{digits}" if self._operation == "-" and self._sign == "<" else digits


def excerpt(text: str) -> str:
    """Shorten a text of more than 40 characters to 40 and "…", for error messages.

    Characters that are not printable become "?".
    """
    short = text if len(text) <= 40 else text[:40] + "…"
    if short.isprintable():
        return short
    return "".join(letter if letter.isprintable() else "?" for letter in short)

"""Parser of the facts in a line of a thought: one equation, such as 8+6+0=14, for each column."""

from __future__ import annotations

import re
from dataclasses import dataclass

from anexa.thinking.thoughts import relation

FACTS = {
    "+": re.compile(r"([0-9])\+([0-9])\+([0-9])=([0-9])([0-9])"),
    "*": re.compile(r"([0-9])\*([0-9])\+([0-9])=([0-9])([0-9])"),
    "-": re.compile(r"([0-9])([0-9])-([0-9])-([0-9])=([0-9])"),
    "?": re.compile(r"([0-9])([<=>])([0-9])"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact: the equation of one column.

    Attributes:
        text: the equation.
        true: whether the equation holds.
        fits: whether the fact has the digits of its column and the carry of the previous column,
            which is 0 in the first column.
    """

    text: str
    true: bool
    fits: bool


def parse_calculation(
    text: str, expression: str, operation: str, left: str, right: str
) -> tuple[tuple[Fact, ...], str | None, str | None]:
    """Parse the facts of a sum, a difference, or a product with a digit.

    Args:
        text: the facts, separated by commas, units first.
        expression: the expression of the line, for error messages.
        operation: "+", "-" or "*".
        left: the digits of the first operand.
        right: the digits of the second operand.

    Returns:
        The facts; the digits of the result, or None if a fact cannot be parsed; a sentence about
        the first mistake, or None if all facts are true and fit.
    """
    columns = list(zip(left[::-1], right[0] * len(left) if operation == "*" else right[::-1]))
    texts = text.split(",", len(columns))
    facts, digits, errors = [], [], []
    carried = 0
    for fact, (x, y) in zip(texts, columns):
        match = FACTS[operation].fullmatch(fact)
        if not match:
            facts.append(Fact(fact, true=False, fits=False))
            errors.append(f'"{excerpt(fact)}" in "{expression}" is not a fact of its kind')
            break
        numbers = tuple(map(int, match.groups()))
        if operation == "-":
            carry, first, second, before, digit = numbers
            result, says = 10 * carry + first - second - before, digit
        else:
            first, second, before, carry, digit = numbers
            result = (first + second if operation == "+" else first * second) + before
            says = 10 * carry + digit
        fits = (first, second, before) == (int(x), int(y), carried)
        facts.append(Fact(fact, true=result == says, fits=fits))
        if result != says:
            errors.append(f"{fact.split('=')[0]} is {result}, not {fact.split('=')[1]}")
        elif not fits:
            place = f"digits {x} and {y}, {'borrowed' if operation == '-' else 'carried'} {carried}"
            errors.append(f'"{fact}" does not belong in "{expression}": {place}')
        digits.append(str(digit))
        carried = carry
    if len(texts) != len(columns) and not errors:
        errors.append(f'"{expression}" needs {len(columns)} facts, one for each column')
    if len(digits) < len(columns):
        return tuple(facts), None, errors[0]
    # The carry of the last column is the leading digit; a borrow there has no column to come from.
    front = "" if operation == "-" else str(carried)
    return tuple(facts), front + "".join(reversed(digits)), errors[0] if errors else None


def parse_comparison(
    text: str, expression: str, left: str, right: str
) -> tuple[tuple[Fact, ...], str | None, str | None]:
    """Parse the facts of a comparison.

    Args:
        text: the facts, separated by commas, leftmost digits first.
        expression: the expression of the line, for error messages.
        left: the digits of the first operand.
        right: the digits of the second operand, as many as those of the first.

    Returns:
        The facts; the sign of the last fact, or None if a fact cannot be parsed; a sentence about
        the first mistake, or None if all facts are true and fit.
    """
    # From the left up to and including the first pair of different digits, or to the end.
    alike = next((i for i, (x, y) in enumerate(zip(left, right)) if x != y), len(left) - 1)
    texts = text.split(",", alike + 1)
    facts, errors, signs = [], [], []
    for fact, x, y in zip(texts, left[: alike + 1], right):
        match = FACTS["?"].fullmatch(fact)
        if not match:
            facts.append(Fact(fact, true=False, fits=False))
            errors.append(f'"{excerpt(fact)}" in "{expression}" is not a fact of its kind')
            return tuple(facts), None, errors[0]
        first, sign, second = match.groups()
        signs.append(sign)
        true, fits = sign == relation(int(first), int(second)), (first, second) == (x, y)
        facts.append(Fact(fact, true=true, fits=fits))
        if not true:
            errors.append(f"{fact} is not true")
        elif not fits:
            errors.append(f'"{fact}" does not belong in "{expression}": digits {x} and {y}')
    if len(texts) != alike + 1:
        errors.append(
            f'"{expression}" needs facts up to the first digits that are not alike, {alike + 1}'
        )
    return tuple(facts), signs[-1], errors[0] if errors else None


def excerpt(text: str) -> str:
    """Shorten a text to at most 40 printable characters, for error messages."""
    short = text if len(text) <= 40 else text[:40] + "…"
    if short.isprintable():
        return short
    return "".join(letter if letter.isprintable() else "?" for letter in short)

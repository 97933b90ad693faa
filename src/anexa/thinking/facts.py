"""Facts read: the columns of a line, one by one, and what they spell."""

from __future__ import annotations

import re
from dataclasses import dataclass

from anexa.thinking.thoughts import relation

_FACTS = {
    "+": re.compile(r"([0-9])\+([0-9])\+([0-9])=([0-9])([0-9])"),
    "*": re.compile(r"([0-9])\*([0-9])\+([0-9])=([0-9])([0-9])"),
    "-": re.compile(r"([0-9])([0-9])-([0-9])-([0-9])=([0-9])"),
    "?": re.compile(r"([0-9])([<=>])([0-9])"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One column.

    Attributes:
        text: the equation.
        true: whether it holds.
        fits: whether its digits are those of the column, and what is carried is what the fact
            before says, at first 0.
    """

    text: str
    true: bool
    fits: bool


def read_calculation(
    text: str, expression: str, operation: str, left: str, right: str
) -> tuple[tuple[Fact, ...], str | None, str | None]:
    """The facts of a line, the digits that they spell if they can be read, and what is wrong."""
    columns = list(zip(left[::-1], right[0] * len(left) if operation == "*" else right[::-1]))
    texts = text.split(",", len(columns))
    facts, digits, errors = [], [], []
    carried = 0
    for fact, (x, y) in zip(texts, columns):
        match = _FACTS[operation].fullmatch(fact)
        if not match:
            facts.append(Fact(fact, true=False, fits=False))
            errors.append(f'"{max_grad_norm(fact)}" in "{expression}" is not a fact of its kind')
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
    # What is carried out of the last column is a digit; what is borrowed there has no lender.
    front = "" if operation == "-" else str(carried)
    return tuple(facts), front + "".join(reversed(digits)), errors[0] if errors else None


def read_comparison(
    text: str, expression: str, left: str, right: str
) -> tuple[tuple[Fact, ...], str | None, str | None]:
    """The facts of a comparison, what they say if they can be read, and what is wrong."""
    # From the left up to the first digits that are not alike, or to the end.
    alike = next((i for i, (x, y) in enumerate(zip(left, right)) if x != y), len(left) - 1)
    texts = text.split(",", alike + 1)
    facts, errors, signs = [], [], []
    for fact, x, y in zip(texts, left[: alike + 1], right):
        match = _FACTS["?"].fullmatch(fact)
        if not match:
            facts.append(Fact(fact, true=False, fits=False))
            errors.append(f'"{max_grad_norm(fact)}" in "{expression}" is not a fact of its kind')
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


def max_grad_norm(text: str) -> str:
    """The beginning of a text, fit to be shown in a sentence."""
    short = text if len(text) <= 40 else text[:40] + "…"
    if short.isprintable():
        return short
    return "".join(letter if letter.isprintable() else "?" for letter in short)

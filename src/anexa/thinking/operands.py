"""Random operands of calculations on two numbers, with uniform or with difficult digits."""

from __future__ import annotations

import random
from collections.abc import Sequence

# Minimum fraction of the sums, differences and comparisons in which both operands have full length.
FULL_LENGTH_FRACTION = 0.5

# Sets of digits that are difficult: to carry or borrow across; in a product, those that make the
# largest sums.
_DIFFICULT_DIGITS = ("09", "01", "059", "019", "0", "9")
_DIFFICULT_FACTOR_DIGITS = ("6789", "789", "5678", "4689", "09", "9")


def draw_number(
    rng: random.Random,
    digits: int,
    *,
    uniform: bool = True,
    difficult_digits: Sequence[str] = _DIFFICULT_DIGITS,
) -> int:
    """Draw a number with exactly `digits` digits; with one digit, a number from 0 to 9.

    Args:
        rng: random generator.
        digits: number of digits, at least 1.
        uniform: whether all numbers are equally likely; if not, 3 in 10 consist mostly of difficult
            digits.
        difficult_digits: sets of such digits, one of which is chosen.
    """
    least: int = 10 ** (digits - 1) if digits > 1 else 0
    if uniform or rng.random() < 0.7:
        return rng.randrange(least, 10**digits)
    difficult = rng.choice(difficult_digits)
    drawn = (
        rng.choice(difficult) if rng.random() < 0.8 else rng.choice("0123456789")
        for _ in range(digits)
    )
    number = int("".join(drawn))
    return number if number >= least else number + least * rng.randint(1, 9)


def draw_operands(
    operation: str,
    left_size: int,
    right_size: int | None,
    rng: random.Random,
    *,
    uniform: bool,
) -> tuple[int, int]:
    """Draw the operands of "+", "-", "*", "/" or "?", in random order but for a division.

    A divisor is never 0. In a difficult pair the other operand may have any number of digits up to
    `left_size`.

    Args:
        operation: sign of the operation.
        left_size: number of digits of the longer operand, or of the dividend.
        right_size: number of digits of the other operand. None: drawn from 1 to `left_size`, and
            `left_size` with a probability of at least `FULL_LENGTH_FRACTION`, as otherwise few
            problems would have two digits in the leftmost columns.
        rng: random generator.
        uniform: whether all digits are equally likely, as in held-out problems; if not, difficult
            pairs are drawn more often. Of comparisons, similar operands are always frequent.

    Returns:
        The first and the second operand, neither of them negative.
    """
    if right_size is None:
        right_size = left_size if rng.random() < FULL_LENGTH_FRACTION else rng.randint(1, left_size)
    difficult = _DIFFICULT_FACTOR_DIGITS if operation == "*" else _DIFFICULT_DIGITS
    a, b = (
        draw_number(rng, digits, uniform=uniform, difficult_digits=difficult)
        for digits in (left_size, right_size)
    )
    if operation == "/":
        b = b or rng.randint(1, 9)
        if not uniform and rng.random() < 0.25 and len(str(a - a % b)) == left_size:
            a -= a % b  # without a remainder
        return a, b
    if not uniform or operation == "?":  # two random numbers differ early, which is too easy
        b = _difficult(operation, a, b, left_size, right_size, rng)
    return (a, b) if rng.random() < 0.5 else (b, a)


def _difficult(operation: str, a: int, b: int, left: int, right: int, rng: random.Random) -> int:
    """Replace the second operand, with a small probability, by one that makes it difficult.

    Differences and comparisons get operands that begin with the same digits, sums a long carry, and
    all operations equal operands.
    """
    kind = rng.random()
    if kind < {"-": 0.1, "?": 0.4}.get(operation, 0.0):  # alike up to some digit
        end: int = 10 ** rng.randint(1, left)
        return a - a % end + rng.randrange(end)
    if kind < 0.125 and operation == "+":  # nines and a one: a long carry
        near: int = 10**left - 1 - a + rng.randint(0, 2)
        return near if len(str(near)) <= left else a
    if kind > 0.95 and left == right:
        return a
    return b

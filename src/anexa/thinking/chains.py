"""Random calculations with several operations ("chains")."""

from __future__ import annotations

import random

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate
from anexa.thinking.operands import draw_number
from anexa.thinking.splits import Split, split_of_numbers
from anexa.thinking.thoughts import ThoughtStep

MAX_CHAIN_DIGITS = 4  # maximum number of digits of a number in the calculation
MAX_VALUE_DIGITS = 16  # maximum number of digits of the result of an operation
MAX_CHAIN_FACTS = 81  # maximum number of products of two digits in all facts together

# Operands of a division are usually adjusted until it leaves no remainder. This is the probability
# that they are kept as drawn, by (`exact`, whether the division is the last operation).
KEEP_OPERANDS_PROBABILITY = {
    (True, True): 0.3,
    (True, False): 0.075,
    (False, True): 0.8,
    (False, False): 0.2,
}
# A divisor usually has one or two digits. This is the probability, by `exact`, that it is kept as
# drawn: perhaps longer, or 0.
KEEP_DIVISOR_PROBABILITY = {True: 0.02, False: 0.15}
# Signs that an operation is drawn from, the frequent ones several times.
_SIGNS = "+++---***//"


def draw_chain(
    num_operations: int, rng: random.Random, split: Split, *, exact: bool = True
) -> Calculation:
    """Draw a calculation with several operations, such as 3*(4-2).

    Args:
        num_operations: number of operations, at least 1.
        rng: random generator.
        split: split that the numbers of the calculation belong to.
        exact: True for a calculation that can be worked out: only its last operation may leave a
            remainder. False for one that must be refused: a division `is_inexact`, or a divisor
            is 0.
    """
    while True:
        chain, _ = _draw(num_operations, rng, exact, is_root=True)
        assert isinstance(chain, Calculation)
        if split_of_numbers("chain", chain.numbers) != split:
            continue
        try:
            steps = evaluate(chain)
        except RefusedDivision as error:
            if not exact and all(map(_is_small, error.steps)):
                return chain
            continue
        if exact and all(map(_is_small, steps)) and sum(map(_facts, steps)) <= MAX_CHAIN_FACTS:
            return chain


def _draw(
    num_operations: int, rng: random.Random, exact: bool, *, is_root: bool = False
) -> tuple[Calculation | int, int]:
    """Draw a calculation with a number of operations; with none, a single number.

    Args:
        num_operations: number of operations.
        rng: random generator.
        exact: whether most divisions should leave no remainder.
        is_root: True for the whole calculation, False for an operand of it.

    Returns:
        The calculation or number, and its value (divisions are rounded down; x/0 counts as 0).
    """
    if num_operations == 0:
        number = _number(rng)
        return number, number
    sign = rng.choice(_SIGNS)
    before = rng.randint(0, num_operations - 1)
    left, a = _draw(before, rng, exact)
    right, b = _draw(num_operations - 1 - before, rng, exact)
    if sign == "/":  # random operands would hardly ever divide without a remainder
        kept = KEEP_OPERANDS_PROBABILITY[exact, is_root]
        if isinstance(right, int) and rng.random() > KEEP_DIVISOR_PROBABILITY[exact]:
            right = b = _divisor(a, rng, is_exact=rng.random() > kept)
        if isinstance(left, int) and b and rng.random() > kept:
            left = a = a - a % b
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[sign]
    return Calculation(sign, left, right), value


def _number(rng: random.Random) -> int:
    digits = rng.choices(range(1, MAX_CHAIN_DIGITS + 1), (4, 3, 2, 1))[0]
    return draw_number(rng, digits, uniform=False)


def _divisor(dividend: int, rng: random.Random, *, is_exact: bool) -> int:
    """Draw a divisor of one or two digits; if `is_exact`, one that leaves no remainder, if any."""
    limit = 10 if rng.random() < 0.7 else 100
    exact = [number for number in range(2, limit) if dividend % number == 0] if is_exact else []
    return rng.choice(exact) if exact else rng.randrange(1, limit)


def _facts(step: ThoughtStep) -> int:
    """Return the number of facts of a product; 0 for another operation."""
    return len(str(abs(step.a))) * len(str(abs(step.b))) if step.operation == "*" else 0


def _is_small(step: ThoughtStep) -> bool:
    """Return whether a step is small enough: the operands of a division, the value of another."""
    if step.operation == "/":
        return abs(step.a) < 10**8 and abs(step.b) < 100
    return len(str(abs(step.value))) <= MAX_VALUE_DIGITS

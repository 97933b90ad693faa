"""Random calculations with several operations."""

from __future__ import annotations

import random

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate
from anexa.thinking.operands import draw_number
from anexa.thinking.splits import Split, split_of_numbers
from anexa.thinking.thoughts import ThoughtStep

MAX_CHAIN_DIGITS = 4  # of a number in a calculation with several operations, in training
MAX_VALUE_DIGITS = 16  # of a value of an operation
MAX_FACTS = 81  # of all products together

# Fractions of the divisions in which operands stay as they were drawn, fitting or not: by whether
# the calculation is to be exact, and whether the division is the last operation.
KEPT_OPERANDS = {(True, True): 0.3, (True, False): 0.075, (False, True): 0.8, (False, False): 0.2}
KEPT_DIVISORS = {True: 0.02, False: 0.15}  # of any length, or 0
_SIGNS = "+++---***//"


def draw_chain(
    operations: int, rng: random.Random, split: Split, *, exact: bool = True
) -> Calculation:
    """Draw a calculation.

    Args:
        operations: number of operations.
        rng: random generator.
        split: split of the numbers.
        exact: whether all divisions but the last operation leave no remainder; if not, one does, or
            is by zero.
    """
    while True:
        chain, _ = _draw(operations, rng, exact, is_root=True)
        assert isinstance(chain, Calculation)
        if split_of_numbers("chain", chain.numbers) != split:
            continue
        try:
            steps = evaluate(chain)
        except RefusedDivision as error:
            if not exact and all(map(_is_small, error.steps)):
                return chain
            continue
        if exact and all(map(_is_small, steps)) and sum(map(_facts, steps)) <= MAX_FACTS:
            return chain


def _draw(
    operations: int, rng: random.Random, exact: bool, *, is_root: bool = False
) -> tuple[Calculation | int, int]:
    """Draw a calculation or, of no operation, a number.

    Args:
        operations: number of operations.
        rng: random generator.
        exact: whether most divisions are to leave no remainder.
        is_root: whether it is the whole calculation, which may leave a remainder.

    Returns:
        The calculation, and its value, rounded if a division leaves a remainder.
    """
    if operations == 0:
        number = _number(rng)
        return number, number
    sign = rng.choice(_SIGNS)
    before = rng.randint(0, operations - 1)
    left, a = _draw(before, rng, exact)
    right, b = _draw(operations - 1 - before, rng, exact)
    if sign == "/":  # random operands would hardly ever fit
        kept = KEPT_OPERANDS[exact, is_root]
        if isinstance(right, int) and rng.random() > KEPT_DIVISORS[exact]:
            right = b = _divisor(a, rng, is_exact=rng.random() > kept)
        if isinstance(left, int) and b and rng.random() > kept:
            left = a = a - a % b
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[sign]
    return Calculation(sign, left, right), value


def _number(rng: random.Random) -> int:
    digits = rng.choices(range(1, MAX_CHAIN_DIGITS + 1), (4, 3, 2, 1))[0]
    return draw_number(rng, digits, uniform=False)


def _divisor(dividend: int, rng: random.Random, *, is_exact: bool) -> int:
    """Draw a divisor of one or two digits, without a remainder where there is such a number."""
    most = 10 if rng.random() < 0.7 else 100
    fitting = [number for number in range(2, most) if dividend % number == 0] if is_exact else []
    return rng.choice(fitting) if fitting else rng.randrange(1, most)


def _facts(step: ThoughtStep) -> int:
    return len(str(abs(step.a))) * len(str(abs(step.b))) if step.operation == "*" else 0


def _is_small(step: ThoughtStep) -> bool:
    """Whether an operation has no more digits than those on two numbers have in training."""
    if step.operation == "/":
        return abs(step.a) < 10**8 and abs(step.b) < 100
    return len(str(abs(step.value))) <= MAX_VALUE_DIGITS

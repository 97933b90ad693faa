"""Answers to calculations, and the thoughts that lead to them."""

from __future__ import annotations

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate
from anexa.thinking.thoughts import COMPARISONS, ThoughtStep

EQUAL_ANSWER = "They are equal."  # answer to a comparison of equal numbers
# Refusals of a calculation with a division by 0, or with one that `is_inexact` (thoughts.py).
BY_ZERO_REFUSAL = "Nothing can be divided by 0."
INEXACT_REFUSAL = "I can only go on with a division that leaves no remainder."


def answer_of(step: ThoughtStep) -> str:
    """Return the answer that follows from the last step of a thought."""
    return write_answer(step.operation, step.a, step.b, step.value, step.remainder)


def write_answer(operation: str, a: int, b: int, value: int, remainder: int) -> str:
    """Write the answer that follows from the last line of a thought.

    Args:
        operation: operation of the line.
        a: its first operand.
        b: its second operand.
        value: its value.
        remainder: the remainder of a division; otherwise 0.

    Returns:
        The value, such as `-4525`; quotient and remainder, such as `26 R 30`; or `EQUAL_ANSWER` for
        a comparison of equal numbers.
    """
    if operation in COMPARISONS and a == b:
        return EQUAL_ANSWER
    return f"{value} R {remainder}" if remainder else str(value)


def solve(calculation: Calculation, ones_letter: int = 0) -> tuple[list[ThoughtStep], str]:
    """Work out a calculation: return the thought about it, and its answer.

    A thought ends at the first division whose result cannot be used, and the answer is the reason:
    `INEXACT_REFUSAL` or `BY_ZERO_REFUSAL`. A calculation with "/0" in it is refused without a
    thought.

    Args:
        calculation: the calculation.
        ones_letter: index of the letter of the ones in the thought, 0 for A.

    Returns:
        The steps of the thought, [] if there is none, and the answer.
    """
    try:
        steps = evaluate(calculation, ones_letter)
    except RefusedDivision as error:
        return error.steps, BY_ZERO_REFUSAL if error.by_zero else INEXACT_REFUSAL
    return steps, answer_of(steps[-1])

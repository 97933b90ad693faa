"""Answers to calculations, and the thoughts that lead to them."""

from __future__ import annotations

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate
from anexa.thinking.thoughts import ThoughtStep

EQUAL = "They are equal."  # answer to a comparison
# Refusals of calculations: a division by 0, or a remainder (`thoughts.is_inexact`).
BY_ZERO = "Nothing can be divided by 0."
INEXACT = "I can only go on with a division that leaves no remainder."


def answer_of(step: ThoughtStep, asked: str = "larger") -> str:
    """Return the answer that the last line of a thought leads to.

    Args:
        step: the step of the last line.
        asked: for a comparison, whether the question asks for the "larger" or the "smaller" number.

    Returns:
        The value, such as `-4525`; quotient and remainder, such as `26 R 30`; for a comparison, one
        of its two operands, or `EQUAL`.
    """
    if step.operation == "?":
        if step.a == step.b:
            return EQUAL
        return str(max(step.a, step.b) if asked == "larger" else min(step.a, step.b))
    return f"{step.value} R {step.remainder}" if step.remainder else str(step.value)


def solve(calculation: Calculation, ones_letter: int = 0) -> tuple[list[ThoughtStep], str]:
    """Work out a calculation: the thought about it, and its answer.

    A thought ends at the first division whose result cannot be used, and the answer is the reason:
    `INEXACT` or `BY_ZERO`. A calculation with "/0" in it is refused without a thought.

    Args:
        calculation: the calculation.
        ones_letter: index of the letter of the ones, 0 for A.

    Returns:
        The steps of the thought, [] if there is none, and the answer.
    """
    try:
        steps = evaluate(calculation, ones_letter)
    except RefusedDivision as error:
        return error.steps, BY_ZERO if error.by_zero else INEXACT
    return steps, answer_of(steps[-1])

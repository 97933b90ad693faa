"""Answers to calculations, and the thoughts that lead to them."""

from __future__ import annotations

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate
from anexa.thinking.thoughts import ThoughtStep

EQUAL_ANSWER = "They are equal."  # answer to a comparison of equal numbers
# Refusals of a calculation with a division by 0, or with one that `is_inexact` (thoughts.py).
BY_ZERO_REFUSAL = "Nothing can be divided by 0."
INEXACT_REFUSAL = "I can only go on with a division that leaves no remainder."


def answer_of(step: ThoughtStep, comparison: str = "larger") -> str:
    """Return the answer that the last line of a thought leads to.

    Args:
        step: the step of the last line.
        comparison: for a comparison, the number that the question asks for: "larger" or "smaller".

    Returns:
        The value, such as `-4525`; quotient and remainder, such as `26 R 30`; for a comparison, one
        of its two operands, or `EQUAL_ANSWER`.
    """
    if step.operation == "?":
        if step.a == step.b:
            return EQUAL_ANSWER
        return str(max(step.a, step.b) if comparison == "larger" else min(step.a, step.b))
    return f"{step.value} R {step.remainder}" if step.remainder else str(step.value)


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

"""Chapter 3: softmax and cross-entropy that do not overflow, compared with 60 decimal digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from random import Random

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

TOLERANCE = 1e-12  # Question.tolerance of most questions
DIGITS = 60  # decimal digits of the exact computation
# Question.why, here and below.
WHY_SOFTMAX = (
    "Softmax is e to the power of each logit, divided by the sum of these powers: only then are "
    "the results probabilities that add up to 1."
)
WHY_LOSS = (
    "The loss is minus the natural logarithm of the target's probability. A loss that is cut off, "
    "or in another unit sends training in a wrong direction."
)


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the softmax of logits, computed with 60 digits: p_i = exp(z_i) / sum_j exp(z_j)."""
    with localcontext() as context:
        context.prec = DIGITS
        powers = [Decimal(logit).exp() for logit in logits]
        return [float(power / sum(powers)) for power in powers]


def cross_entropy(logits: Sequence[float], target: int) -> float:
    """Return the loss in nats, log(sum_j exp(z_j)) − z_target, computed with 60 digits."""
    with localcontext() as context:
        context.prec = DIGITS
        total = sum((Decimal(logit).exp() for logit in logits), Decimal())
        return float(total.ln() - Decimal(logits[target]))


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw three logits and a target, as a text, and the question for the loss to 0.006."""
    logits = rng.sample([-1, 0, 1, 2, 3], 3)
    target = rng.randrange(3)
    right = cross_entropy(logits, target)
    probability = softmax(logits)[target]
    mistakes = (
        Mistake("This is the probability of the target; the loss is −ln of it.", probability),
        Mistake(_MINUS, -right),
        Mistake(_BITS, right / math.log(2)),
        Mistake("This is by log10: use the key “ln” of the calculator.", right / math.log(10)),
    )
    question = Question(BY_HAND, (), right, WHY_LOSS, 0.006, mistakes)
    return f"logits: {logits}\ntarget: number {target}, counted from 0", question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: small logits, then those with which a careless formula fails."""
    small = [round(rng.uniform(-3, 3), 2) for _ in range(4)]
    target = rng.randrange(4)
    large = [1000.0 + logit for logit in small]
    far = [float(rng.randrange(1500, 2500)), round(rng.uniform(-5, 5), 1), 0.0]
    return [
        _softmax(small),
        _cross_entropy(small, target),
        _softmax(large),
        _softmax([-logit for logit in large]),
        _cross_entropy(large, target),
        _cross_entropy([-logit for logit in large], target),
        _cross_entropy(far, 1),
        _cross_entropy([rng.uniform(-9, 9) for _ in range(200)], rng.randrange(200)),
    ]


_MINUS = "The logarithm of a probability is negative, and a loss is its opposite."
_BITS = "This is in bits, by log2; the course uses the natural logarithm, math.log."
_OVERFLOW = (
    "e to the power of 1000 is larger than any number that a float can have. Subtract the largest "
    "logit from all logits first: the probabilities stay the same."
)
_UNDERFLOW = (
    "e to the power of −1000 is rounded to 0, and so is their sum. Subtract the largest logit from "
    "all logits first: then one of the powers is 1."
)
_EQUAL = (
    "All tokens became equally probable: if large logits are cut off, their differences are lost. "
    "Subtract the largest logit from all logits instead."
)
_LOG_OF_ZERO = (
    "The probability is so small that it is rounded to 0, and log(0) has no value. Do not "
    "compute it: the loss is log(sum of the powers) − logit of the target, after subtracting the "
    "largest logit from all."
)
_CUT = (
    "The loss of a hopeless guess is as large as the gap between the logits. A smallest "
    "probability such as 1e-12 cuts it off, and the model no longer learns from its worst mistakes."
)


def _softmax(logits: list[float]) -> Question:
    total = sum(logits)
    mistakes = [
        Mistake("Divide by the sum of the powers, not by the largest one.", _by_largest(logits)),
        Mistake(_EQUAL, [1 / len(logits)] * len(logits)),
        Mistake(_OVERFLOW, raises="OverflowError"),
        Mistake(_UNDERFLOW, raises="ZeroDivisionError"),
    ]
    if total:
        shares = [logit / total for logit in logits]
        mistakes.append(Mistake("These are shares of the logits, without the powers.", shares))
    return Question("softmax", (logits,), softmax(logits), WHY_SOFTMAX, TOLERANCE, tuple(mistakes))


def _by_largest(logits: list[float]) -> list[float]:
    return [math.exp(logit - max(logits)) for logit in logits]


def _cross_entropy(logits: list[float], target: int) -> Question:
    right = cross_entropy(logits, target)
    mistakes = [
        Mistake(_MINUS, -right),
        Mistake(_BITS, right / math.log(2)),
        *[Mistake(_CUT, -math.log(10.0**-n)) for n in range(5, 20) if right > 100],
        Mistake(
            "This is log of the sum, without minus the target's logit.", right + logits[target]
        ),
        Mistake(_OVERFLOW, raises="OverflowError"),
        Mistake(_LOG_OF_ZERO, raises="ValueError"),
        Mistake(_UNDERFLOW, raises="ZeroDivisionError"),
    ]
    return Question("cross_entropy", (logits, target), right, WHY_LOSS, TOLERANCE, tuple(mistakes))


EXERCISE = Exercise(by_hand, questions)

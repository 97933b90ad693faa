"""Solutions of chapter 3."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import exp, log

def softmax(logits):
    largest = max(logits)
    powers = [exp(logit - largest) for logit in logits]
    return [power / sum(powers) for power in powers]

def cross_entropy(logits, target):
    largest = max(logits)
    total = sum([exp(logit - largest) for logit in logits])
    return log(total) - (logits[target] - largest)
"""

WRONG: Wrong = {
    "shares of the logits": (
        "return [power / sum(powers) for power in powers]",
        "return [logit / sum(logits) for logit in logits]",
        "shares of the logits",
    ),
    "divided by the largest": (
        "return [power / sum(powers) for power in powers]",
        "return powers",
        "not by the largest one",
    ),
    "an overflow": (
        "powers = [exp(logit - largest)",
        "powers = [exp(logit)",
        "larger than any number that a float can have",
    ),
    "large logits cut off": (
        "powers = [exp(logit - largest)",
        "powers = [exp(min(logit, 700))",
        "their differences are lost",
    ),
    "log of a probability": (
        "return log(total) - (logits[target] - largest)",
        "return -log(softmax(logits)[target])",
        "log(0) has no value",
    ),
    "a smallest probability": (
        "return log(total) - (logits[target] - largest)",
        "return -log(max(softmax(logits)[target], 1e-12))",
        "A smallest probability such as 1e-12 cuts it off",
    ),
    "a small number is added": (
        "return log(total) - (logits[target] - largest)",
        "return -log(softmax(logits)[target] + 1e-9)",
        "A loss that is cut off",
    ),
    "no minus": (
        "return log(total) - (logits[target] - largest)",
        "return logits[target] - largest - log(total)",
        "a loss is its opposite",
    ),
    "bits": (
        "return log(total) - (logits[target] - largest)",
        "return (log(total) - (logits[target] - largest)) / log(2)",
        "This is in bits",
    ),
    "the largest subtracted once": (
        "(logits[target] - largest)",
        "logits[target]",
        "minus the natural logarithm of the target",
    ),
}

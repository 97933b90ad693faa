"""Solutions of chapter 9."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import random

def loss(forward, x, g):
    return sum([a * b for a, b in zip(g, forward(x))])

def error(forward, backward, x, g):
    h, found = 1e-5, []
    for i in range(len(x)):
        right, left = list(x), list(x)
        right[i] += h
        left[i] -= h
        slope = (loss(forward, right, g) - loss(forward, left, g)) / (2 * h)
        found.append(abs(backward(x, g)[i] - slope))
    return max(found)

def find(operations, x):
    rng, result = random.Random(1), None
    for name, forward, backward in operations:
        y = forward(x)
        g = [rng.uniform(-1, 1) for _ in y]
        if error(forward, backward, x, g) > 1e-5:
            return name
        x = y
    return result
"""

WRONG: Wrong = {
    "one side": (
        "(loss(forward, right, g) - loss(forward, left, g)) / (2 * h)",
        "(loss(forward, right, g) - loss(forward, x, g)) / h",
        "one side alone sees the curve bend",
    ),
    "half the distance": ("/ (2 * h)", "/ h", "it is 2·h, not h"),
    "one list for both points": (
        "right, left = list(x), list(x)",
        "right, left = x, x",
        "list(x) is a copy",
    ),
    "a step to the left": (
        "right, left = list(x), list(x)",
        "right, left = list(x), x",
        "not moved back",
    ),
    "differences with a sign": (
        "abs(backward(x, g)[i] - slope)",
        "backward(x, g)[i] - slope",
        "compare with abs",
    ),
    "differences with the other sign": (
        "abs(backward(x, g)[i] - slope)",
        "slope - backward(x, g)[i]",
        "compare with abs",
    ),
    "a mean": ("max(found)", "sum(found) / len(found)", "the mean of the differences"),
    "a sum of differences": ("max(found)", "sum(found)", "the sum of the differences"),
    "a sum of outputs": ("[a * b for a, b", "[b for a, b", "not the sum of the outputs"),
    "ones": ("rng.uniform(-1, 1) for", "1.0 for", "With ones in place of random numbers"),
    "the same input": ("        x = y\n", "", "the output of the one before"),
    "equality": ("> 1e-5", "> 0", "by rounding"),
    "a large difference": ("> 1e-5", "> 0.01", "is too large"),
    "the last one": ("return name", "result = name", "This is the last wrong operation"),
}

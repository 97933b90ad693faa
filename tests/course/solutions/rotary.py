"""Solutions of chapter 13."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import cos, radians, sin

def frequencies(size, base):
    return [base ** (-2 * i / size) for i in range(size // 2)]

def turn(x, position, base):
    half = len(x) // 2
    y = list(x)
    for i, frequency in enumerate(frequencies(len(x), base)):
        angle = position * frequency
        a, b = x[i], x[i + half]
        y[i] = a * cos(angle) - b * sin(angle)
        y[i + half] = b * cos(angle) + a * sin(angle)
    return y
"""

WRONG: Wrong = {
    "no 2 in the power": ("-2 * i / size", "-i / size", "The 2 is missing"),
    "divided by half of the size": ("i / size)", "i / (size // 2))", "Divide by the whole size"),
    "a factor instead of a power": (
        "base ** (-2 * i / size)",
        "1 / base * -2 * i / size",
        "and not a factor",
    ),
    "no minus in the power": ("(-2 * i", "(2 * i", "The power has a minus"),
    "a frequency for each number": (
        "range(size // 2)",
        "range(size)",
        "half as many as the vector has numbers",
    ),
    "counted from 1": ("range(size // 2)", "range(1, size // 2 + 1)", "i is counted from 0"),
    "two plus signs": ("a * cos(angle) - b", "a * cos(angle) + b", "Exactly one of the two signs"),
    "two minus signs": ("b * cos(angle) + a", "b * cos(angle) - a", "Exactly one of the two signs"),
    "cos and sin exchanged": (
        "b * cos(angle) + a * sin(angle)",
        "a * cos(angle) + b * sin(angle)",
        "cos and sin are exchanged",
    ),
    "an overwritten number": (
        "b * cos(angle) + a * sin(angle)",
        "b * cos(angle) + y[i] * sin(angle)",
        "keep both first",
    ),
    "two angles in a pair": (
        """    for i, frequency in enumerate(frequencies(len(x), base)):
        angle = position * frequency
        a, b = x[i], x[i + half]
        y[i] = a * cos(angle) - b * sin(angle)
        y[i + half] = b * cos(angle) + a * sin(angle)
""",
        """    for i in range(len(x)):
        angle = position * base ** (-i / len(x))
        other = -x[i + half] if i < half else x[i - half]
        y[i] = x[i] * cos(angle) + other * sin(angle)
""",
        "Both numbers of a pair have the same angle",
    ),
    "a position that is added": (
        """        y[i] = a * cos(angle) - b * sin(angle)
        y[i + half] = b * cos(angle) + a * sin(angle)
""",
        "        y[i], y[i + half] = a + position, b + position\n",
        "it has to turn the vector",
    ),
    "degrees": ("angle = position * frequency", "angle = radians(position * frequency)", "radians"),
    "the other direction": (
        "angle = position * frequency",
        "angle = -position * frequency",
        "in the other direction",
    ),
    "neighbors": (
        """        a, b = x[i], x[i + half]
        y[i] = a * cos(angle) - b * sin(angle)
        y[i + half] = b * cos(angle) + a * sin(angle)
""",
        """        a, b = x[2 * i], x[2 * i + 1]
        y[2 * i] = a * cos(angle) - b * sin(angle)
        y[2 * i + 1] = b * cos(angle) + a * sin(angle)
""",
        "not neighbors",
    ),
    "positions from 1": ("angle = position", "angle = (position + 1)", "counted from 0"),
}

"""Solutions of chapter 7."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import sqrt

def rmsnorm(x):
    rho = sqrt(sum([xi * xi for xi in x]) / len(x) + 1e-5)
    return [xi / rho for xi in x]

def rmsnorm_gradient(x, g):
    rho = sqrt(sum([xi * xi for xi in x]) / len(x) + 0.00001)
    y = [xi / rho for xi in x]
    mean = sum([gi * yi for gi, yi in zip(g, y)]) / len(g)
    return [(gi - yi * mean) / rho for gi, yi in zip(g, y)]

def block_gradient(x, weight, g):
    back = [sum([gi * row[j] for gi, row in zip(g, weight)]) for j in range(len(x))]
    through = rmsnorm_gradient(x, back)
    return [gi + ti for gi, ti in zip(g, through)]
"""

WRONG: Wrong = {
    "a sum of squares": (") / len(x) + 1e-5", ") + 1e-5", "divide their sum by the count"),
    "no root": (
        "sqrt(sum([xi * xi for xi in x]) / len(x) + 1e-5)",
        "sum([xi * xi for xi in x]) / len(x) + 1e-5",
        "not by the mean itself",
    ),
    "nothing added": (" + 1e-5", "", "The 1e-5 is missing"),
    "nothing added for the gradient": (" + 0.00001", "", "The 1e-5 is missing"),
    "added after the root": ("+ 1e-5)", "+ 0) + 1e-5", "before the root"),
    "a constant": ("(gi - yi * mean)", "gi", "This takes ρ for a constant"),
    "the other sign": ("(gi - yi * mean)", "(gi + yi * mean)", "the second path is subtracted"),
    "a sum of products": (" / len(g)", "", "has the mean of g · y, not the sum"),
    "a mean of gradients": ("[gi * yi for", "[gi for", "not the mean of g alone"),
    "not divided": ("(gi - yi * mean) / rho", "gi - yi * mean", "Both paths are divided by ρ"),
    "numbers that are not normalized": (
        "- yi * mean",
        "- x[0] / y[0] * yi * mean",
        "not x itself",
    ),
    "no path through the plus": ("[gi + ti for", "[ti for", "path through the plus is missing"),
    "no path through the weights": (
        "[gi + ti for",
        "[gi for",
        "path through the weights is missing",
    ),
    "rows for columns": (
        "for gi, row in zip(g, weight)])",
        "for gi, row in zip(g, zip(*weight))])",
        "The matrix is square",
    ),
    "no norm": ("through = rmsnorm_gradient(x, back)", "through = back", "block without it"),
}

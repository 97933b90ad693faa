"""Solutions of chapter 11."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import exp

def sigma(a):
    return 1 / (1 + exp(-a)) if a > 0 else exp(a) / (1 + exp(a))

def swiglu(a, b):
    y = [ai * sigma(ai) * bi for ai, bi in zip(a, b)]
    return y

def swiglu_gradient(a, b, g):
    sigmas = [sigma(ai) for ai in a]
    da = [gi * bi * (s + ai * s * (1 - s)) for ai, bi, gi, s in zip(a, b, g, sigmas)]
    db = [gi * (ai * s) for ai, gi, s in zip(a, g, sigmas)]
    return da, db
"""

WRONG: Wrong = {
    "no a before sigma": ("ai * sigma(ai) * bi", "sigma(ai) * bi", "the a before σ is missing"),
    "no b": ("ai * sigma(ai) * bi", "ai * sigma(ai)", "has to be multiplied by b"),
    "b is the gate": ("ai * sigma(ai) * bi", "bi * sigma(bi) * ai", "The gate is a, not b"),
    "no minus in sigma": (
        "return 1 / (1 + exp(-a)) if a > 0 else exp(a) / (1 + exp(a))",
        "return 1 / (1 + exp(a))",
        "with a minus",
    ),
    "relu": ("ai * sigma(ai) * bi", "max(0, ai) * bi", "This is ReLU"),
    "an overflow": (
        "return 1 / (1 + exp(-a)) if a > 0 else exp(a) / (1 + exp(a))",
        "return 1 / (1 + exp(-a))",
        "larger than any number that a float can have",
    ),
    "sigma is a constant": ("(s + ai * s * (1 - s))", "s", "takes σ(a) for a constant"),
    "the other term alone": ("(s + ai * s * (1 - s))", "(ai * s * (1 - s))", "σ(a) by itself"),
    "the slope of sigma": ("(s + ai * s * (1 - s))", "s * (1 - s)", "and not that of a · σ(a)"),
    "a plus in the slope": ("(1 - s)", "(1 + s)", "with a minus"),
    "half of the slope": ("ai * s * (1 - s)", "ai * (1 - s)", "has two factors"),
    "no g": (
        "    sigmas = [sigma(ai) for ai in a]",
        "    sigmas = [sigma(ai) for ai in a]\n    g = [1.0] * len(a)",
        "g is missing",
    ),
    "no b in the gradient of a": ("gi * bi * (s", "gi * (s", "the factor b is missing"),
    "no a in the gradient of b": ("gi * (ai * s)", "gi * s", "the factor a is missing"),
    "no sigma in the gradient of b": ("gi * (ai * s)", "gi * ai", "the factor σ(a) is missing"),
    "gradients exchanged": ("return da, db", "return db, da", "are exchanged"),
    "one gradient": ("return da, db", "return da", "return two lists"),
    "an input that is changed": (
        "    return y",
        "    a[:] = y\n    return a",
        "The inputs still belong to others",
    ),
    "numbers of the last call": (
        """    return y

def swiglu_gradient(a, b, g):
    sigmas = [sigma(ai) for ai in a]
""",
        """    sigmas[:] = [sigma(ai) for ai in a]
    return y

sigmas = []

def swiglu_gradient(a, b, g):
""",
        "must depend on nothing but the arguments",
    ),
}

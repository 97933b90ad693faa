"""Solutions of chapter 4."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import math
from microgpt import Value

def tanh(x):
    t = math.tanh(x.data)
    return Value(t, (x,), (1 - t * t,))

def slope(f, x):
    h = 1e-5
    return (f(x + h) - f(x - h)) / (2 * h)
"""

WRONG: Wrong = {
    "the slope from x": ("1 - t * t", "1 - x.data**2", "this is 1 − x²"),
    "no square": ("1 - t * t", "1 - t", "the square is missing"),
    "a float": ("Value(t, (x,), (1 - t * t,))", "t", "remembers nothing"),
    "no child": ("(x,)", "(Value(x.data),)", "the walk backward never reaches x"),
    "a float as child": ("(x,)", "(x.data,)", "The child is x itself"),
    "no tuple of children": ("(x,)", "(x)", "(x,) with a comma is one"),
    "no tuple": ("(1 - t * t,)", "(1 - t * t)", "(x,) with a comma is one"),
    "the tanh of a Value": ("math.tanh(x.data)", "math.tanh(x)", "its number is x.data"),
    "powers that overflow": (
        "math.tanh(x.data)",
        "(math.exp(2 * x.data) - 1) / (math.exp(2 * x.data) + 1)",
        "use math.tanh",
    ),
    "one side": (
        "return (f(x + h) - f(x - h)) / (2 * h)",
        "return (f(x + h) - f(x)) / h",
        "one side alone",
    ),
    "one side, with a smaller step": (
        "h = 1e-5\n    return (f(x + h) - f(x - h)) / (2 * h)",
        "h = 1e-7\n    return (f(x + h) - f(x)) / h",
        "Look to both sides",
    ),
    "no parentheses": ("/ (2 * h)", "/ 2 * h", "needs parentheses"),
    "half the distance": ("(2 * h)", "h", "it is 2·h, not h"),
    "the other sign": ("f(x + h) - f(x - h)", "f(x - h) - f(x + h)", "the opposite sign"),
    "a step that is too small": ("h = 1e-5", "h = 1e-14", "sees rounding errors"),
    "a step that is lost": ("h = 1e-5", "h = 1e-20", "lost in rounding"),
}

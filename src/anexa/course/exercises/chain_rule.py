"""Chapter 4: `tanh` for `Value`s, and central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import microgpt
from anexa.course.exercise import BY_HAND, Exercise, MissingName, Mistake, Question, ask
from microgpt import Value

VALUE, SLOPE = "tanh(x)", "the gradient of x"  # keys of the answer to a question for `tanh`
CHAIN = "gradients of tanh(tanh(a * b) + a)"  # Question.call that uses the reader's `tanh` twice
TOLERANCE = 1e-12  # Question.tolerance of questions for `tanh`
SLOPE_TOLERANCE = 1e-5  # of `slope`: of central differences with a step from 1e-3 to 1e-7

# Functions that `slope` is asked about, by the code that is shown: function, and its derivative.
FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "lambda x: x**2": (lambda x: x**2, lambda x: 2 * x),
    "lambda x: math.exp(3 * x)": (
        lambda x: math.exp(3 * x),
        lambda x: 3 * math.exp(3 * x),
    ),
    "math.sin": (math.sin, math.cos),
    "abs": (abs, lambda x: float((x > 0) - (x < 0))),
}


def ask_values(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file: `tanh` is given `Value`s, and `slope` a function.

    For `tanh` it is a dict of `VALUE` and `SLOPE`, or of `VALUE` alone, a text with the type of a
    result that is no `Value`. For `CHAIN` it is a list: the gradients of a and b. A gradient is
    None if the backward pass has not reached the number.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call == "slope":
        function, x = arguments
        return ask(names, call, (FUNCTIONS[function][0], x))
    if call not in ("tanh", CHAIN):
        return ask(names, call, arguments)
    if "tanh" not in names:
        raise MissingName("tanh")
    tanh = names["tanh"]
    if call == CHAIN:
        a, b = map(Value, arguments)
        slopes = microgpt.gradients(tanh(tanh(a * b) + a))
        return [slopes.get(a), slopes.get(b)]
    x = Value(arguments[0])
    y = tanh(x)
    if not isinstance(y, Value):
        return {VALUE: f"a {type(y).__name__}"}
    return {VALUE: y.data, SLOPE: microgpt.gradients(y).get(x)}


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw three numbers, as a text, and the question for the gradients of (a·b + c)·a."""
    a, b, c = rng.sample([-5, -4, -3, -2, 2, 3, 4, 5], 3)
    right = [2 * a * b + c, a * a, a]
    mistakes = (
        Mistake(_ONE_PATH, [a * b + c, a * a, a]),
        Mistake(_ONE_PATH, [a * b, a * a, a]),
        Mistake("Multiply along the path: sum is multiplied by a at the end.", [b, a, 1]),
    )
    why = "Multiply the slopes along each path back to the number, and add the paths."
    text = f"a = {a}, b = {b}, c = {c}\nresult = (a * b + c) * a\ngradients of a, b and c: ?"
    return text, Question(BY_HAND, (), right, why, mistakes=mistakes)


def questions(rng: Random) -> list[Question]:
    """Draw the questions: `tanh` near 0 and far from it, in a chain; then `slope`."""
    x = round(rng.uniform(0.3, 0.9), 2)
    a, b = round(rng.uniform(0.2, 0.9), 2), round(rng.uniform(-0.9, -0.2), 2)
    return [
        _tanh(x),
        _tanh(-x),
        _tanh(400.0 + rng.randrange(99)),
        _chain(a, b),
        _slope("lambda x: x**2", float(rng.randrange(2, 9))),
        _slope("lambda x: math.exp(3 * x)", x),
        _slope("math.sin", round(rng.uniform(2, 4), 2)),
        _slope("abs", 0.0),
    ]


_ONE_PATH = "Two paths lead back to a, as it is used twice: add both."
_FLOAT = "The result remembers nothing: return a Value, with x as its child and with its slope."
_NO_CHILD = "The result does not have x among its children: the walk backward never reaches x."
_CHILD_IS_FLOAT = "The child is x itself, which is a Value: x.data is only its number."
_OVERFLOW = "tanh of a large number is 1, but e to the power of it overflows: use math.tanh."
_NO_FLOAT = "math.tanh needs a number, and x is a Value: its number is x.data."
_NO_TUPLE = "Children and slopes are tuples: (x,) with a comma is one, (x) is not."
_NEARLY_0 = (
    "This is nearly 0. To divide by 2·h needs parentheses: / (2 * h). If you have them, the step "
    "is so small that it is lost in rounding: use 1e-5."
)
_WHY_TANH = (
    "With t = tanh(x), the number is t and the slope is 1 − t²: a wrong slope trains wrongly."
)


def _tanh(x: float) -> Question:
    t = math.tanh(x)
    slopes = [
        ("The slope is 1 − t², with t = tanh(x): this is 1 − x².", 1 - x * x),
        ("The slope is 1 − t²: the square is missing.", 1 - t),
        ("The slope is 1 − t²: this is t itself.", t),
        ("The slope is 1 − t²: the sign of t² is wrong.", 1 + t * t),
        (_NO_CHILD, None),
    ]
    mistakes = [Mistake(reason, {VALUE: t, SLOPE: slope}) for reason, slope in slopes]
    raised = (
        Mistake(_OVERFLOW, raises="OverflowError"),
        Mistake(_NO_TUPLE, raises="TypeError", message="not iterable"),
        Mistake(_NO_TUPLE, raises="TypeError", message="not reversible"),
        Mistake(_NO_FLOAT, raises="TypeError", message="must be real number"),
        Mistake(_CHILD_IS_FLOAT, raises="AttributeError", message="'float' object"),
    )
    return Question(
        "tanh",
        (x,),
        {VALUE: t, SLOPE: 1 - t * t},
        _WHY_TANH,
        TOLERANCE,
        (*mistakes, Mistake(_FLOAT, {VALUE: "a float"}), *raised),
    )


def _chain(a: float, b: float) -> Question:
    inner = math.tanh(a * b)
    outer = 1 - math.tanh(inner + a) ** 2
    right = [outer * ((1 - inner**2) * b + 1), outer * (1 - inner**2) * a]
    why = "One tanh inside another: each has its own slope, and the slopes are multiplied."
    return Question(CHAIN, (a, b), right, why, TOLERANCE, label=f"{CHAIN} for a={a}, b={b}")


def _slope(function: str, x: float) -> Question:
    f, derivative = FUNCTIONS[function]
    right = derivative(x)
    mistakes = [
        Mistake("Divide by the distance of the two points: it is 2·h, not h.", 2 * right),
        Mistake("Divide by the distance of the two points, 2·h.", (f(x + 1e-5) - f(x - 1e-5))),
        Mistake("Subtract the left from the right: this has the opposite sign.", -right),
        Mistake(_NEARLY_0, 0.0),
    ]
    if not right:
        sides = "Look to both sides: at a bend, one side alone gives another slope."
        mistakes = [Mistake(sides, 1.0), Mistake(sides, -1.0)]
    raised = Mistake(
        "x + h and x − h are the same number: use a step of 1e-5.", raises="ZeroDivisionError"
    )
    why = (
        "Look to both sides, with a step of about 1e-5: one side alone, or a larger step, sees the "
        "curve bend, and a smaller step sees rounding errors."
    )
    return Question(
        "slope",
        (function, x),
        right,
        why,
        SLOPE_TOLERANCE,
        (*mistakes, raised),
        f"slope({function}, {x})",
    )


EXERCISE = Exercise(by_hand, questions, ask_values)

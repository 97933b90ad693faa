"""Chapter 9: numerical gradients, to find the operation whose backward is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask
from anexa.course.exercises.cross_entropy import softmax

Vector = list[float]
Forward = Callable[[Vector], Vector]  # output of an operation from its input x
Backward = Callable[[Vector, Vector], Vector]  # gradient of x from x and the output's gradient g

# Question.tolerance of `error`; the reader writes this function, and `find`.
TOLERANCE = 1e-5
STEP = 1e-5  # by which x is moved where the result of a typical mistake is computed
# Weights of the operation "linear", which computes MATRIX @ x.
MATRIX = [
    [0.9, -1.3, 0.4, 0.7],
    [-0.8, 0.5, 1.1, -0.6],
    [1.2, 0.3, -0.9, 0.8],
    [-0.4, 1.4, 0.6, 1.0],
]


def _engine(operation: str, x: Vector, g: Vector | None = None) -> Vector:
    """Compute the output of an operation by the engine `lists`; with `g`, the gradient of x."""
    from anexa.engines.operations.lists import Linear, ReLU, RMSNorm

    gradient: Sequence[Any]
    if operation == "linear":
        linear = Linear()
        output = linear.forward([x], MATRIX)
        gradient = linear.backward([g]) if g else ()
    elif operation == "rmsnorm":
        norm = RMSNorm()
        output = norm.forward([x], None, 1e-5)
        gradient = norm.backward([g]) if g else ()
    else:
        relu = ReLU()
        output = relu.forward([x])
        gradient = relu.backward([g]) if g else ()
    return list(map(float, gradient[0][0] if g else output[0]))


def _softmax_backward(x: Vector, g: Vector) -> Vector:
    p = softmax(x)
    return [pi * (gi - _dot(p, g)) for pi, gi in zip(p, g)]


def _softmax_spoiled(x: Vector, g: Vector) -> Vector:
    return [pi * (gi - sum(g) / len(g)) for pi, gi in zip(softmax(x), g)]


def _rmsnorm_spoiled(x: Vector, g: Vector) -> Vector:
    return [gi / math.sqrt(_dot(x, x) / len(x) + 1e-5) for gi in g]


# By name: forward, the right backward, and a wrong one.
OPERATIONS: dict[str, tuple[Forward, Backward, Backward]] = {
    "linear": (
        partial(_engine, "linear"),
        partial(_engine, "linear"),
        lambda _x, g: [_dot(row, g) for row in MATRIX],
    ),
    "relu": (partial(_engine, "relu"), partial(_engine, "relu"), lambda _x, g: list(g)),
    "rmsnorm": (partial(_engine, "rmsnorm"), partial(_engine, "rmsnorm"), _rmsnorm_spoiled),
    "softmax": (softmax, _softmax_backward, _softmax_spoiled),
    "shrink": (
        lambda x: [xi / 1000 for xi in x],
        lambda _x, g: [gi / 1000 for gi in g],
        lambda _x, g: [gi / 500 for gi in g],
    ),
    "exp3": (
        lambda x: [math.exp(3 * xi) for xi in x],
        lambda x, g: [3 * math.exp(3 * xi) * gi for xi, gi in zip(x, g)],
        lambda x, g: [math.exp(3 * xi) * gi for xi, gi in zip(x, g)],
    ),
}

_WHY_ERROR = (
    "For each number of x, move it by 1e-5 to both sides, and divide the difference of the two dot "
    "products with g by 2e-5. Compare that with backward(x, g)."
)
_WHY_FIND = (
    "Check each operation with its own input and a random g: one with a wrong backward spoils the "
    "gradients of everything before it, so its name matters."
)
_SIGNED = "A gradient that is too small is as wrong as one that is too large: compare with abs."
_MEAN = "This is the mean of the differences: one wrong number of many disappears in it."
_SUM = "This is the sum of the differences, and the largest is asked for."
_ONE_SIDE = "Look to both sides: one side alone sees the curve bend, and blames a right gradient."
_HALF = (
    "Divide by the distance of the two points: it is 2·h, not h. And they must be two: after a = x "
    "both names mean the same list, while list(x) is a copy."
)
_ONES_DOT = "The loss is the dot product of g and the output, not the sum of the outputs."
_MOVED = "x was moved by a step and not moved back, before backward was asked: work on a copy."
_ROUNDING = (
    "All are right here: central differences differ from a right gradient by rounding. Allow a "
    "difference of 1e-5."
)
_INPUT = (
    "The ReLU is wrong for negative numbers, and gets some: the input of each operation is the "
    "output of the one before."
)
_THRESHOLD = (
    "The difference that is allowed is too large: shrink has a small gradient, and it is wrong."
)
_ONES = (
    "With ones in place of random numbers, g does not see it: the outputs of softmax always add up "
    "to 1, so the slope of their sum is 0, right or wrong."
)
_LAST = "This is the last wrong operation, and the first one of the list is asked for."
_CLAIMED = "This is what the program says, and it is wrong: divide the difference by 0.2."
_DISTANCE = "The two losses are 0.2 apart, not 0.1: divide by that."
_FROM_0 = "Weights are counted from 0, as in the text."


def ask_operations(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Ask the reader's file a question, with the functions of operations in place of their names.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call == "error":
        name, is_wrong, x, g = arguments
        return ask(names, call, (*_functions(name, is_wrong), list(x), list(g)))
    if call == "find":
        chain, x = arguments
        return ask(names, call, ([(name, *_functions(name, bad)) for name, bad in chain], list(x)))
    return ask(names, call, arguments)


def _functions(name: str, is_wrong: bool) -> tuple[Forward, Backward]:
    forward, right, wrong = OPERATIONS[name]
    return forward, wrong if is_wrong else right


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw four gradients, one of them wrong, and the losses that show it, as a text."""
    slopes = rng.sample([-3.0, -2.5, -1.5, -1.0, 1.0, 1.5, 2.5, 3.0], 4)
    index = rng.randrange(4)
    said = list(slopes)
    said[index] = slopes[index] * rng.choice([-1, 0.5, 2])
    lines = []
    for i, slope in enumerate(slopes):
        middle = rng.randrange(20, 40) / 10
        above, below = middle + slope / 10, middle - slope / 10
        lines.append(
            f"weight {i}: loss {above:.2f} at w + 0.1, {below:.2f} at w - 0.1; "
            f"the program says {said[i]:g}"
        )
    right = slopes[index]
    mistakes = (
        Mistake(_FROM_0, [index + 1, right]),
        Mistake(_CLAIMED, [index, said[index]]),
        Mistake(_DISTANCE, [index, 2 * right]),
        Mistake("Subtract the loss at w − 0.1 from that at w + 0.1.", [index, -right]),
    )
    why = "For each weight, divide the difference of its two losses by 0.2, and compare."
    lines.append("the wrong one, and its right gradient: ?")
    return "\n".join(lines), Question(BY_HAND, (), [index, right], why, 1e-6, mistakes)


def questions(rng: Random) -> list[Question]:
    """Draw the questions: errors of single operations, then chains with up to two wrong ones."""

    def vector(low: float, high: float) -> Vector:
        return [round(rng.uniform(low, high), 3) for _ in range(4)]

    g = vector(0.2, 1.0)
    g[rng.randrange(4)] *= -1
    found = [_error("exp3", False, vector(1.5, 2.0), g)]
    for name, sign in (("softmax", 1), ("softmax", -1), ("rmsnorm", 1), ("linear", -1)):
        found.append(_draw_error(rng, name, sign))
    # Two inputs of ReLU are clearly negative, one is clearly positive, and none is near its bend.
    while True:
        x = vector(0.2, 1.5)
        y = sorted(OPERATIONS["linear"][0](x))
        if y[1] < -0.2 and y[-1] > 0.3 and min(map(abs, y)) > 0.02:
            break
    names = ["linear", "relu", "rmsnorm", "softmax"]
    return [
        *found,
        _find(names, (), x, [Mistake(_ROUNDING, name) for name in names]),
        _find(names, ("relu",), x, [Mistake(_INPUT, None)]),
        _find(["linear", "shrink", "exp3"], ("shrink",), x, [Mistake(_THRESHOLD, None)]),
        _find(names, ("softmax",), x, [Mistake(_ONES, None)]),
        _find(names, ("linear", "rmsnorm"), x, [Mistake(_LAST, "rmsnorm")]),
    ]


def _draw_error(rng: Random, name: str, sign: int) -> Question:
    """Draw a question about a wrong backward that shows only if differences are taken with `abs`.

    The largest difference of the wrong gradient from the right one has the opposite of `sign`, and
    those with this sign are clearly smaller. It is above 0.02.
    """
    _, right, wrong = OPERATIONS[name]
    while True:
        x = [round(rng.uniform(-1.5, 1.5), 3) for _ in range(4)]
        g = [round(rng.uniform(-1, 1), 3) for _ in range(4)]
        differences = [a - b for a, b in zip(wrong(x, g), right(x, g))]
        if max(sign * d for d in differences) < 0.8 * max(map(abs, differences)) > 0.02:
            return _error(name, True, x, g)


def _error(name: str, is_wrong: bool, x: Vector, g: Vector) -> Question:
    forward, backward = _functions(name, is_wrong)
    said, exact = backward(x, g), OPERATIONS[name][1](x, g)
    differences = [abs(a - b) for a, b in zip(said, exact)]
    right = max(differences)
    ones = [1.0] * len(x)
    one_sided = [_slope(forward, x, g, i, sides) for sides in ((1, 0), (0, -1)) for i in range(4)]
    wrong = [
        (_MEAN, sum(differences) / len(x)),
        (_SUM, sum(differences)),
        (_SIGNED, max(a - b for a, b in zip(said, exact))),
        (_SIGNED, max(b - a for a, b in zip(said, exact))),
        (_HALF, _largest(said, [2 * b for b in exact])),
        (_ONE_SIDE, _largest(said, one_sided[:4])),
        (_ONE_SIDE, _largest(said, one_sided[4:])),
        (_ONES_DOT, _largest(said, OPERATIONS[name][1](x, ones))),
        (_ONES_DOT, _largest(backward(x, ones), OPERATIONS[name][1](x, ones))),
        (_MOVED, _largest(backward([xi - STEP for xi in x], g), exact)),
        (_MOVED, _largest(backward([xi + STEP for xi in x], g), exact)),
    ]
    mistakes = tuple(Mistake(why, number) for why, number in wrong if abs(number - right) > 1e-5)
    which = "wrong" if is_wrong else "right"
    label = f"error({name}, its {which} backward, {x}, {g})"
    arguments = (name, is_wrong, x, g)
    return Question("error", arguments, right, _WHY_ERROR, TOLERANCE, mistakes, label)


def _slope(forward: Forward, x: Vector, g: Vector, i: int, sides: tuple[int, int]) -> float:
    ends = [[*x[:i], x[i] + side * STEP, *x[i + 1 :]] for side in sides]
    above, below = [_dot(g, forward(end)) for end in ends]
    return (above - below) / STEP


def _largest(x: Vector, y: Vector) -> float:
    return max(abs(a - b) for a, b in zip(x, y))


def _find(names: list[str], wrong: Sequence[str], x: Vector, mistakes: list[Mistake]) -> Question:
    chain = [[name, name in wrong] for name in names]
    right = next((name for name in names if name in wrong), None)
    which = f"a wrong {' and a wrong '.join(wrong)}" if wrong else "nothing wrong"
    label = f"find([{', '.join(names)}], x) with {which}"
    return Question("find", (chain, x), right, _WHY_FIND, 0.0, tuple(mistakes), label)


def _dot(x: Sequence[float], y: Sequence[float]) -> float:
    return sum(xi * yi for xi, yi in zip(x, y))


EXERCISE = Exercise(by_hand, questions, ask_operations)

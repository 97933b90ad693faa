"""Chapter 7: RMSNorm, its gradient and that of a residual block, compared with `lists`."""

from __future__ import annotations

import math
from random import Random

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

Vector = list[float]
Matrix = list[list[float]]  # rows

TOLERANCE = 1e-11  # Question.tolerance of most questions
EPS = 1e-5  # added to the mean square; by hand nothing is added
# Magnitudes of vectors by hand, whose mean square is 25.
ROUND = [[1, 1, 7, 7], [1, 5, 5, 7], [1, 3, 3, 9], [2, 4, 4, 8]]

_WHY = "Divide each number by the root of the mean of the squares, with 1e-5 added to the mean."
_WHY_GRADIENT = (
    "The gradient is (g − y · mean(g · y)) / ρ: a path through the number itself, and one through "
    "ρ, to which every number contributes."
)
_WHY_BLOCK = (
    "Two paths lead back: g itself through the plus, and through the weights and the norm the "
    "gradient of RMSNorm. Add both."
)
_NO_EPS = "The 1e-5 is missing: a vector of zeros is divided by 0, and a small one differs."
_EPS_OUTSIDE = "The 1e-5 is added to the mean of the squares, before the root."
_SUM = "RMS has the mean of the squares: divide their sum by the count of the numbers."
_NO_ROOT = "Divide by the root of the mean of the squares, not by the mean itself."
_CONSTANT = (
    "This takes ρ for a constant. But if a number grows, so does ρ, and all outputs shrink: the "
    "second path is missing."
)
_PLUS = "If ρ grows, the outputs shrink: the second path is subtracted, not added."
_GRADIENT_SUM = "The second path has the mean of g · y, not the sum: ρ is made from a mean."
_GRADIENT_MEAN = "The second path has the mean of the products g · y, not the mean of g alone."
_UNDIVIDED = "Both paths are divided by ρ at the end: this is not."
_BY_X = (
    "The second path has y, the normalized numbers, not x itself, and it is divided by ρ like the "
    "first."
)
_ONE_PATH = "The path through the plus is missing: g itself, whose slope is 1."
_PLUS_ONLY = "The path through the weights is missing: the layer reads x, too."
_TRANSPOSED = (
    "Rows and columns are exchanged: on the way back, output i pulls at number j by "
    "weight[i][j]. The matrix is square, so nothing else warns you."
)
_UNNORMED = "The gradient goes back through the norm, too: this is that of a block without it."


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a vector whose RMS is 5, and the gradient of its RMSNorm, as a text, and the question.

    Returns:
        The text, and the question for the gradient of the vector.
    """
    x = [rng.choice([-1, 1]) * number for number in rng.sample(rng.choice(ROUND), 4)]
    g = [0, 0, 0, 0]
    g[rng.randrange(4)] = rng.choice([-10, -5, 5, 10])
    text = f"x = {x}\ng = {g}\ngradient of x: ?"
    return text, _gradient([float(xi) for xi in x], [float(gi) for gi in g], BY_HAND)


def questions(rng: Random) -> list[Question]:
    """Draw the questions: the norm, its gradient, and the gradient of a block."""

    def vector(count: int, size: float = 2.0) -> Vector:
        return [rng.choice([-1, 1]) * round(rng.uniform(0.2, size), 4) for _ in range(count)]

    small = [number / 500 for number in vector(4)]
    weight = [vector(4) for _ in range(4)]
    return [
        _norm(vector(3)),
        _norm(small),
        _norm([0.0, 0.0]),
        _gradient(vector(4), vector(4)),
        _gradient([100 * number for number in vector(6)], vector(6)),
        _gradient(small, vector(4)),
        _block(vector(4), weight, vector(4)),
    ]


def _norm(x: Vector) -> Question:
    from anexa.engines.operations.lists import RMSNorm

    [right] = RMSNorm().forward([x], None, EPS)
    square = sum(xi * xi for xi in x) / len(x)
    wrong = [(_NO_ROOT, square + EPS), (_SUM, math.sqrt(square * len(x) + EPS))]
    wrong += [(_EPS_OUTSIDE, math.sqrt(square) + EPS), (_NO_EPS, math.sqrt(square))]
    mistakes = [Mistake(why, [xi / rho for xi in x]) for why, rho in wrong if square]
    mistakes.append(Mistake(_NO_EPS, raises="ZeroDivisionError"))
    return Question("rmsnorm", (x,), right, _WHY, TOLERANCE, tuple(mistakes))


def _gradient(x: Vector, g: Vector, call: str = "rmsnorm_gradient") -> Question:
    eps, tolerance = (0.0, 0.006) if call == BY_HAND else (EPS, TOLERANCE)
    right = _backward(x, g, eps)
    if call == BY_HAND:
        right = [round(number, 4) for number in right]
    rho = math.sqrt(sum(xi * xi for xi in x) / len(x) + eps)
    y = [xi / rho for xi in x]
    mean = sum(gi * yi for gi, yi in zip(g, y)) / len(x)
    mean_g = sum(g) / len(g)
    wrong = [
        (_CONSTANT, [gi / rho for gi in g]),
        (_PLUS, [(gi + yi * mean) / rho for gi, yi in zip(g, y)]),
        (_GRADIENT_SUM, [(gi - yi * mean * len(x)) / rho for gi, yi in zip(g, y)]),
        (_GRADIENT_MEAN, [(gi - yi * mean_g) / rho for gi, yi in zip(g, y)]),
        (_UNDIVIDED, [gi - yi * mean for gi, yi in zip(g, y)]),
        (_UNDIVIDED, [gi - yi * mean / rho for gi, yi in zip(g, y)]),
        (_BY_X, [(gi - xi * mean) / rho for gi, xi in zip(g, x)]),
    ]
    if call != BY_HAND:
        wrong.append((_NO_EPS, _backward(x, g, 0.0)))
    mistakes = tuple(Mistake(why, result) for why, result in wrong)
    arguments = () if call == BY_HAND else (x, g)
    return Question(call, arguments, right, _WHY_GRADIENT, tolerance, mistakes)


def _backward(x: Vector, g: Vector, eps: float = EPS) -> Vector:
    """Return the gradient of the input of RMSNorm, by the engine `lists`."""
    from anexa.engines.operations.lists import RMSNorm

    norm = RMSNorm()
    norm.forward([x], None, eps)
    [gradient] = norm.backward([g])
    assert isinstance(gradient, list)
    return list(map(float, gradient[0]))


def _block(x: Vector, weight: Matrix, g: Vector) -> Question:
    from anexa.engines.operations.lists import Linear, RMSNorm

    linear = Linear()
    linear.forward(RMSNorm().forward([x], None, EPS), weight)
    dy = linear.backward([g])[0]
    assert isinstance(dy, list)
    back = list(map(float, dy[0]))
    through = _backward(x, back)
    exchanged = _backward(x, [sum(w * gi for w, gi in zip(row, g)) for row in weight])
    mistakes = (
        Mistake(_ONE_PATH, through),
        Mistake(_PLUS_ONLY, g),
        Mistake(_TRANSPOSED, _plus(g, exchanged)),
        Mistake(_UNNORMED, _plus(g, back)),
        Mistake(_CONSTANT, _plus(g, [b / math.sqrt(_mean_square(x) + EPS) for b in back])),
    )
    right = _plus(g, through)
    return Question("block_gradient", (x, weight, g), right, _WHY_BLOCK, TOLERANCE, mistakes)


def _plus(x: Vector, y: Vector) -> Vector:
    return [xi + yi for xi, yi in zip(x, y)]


def _mean_square(x: Vector) -> float:
    return sum(xi * xi for xi in x) / len(x)


EXERCISE = Exercise(by_hand, questions)

"""Chapter 5: a linear layer and its gradient, compared with the engine `lists`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

Matrix = list[list[float]]  # rows

TOLERANCE = 1e-12  # Question.tolerance of most questions
# Question.why and Mistake.reason, here and below.
ROWS = "A row of the weights belongs to an output: output i is the dot product of x and row i."
WHY_GRADIENT = (
    "Element j of row i is the sum over all tokens t of errors[t][i] · xs[t][j]. A weight that "
    "gets another token's pull learns from the wrong text."
)
WHY_STRONGEST = (
    "The pull of token t at this weight is errors[t][i] · xs[t][j]: compare these products, not "
    "the errors or the numbers alone."
)
TRANSPOSED = (
    "Rows and columns are exchanged: row i belongs to output i, and column j to number j of x."
)


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw two tokens and their errors, as a text, and the question for the gradient of W."""
    xs = [[rng.choice([-3, -2, 2, 3]), rng.choice([-1, 1, 4, 5])] for _ in range(2)]
    errors = [rng.choice([[0.5, -0.5], [-0.5, 0.5]]), rng.choice([[0.25, -0.25], [-0.75, 0.75]])]
    text = (
        f"token 0: x = {xs[0]}, errors = {errors[0]}\n"
        f"token 1: x = {xs[1]}, errors = {errors[1]}\n"
        "gradient: ?"
    )
    question = _gradient([list(map(float, x)) for x in xs], errors, BY_HAND)
    return text, question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: outputs, gradients of one token and of several, and strongest pulls."""

    def matrix(height: int, width: int) -> Matrix:
        return [[round(rng.uniform(-2, 2), 3) for _ in range(width)] for _ in range(height)]

    xs, errors = matrix(7, 4), matrix(7, 3)
    found = [_linear(matrix(1, 3)[0], matrix(3, 3)), _linear(xs[0], matrix(3, 4))]
    found += [_gradient(xs[:1], errors[:1]), _gradient(xs, errors), _gradient(xs, matrix(7, 4))]
    while True:  # until a mistake is seen by its result
        xs, errors = matrix(9, 4), matrix(9, 3)
        indices = [(i, j) for i in range(3) for j in range(4)]
        tokens_at = {index: _tokens(xs, errors, *index) for index in indices}
        telling = [at for at, tokens in tokens_at.items() if len({*tokens, tokens[0] + 1}) == 4]
        if len(telling) >= 2:
            return found + [_strongest(xs, errors, *index) for index in telling[:2]]


def _linear(x: list[float], weight: Matrix) -> Question:
    from anexa.engines.operations.lists import Linear

    [right] = Linear().forward([x], weight)
    columns = [sum(xi * row[j] for xi, row in zip(x, weight)) for j in range(len(weight[0]))]
    mistakes = (
        Mistake(TRANSPOSED, columns),
        Mistake(ROWS, raises="IndexError"),
        Mistake("Add the products up: the dot product is one number.", _products(x, weight)),
    )
    return Question("linear", (x, weight), right, ROWS, TOLERANCE, mistakes)


def _products(x: list[float], weight: Matrix) -> list[list[float]]:
    return [[xi * w for xi, w in zip(x, row)] for row in weight]


def _gradient(xs: Matrix, errors: Matrix, call: str = "gradient") -> Question:
    from anexa.engines.operations.lists import Linear

    layer = Linear()
    layer.forward(xs, [[0.0] * len(xs[0]) for _ in errors[0]])
    _, right = layer.backward(errors)
    assert isinstance(right, list)
    last = [[error * x for x in xs[-1]] for error in errors[-1]]
    shared = [[sum(column) for column in zip(*right)]] * len(right)
    mistakes = (
        Mistake(
            "All rows are one and the same list, as [[0] * n] * m makes them: make one for each.",
            shared,
        ),
        Mistake(TRANSPOSED, [list(column) for column in zip(*right)]),
        Mistake("The pulls of all tokens are added: this is the last one's alone.", last),
        Mistake(
            "Add the pulls up: the mean divides once more, and weights learn too slowly.",
            [[value / len(xs) for value in row] for row in right],
        ),
        Mistake(
            "The gradient has the opposite sign: a step goes against it, later.",
            [[-value for value in row] for row in right],
        ),
    )
    told = tuple(mistake for mistake in mistakes if mistake.result != right)
    arguments = () if call == BY_HAND else (xs, errors)
    return Question(call, arguments, right, WHY_GRADIENT, TOLERANCE, told)


def _tokens(xs: Matrix, errors: Matrix, i: int, j: int) -> tuple[int, int, int]:
    """Return the tokens with the strongest pull, the strongest upward, and the largest error."""
    pulls = [error[i] * x[j] for x, error in zip(xs, errors)]
    magnitudes = [abs(pull) for pull in pulls]
    return _largest(magnitudes), _largest(pulls), _largest([abs(error[i]) for error in errors])


def _strongest(xs: Matrix, errors: Matrix, i: int, j: int) -> Question:
    right, upward, wrong = _tokens(xs, errors, i, j)
    mistakes = (
        Mistake("A pull downward counts as much as one upward: compare magnitudes.", upward),
        Mistake(WHY_STRONGEST, wrong),
        Mistake("Tokens are counted from 0.", right + 1),
    )
    return Question("strongest", (xs, errors, i, j), right, WHY_STRONGEST, mistakes=mistakes)


def _largest(numbers: Sequence[float]) -> int:
    return max(range(len(numbers)), key=lambda t: numbers[t])


EXERCISE = Exercise(by_hand, questions)

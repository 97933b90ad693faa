"""Chapter 6: one head of causal attention, compared with the engine `lists`."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question
from anexa.course.exercises.cross_entropy import softmax

Matrix = list[list[float]]  # rows: a vector for each token

TOLERANCE = 1e-12  # Question.tolerance of most questions
# Question.why of all questions.
WHY = (
    "An output is the mean of the values of the tokens so far, weighted by the softmax of the "
    "scores: if one weight is wrong, a token listens to the wrong one."
)


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a query and three keys, as a text, and the question for the attention weights."""
    query = [rng.choice([-2, -1, 1, 2]) for _ in range(4)]
    keys = [[rng.choice([-1, 0, 1]) for _ in range(4)] for _ in range(3)]
    scores = [_dot(query, key) for key in keys]
    mistakes = (
        Mistake(_UNSCALED, softmax(scores)),
        Mistake(_BY_LENGTH, softmax([score / 4 for score in scores])),
        Mistake("These are the scores: softmax makes them into weights.", scores),
        Mistake("Softmax comes last.", [score / 2 for score in scores]),
    )
    right = softmax([score / 2 for score in scores])
    question = Question(BY_HAND, (), right, WHY, 0.006, mistakes)
    lines = [
        f"query of token 2: {query}",
        *[f"key of token {s}:   {key}" for s, key in enumerate(keys)],
    ]
    return "\n".join([*lines, "weights of token 2: ?"]), question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: one token, several, and scores that overflow."""

    def matrix(height: int, size: float = 2.0) -> Matrix:
        return [[round(rng.uniform(-size, size), 3) for _ in range(4)] for _ in range(height)]

    large = [[1000.0 + x for x in row] for row in matrix(3)]
    return [
        _attention(matrix(1), matrix(1), matrix(1)),
        _attention(matrix(3), matrix(3), matrix(3)),
        _attention(matrix(8), matrix(8), matrix(8)),
        _attention(large, matrix(3), matrix(3), ", with large queries"),
    ]


_AHEAD = (
    "A token looks ahead: what it has to guess is what it sees. In training the loss becomes "
    "wonderful, and the model cannot write."
)
_ZERO_SCORE = (
    "A score of 0 is a score like others: what is ahead needs minus infinity, before softmax."
)
_ZERO_WEIGHT = "If weights are set to 0 after softmax, the others add up to less than 1."
_UNSCALED = (
    "Divide the scores by the square root of the length of a query: else softmax is too sure."
)
_BY_LENGTH = (
    "Divide by the square root of the length, not by the length: else all weights are alike."
)
_BY_COUNT = "Divide by the square root of the length of a query, not of the number of tokens."
_EXCHANGED = "Queries are compared with keys, and values are averaged: here two are exchanged."
_NOT_ITSELF = "A token looks at itself, too: token t sees t + 1 tokens, from token 0 to token t."
_FIRST_ONLY = "This is the first output only: does return stand inside the loop over the tokens?"
_NUMBERS = "An output is a vector, a list as long as a value. Here the outputs are single numbers."
_WIDTH = "An output is as long as a value: it has len(values[0]) numbers, and not len(values)."
_OVERFLOW = (
    "e to the power of a large score is larger than any number that a float can have: subtract the "
    "largest score of the row first."
)


def _attention(queries: Matrix, keys: Matrix, values: Matrix, remark: str = "") -> Question:
    from anexa.engines.operations.lists_attention import Attention

    right = Attention().forward(queries, keys, values, 1, None)
    inputs, length = (queries, keys, values), len(queries[0])
    wrong: list[tuple[str, Any]] = [
        (_FIRST_ONLY, right[:1]),
        (_WIDTH, [row[: len(queries)] for row in right]),
        (_NUMBERS, [row[0] for row in right]),
        (_NUMBERS, [number for row in right for number in row]),
        (_NOT_ITSELF, _outputs(*inputs, math.sqrt(length), "before")),
        (_AHEAD, _outputs(*inputs, math.sqrt(length), "none")),
        (_ZERO_SCORE, _outputs(*inputs, math.sqrt(length), "score")),
        (_ZERO_WEIGHT, _outputs(*inputs, math.sqrt(length), "weight")),
        (_UNSCALED, _outputs(*inputs, 1.0, "right")),
        (_BY_LENGTH, _outputs(*inputs, float(length), "right")),
        (_BY_COUNT, _outputs(*inputs, math.sqrt(len(queries)), "right")),
        (_EXCHANGED, _outputs(queries, values, keys, math.sqrt(length), "right")),
        (_EXCHANGED, _outputs(keys, queries, values, math.sqrt(length), "right")),
    ]
    mistakes = [Mistake(reason, result) for reason, result in wrong if result != right]
    mistakes += [
        Mistake(_OVERFLOW, raises="OverflowError"),
        Mistake(_NOT_ITSELF, raises="ValueError", message="empty"),  # the largest of no scores
    ]
    label = f"attention, {len(queries)} token{'s' if len(queries) > 1 else ''}{remark}"
    return Question("attention", inputs, right, WHY, TOLERANCE, tuple(mistakes), label)


def _outputs(queries: Matrix, keys: Matrix, values: Matrix, divisor: float, mask: str) -> Matrix:
    """Return the outputs of attention with a mistake in the mask, or in what it is computed from.

    Args:
        queries: vectors of the tokens that look.
        keys: vectors that they are compared with.
        values: vectors that are averaged.
        divisor: number that scores are divided by.
        mask: how later tokens are hidden: "right", "none", a "score" of 0, a "weight" of 0, or
            "before" if the token itself is hidden, too.
    """
    outputs = []
    for t, query in enumerate(queries):
        seen = {"right": t + 1, "before": t}.get(mask, len(keys))
        if not seen:
            outputs.append([0.0] * len(values[0]))
            continue
        scores = [_dot(query, key) / divisor for key in keys[:seen]]
        if mask == "score":
            scores[t + 1 :] = [0.0] * (len(keys) - t - 1)
        weights = softmax(scores)
        if mask == "weight":
            weights = weights[: t + 1]
        outputs.append([_dot(weights, list(column)) for column in zip(*values[: len(weights)])])
    return outputs


def _dot(x: list[float] | list[int], y: list[float] | list[int]) -> float:
    return sum(xi * yi for xi, yi in zip(x, y))


EXERCISE = Exercise(by_hand, questions)

"""Solutions of chapter 6."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import exp, sqrt

def dot(x, y):
    return sum([a * b for a, b in zip(x, y)])

def softmax(scores):
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]

def attention(queries, keys, values):
    outputs = []
    for t, query in enumerate(queries):
        scores = [dot(query, key) / sqrt(len(query)) for key in keys[: t + 1]]
        weights = softmax(scores)
        outputs.append([dot(weights, column) for column in zip(*values)])
    return outputs
"""

WRONG: Wrong = {
    "the number of tokens": ("sqrt(len(query))", "sqrt(len(queries))", "number of tokens"),
    "a look ahead": ("keys[: t + 1]", "keys", "A token looks ahead"),
    "a score of 0": (
        "keys[: t + 1]]",
        "keys]\n        scores[t + 1 :] = [0.0] * (len(keys) - t - 1)",
        "A score of 0 is a score like others",
    ),
    "a weight of 0": (
        "keys[: t + 1]]\n        weights = softmax(scores)",
        "keys]\n        weights = softmax(scores)[: t + 1]",
        "add up to less than 1",
    ),
    "no square root": (" / sqrt(len(query))", "", "else softmax is too sure"),
    "the length itself": ("sqrt(len(query))", "len(query)", "not by the length"),
    "values as keys": ("in keys[: t + 1]", "in values[: t + 1]", "weighted by the softmax"),
    "keys ask, queries answer": (
        "def attention(queries, keys, values)",
        "def attention(keys, queries, values)",
        "here two are exchanged",
    ),
    "keys and values exchanged": (
        "def attention(queries, keys, values)",
        "def attention(queries, values, keys)",
        "here two are exchanged",
    ),
    "not itself": ("keys[: t + 1]", "keys[:t]", "A token looks at itself, too"),
    "numbers in place of vectors": (
        "[dot(weights, column) for column in zip(*values)]",
        "dot(weights, [value[0] for value in values])",
        "An output is a vector",
    ),
    "as long as the list": (
        "for column in zip(*values)]",
        "for column in list(zip(*values))[: len(values)]]",
        "as long as a value",
    ),
    "nothing": ("    return outputs", "    print(outputs)", "The function returns nothing"),
    "vectors that run together": ("outputs.append", "outputs.extend", "An output is a vector"),
    "a return in the loop": ("    return outputs", "        return outputs", "inside the loop"),
    "a name of the chapter": ("def dot(", "def product(", "The file runs alone"),
    "other arguments": ("attention(queries, keys, values)", "attention(t)", "in the same order"),
    "an overflow": ("exp(score - max(scores))", "exp(score)", "subtract the largest score"),
}

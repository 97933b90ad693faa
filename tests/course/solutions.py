"""Right solutions of the exercises."""

from __future__ import annotations

import json
from pathlib import Path

from anexa.course.checking import Report, check
from anexa.course.exercises import EXERCISES

STUDENT = "Ada"

RIGHT = {
    1: """
def encode(text, merges):
    tokens = list(text.encode("utf-8"))
    for new, (left, right) in enumerate(merges, start=256):
        merged, i = [], 0
        while i < len(tokens):
            if tokens[i : i + 2] == [left, right]:
                merged.append(new)
                i += 2
            else:
                merged.append(tokens[i])
                i += 1
        tokens = merged
    return tokens

def decode(tokens, merges):
    parts = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        parts.append(parts[left] + parts[right])
    return b"".join(parts[token] for token in tokens).decode("utf-8")
""",
    2: """
from collections import Counter
from math import log, log2

def loss(train, test):
    pairs = Counter()
    for name in train:
        text = "." + name + "."
        pairs.update(zip(text, text[1:]))
    totals = Counter()
    for (first, second), count in pairs.items():
        totals[first] += count
    losses = []
    for name in test:
        text = "." + name + "."
        for first, second in zip(text, text[1:]):
            p = (pairs[first, second] + 1) / (totals[first] + 27)
            losses.append(-log(p))
    return sum(losses) / len(losses)
""",
    3: """
from math import exp, log

def softmax(logits):
    largest = max(logits)
    powers = [exp(logit - largest) for logit in logits]
    return [power / sum(powers) for power in powers]

def cross_entropy(logits, target):
    largest = max(logits)
    total = sum([exp(logit - largest) for logit in logits])
    return log(total) - (logits[target] - largest)
""",
    4: """
import math
from microgpt import Value

def tanh(x):
    t = math.tanh(x.data)
    return Value(t, (x,), (1 - t * t,))

def slope(f, x):
    h = 1e-5
    return (f(x + h) - f(x - h)) / (2 * h)
""",
    5: """
def dot(x, y):
    return sum([a * b for a, b in zip(x, y)])

def linear(x, weight):
    return [dot(x, row) for row in weight]

def gradient(xs, errors):
    found = [[0.0] * len(xs[0]) for _ in errors[0]]
    for x, error in zip(xs, errors):
        for i in range(len(error)):
            for j in range(len(x)):
                found[i][j] += error[i] * x[j]
    return found

def strongest(xs, errors, i, j):
    pulls = [abs(error[i] * x[j]) for x, error in zip(xs, errors)]
    return pulls.index(max(pulls))
""",
    6: """
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
""",
    7: """
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
""",
    8: """
import microgpt

def parameters(letters, width, layers, context):
    attention = 4 * width * width
    neurons = 2 * (4 * width) * width
    tables = 2 * (letters + 1) * width + context * width
    return tables + layers * (attention + neurons)

def loss(model, text):
    tokens = [model.bos] + [model.chars.index(letter) for letter in text] + [model.bos]
    losses = []
    for target, logits in zip(tokens[1:], microgpt.gpt(model, tokens)):
        losses.append(-microgpt.softmax(logits)[target].log())
    return sum(one.data for one in losses) / len(losses)
""",
    9: """
import random

def loss(forward, x, g):
    return sum([a * b for a, b in zip(g, forward(x))])

def error(forward, backward, x, g):
    h, found = 1e-5, []
    for i in range(len(x)):
        right, left = list(x), list(x)
        right[i] += h
        left[i] -= h
        slope = (loss(forward, right, g) - loss(forward, left, g)) / (2 * h)
        found.append(abs(backward(x, g)[i] - slope))
    return max(found)

def find(operations, x):
    rng, result = random.Random(1), None
    for name, forward, backward in operations:
        y = forward(x)
        g = [rng.uniform(-1, 1) for _ in y]
        if error(forward, backward, x, g) > 1e-5:
            return name
        x = y
    return result
""",
    10: """
def step(w, m, v, g, t, steps):
    rate = 0.01 * (1 - (t - 1) / steps)
    m = 0.85 * m + (1 - 0.85) * g
    v = 0.99 * v + (1 - 0.99) * g**2
    m_bias, v_bias = 1 - 0.85**t, 1 - 0.99**t
    w = w - rate * (m / m_bias) / ((v / v_bias) ** 0.5 + 1e-8)
    return w, m, v

def life(w, gradients, steps):
    m, v, values = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        w, m, v = step(w, m, v, g, t, steps)
        values.append(w)
    return values

def resume(w, m, v, done, gradients, steps):
    for t, g in enumerate(gradients, start=done + 1):
        w, m, v = step(w, m, v, g, t, steps)
    return [w, m, v]
""",
}


def by_hand(chapter: int, student: str = STUDENT) -> str:
    """The line of a solution with what its student computes by hand."""
    question = EXERCISES[chapter].questions(chapter, student)[0]
    return f"by_hand = {question.expected!r}\n"


def check_text(text: str, chapter: int, folder: Path, student: str = STUDENT) -> Report:
    """Check a solution that is given as a text."""
    file = folder / "mine.py"
    file.write_text(text, encoding="utf-8")
    return check(chapter, file, student)


def said(report: Report) -> str:
    """What a learner reads of a report."""
    return json.dumps([report.problem, report.why], ensure_ascii=False)

"""Solutions of the exercises: right ones, and what learners typically write instead."""

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
}

# Text of the right solution, what stands there instead, and a part of the sentences that follow.
WRONG: dict[int, dict[str, tuple[str, str, str]]] = {
    1: {
        "letters in place of bytes": (
            'list(text.encode("utf-8"))',
            "[ord(letter) for letter in text]",
            "ord() is the number of a letter in Unicode",
        ),
        "bytes as letters": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(chr(byte) for token in tokens for byte in parts[token])',
            "takes every byte for a letter",
        ),
        "each token decoded by itself": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(parts[token].decode("utf-8") for token in tokens)',
            "One token may be a part of a letter",
        ),
        "broken letters replaced": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(parts[token].decode("utf-8", "replace") for token in tokens)',
            "what a tokenizer loses, no model can learn",
        ),
        "nothing merged": (
            "for new, (left, right) in enumerate(merges, start=256):",
            "for new, (left, right) in []:",
            "nothing has been merged",
        ),
        "a token merged twice": ("i += 2", "i += 1", "may be merged only once"),
        "merges from the last to the first": (
            "in enumerate(merges, start=256):",
            "in reversed(list(enumerate(merges, start=256))):",
            "tokens that an earlier merge has made",
        ),
        "the longest token first": (
            "def encode(text, merges):",
            """def encode(text, merges):
    parts, rest, tokens = [bytes([byte]) for byte in range(256)], text.encode("utf-8"), []
    for left, right in merges:
        parts.append(parts[left] + parts[right])
    while rest:
        fits = [token for token, part in enumerate(parts) if rest.startswith(part)]
        tokens.append(max(fits, key=lambda token: len(parts[token])))
        rest = rest[len(parts[tokens[-1]]) :]
    return tokens

def encode_in_order(text, merges):""",
            "Merges are applied in the order of the list",
        ),
        "numbers from 255": ("start=256", "start=255", "Every occurrence of the pair"),
    },
    2: {
        "no dot at the end": (
            """for name in test:
        text = "." + name + "."
""",
            """for name in test:
        text = "." + name
""",
            "The end of a name is a prediction, too",
        ),
        "no dots at the beginning": (
            """    for name in test:
        text = "." + name + "."
""",
            """    for name in test:
        text = name + "."
""",
            "The first letter is a prediction, too",
        ),
        "bits": ("-log(p)", "-log2(p)", "This is in bits"),
        "no minus": ("-log(p)", "log(p)", "a loss is its opposite"),
        "a sum": ("sum(losses) / len(losses)", "sum(losses)", "This is the sum"),
        "a mean over names": (
            "sum(losses) / len(losses)",
            "sum(losses) / len(test)",
            "not over names",
        ),
        "one more in all": ("+ 27)", "+ 1)", "their sum grows by 27"),
        "letters only": ("+ 27)", "+ 26)", "There are 27 symbols"),
        "nothing added": (
            "(pairs[first, second] + 1) / (totals[first] + 27)",
            "pairs[first, second] / totals[first]",
            "this has nothing added",
        ),
        "no count for new pairs": (
            "(pairs[first, second] + 1)",
            "(dict(pairs)[first, second] + 1)",
            "A pair that was never counted",
        ),
        "the test names are counted": (
            "for name in train:",
            "for name in train + test:",
            "The test names have been counted",
        ),
    },
    3: {
        "shares of the logits": (
            "return [power / sum(powers) for power in powers]",
            "return [logit / sum(logits) for logit in logits]",
            "shares of the logits",
        ),
        "divided by the largest": (
            "return [power / sum(powers) for power in powers]",
            "return powers",
            "not by the largest one",
        ),
        "an overflow": (
            "powers = [exp(logit - largest)",
            "powers = [exp(logit)",
            "larger than any number that a float can have",
        ),
        "large logits cut off": (
            "powers = [exp(logit - largest)",
            "powers = [exp(min(logit, 700))",
            "their differences are lost",
        ),
        "log of a probability": (
            "return log(total) - (logits[target] - largest)",
            "return -log(softmax(logits)[target])",
            "log(0) has no value",
        ),
        "a smallest probability": (
            "return log(total) - (logits[target] - largest)",
            "return -log(max(softmax(logits)[target], 1e-12))",
            "A smallest probability such as 1e-12 cuts it off",
        ),
        "a small number is added": (
            "return log(total) - (logits[target] - largest)",
            "return -log(softmax(logits)[target] + 1e-9)",
            "A loss that is cut off",
        ),
        "no minus": (
            "return log(total) - (logits[target] - largest)",
            "return logits[target] - largest - log(total)",
            "a loss is its opposite",
        ),
        "bits": (
            "return log(total) - (logits[target] - largest)",
            "return (log(total) - (logits[target] - largest)) / log(2)",
            "This is in bits",
        ),
        "the largest subtracted once": (
            "(logits[target] - largest)",
            "logits[target]",
            "minus the natural logarithm of the target",
        ),
    },
    4: {
        "the slope from x": ("1 - t * t", "1 - x.data**2", "this is 1 − x²"),
        "no square": ("1 - t * t", "1 - t", "the square is missing"),
        "a float": ("Value(t, (x,), (1 - t * t,))", "t", "remembers nothing"),
        "no child": ("(x,)", "(Value(x.data),)", "the walk backward never reaches x"),
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
        "half the distance": ("(2 * h)", "h", "it is 2·h, not h"),
        "the other sign": ("f(x + h) - f(x - h)", "f(x - h) - f(x + h)", "the opposite sign"),
        "a step that is too small": ("h = 1e-5", "h = 1e-14", "sees rounding errors"),
        "a step that is lost": ("h = 1e-5", "h = 1e-20", "lost in rounding"),
    },
    5: {
        "columns of the weights": (
            "[dot(x, row) for row in weight]",
            "[dot(x, column) for column in zip(*weight)]",
            "Rows and columns are exchanged",
        ),
        "products without their sum": (
            "[dot(x, row) for row in weight]",
            "[[a * b for a, b in zip(x, row)] for row in weight]",
            "the dot product is one number",
        ),
        "a gradient on its side": (
            "    return found",
            "    return [list(column) for column in zip(*found)]",
            "Rows and columns are exchanged",
        ),
        "the last token only": ("+= error[i]", "= error[i]", "this is the last one's alone"),
        "a mean": ("+= error[i] * x[j]", "+= error[i] * x[j] / len(xs)", "Add the pulls up"),
        "the other sign": ("+= error[i]", "-= error[i]", "has the opposite sign"),
        "a pull with its sign": ("abs(error[i] * x[j])", "error[i] * x[j]", "compare magnitudes"),
        "the largest error": ("abs(error[i] * x[j])", "abs(error[i])", "compare these products"),
        "counted from 1": ("pulls.index(max(pulls))", "pulls.index(max(pulls)) + 1", "from 0"),
    },
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

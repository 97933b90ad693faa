"""Solutions of chapter 2."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
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
"""

WRONG: Wrong = {
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
    "two dots": ("+= count", "+= count * (1 + (first == '.'))", "Nothing follows the dot"),
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
}

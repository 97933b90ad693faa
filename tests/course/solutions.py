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
        "numbers from 255": ("start=256", "start=255", "Every occurrence of the pair"),
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

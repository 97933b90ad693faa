"""Phrasings of calculations and comparisons: one table to ask with, and to parse questions with.

A question is an expression in one of the `FRAMES` (`What is 12+30?`), with signs or with
`SIGN_WORDS` (`12 plus 30`); one of the `COMMAND_PHRASINGS` (`subtract 5 from 12`); or one of the
`COMPARISON_PHRASINGS`. Its first letter may be lower case, and a `?` or `.` at its end may be left
out.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from anexa.thinking.thoughts import LARGER, SMALLER

FRAMES = (
    "{}",
    "{}?",
    "{}.",
    "{}=",
    "{} =",
    "{}=?",
    "{} = ?",
    "What is {}?",
    "What's {}?",
    "How much is {}?",
    "Calculate {}.",
    "Compute {}.",
    "Solve {}.",
    "Work out {}.",
    "Please calculate {}.",
    "Can you calculate {}?",
    "Tell me {}.",
    "{} please.",
    "What is {} please?",
)
"""Frames around an expression with signs or with `SIGN_WORDS`, such as `12+30` or `12 plus 30`."""

SIGN_WORDS = {
    "+": ("plus",),
    "-": ("minus",),
    "*": ("times", "x", "multiplied by"),
    "/": ("divided by",),
}
"""Words that may replace the signs of an expression without brackets; `12x30` needs no spaces."""


@dataclass(frozen=True)
class Phrasing:
    """A phrasing of a question about two numbers.

    Attributes:
        text: format string with the fields a and b.
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`, applied to a and b in this order.
    """

    text: str
    operation: str


# Questions which of two numbers is larger or smaller.
COMPARISON_PHRASINGS = (
    Phrasing("Which is larger, {a} or {b}?", LARGER),
    Phrasing("Which is larger: {a} or {b}?", LARGER),
    Phrasing("Which is larger {a} or {b}?", LARGER),
    Phrasing("Which number is larger, {a} or {b}?", LARGER),
    Phrasing("Which is bigger, {a} or {b}?", LARGER),
    Phrasing("Which is greater, {a} or {b}?", LARGER),
    Phrasing("Which is more, {a} or {b}?", LARGER),
    Phrasing("What is larger, {a} or {b}?", LARGER),
    Phrasing("Which is smaller, {a} or {b}?", SMALLER),
    Phrasing("Which is smaller: {a} or {b}?", SMALLER),
    Phrasing("Which is smaller {a} or {b}?", SMALLER),
    Phrasing("Which number is smaller, {a} or {b}?", SMALLER),
    Phrasing("Which is less, {a} or {b}?", SMALLER),
)
_NOUNS = {"sum": "+", "difference": "-", "product": "*", "quotient": "/"}
# Commands and questions, in words, to calculate with two numbers.
COMMAND_PHRASINGS = (
    Phrasing("Add {a} and {b}.", "+"),
    Phrasing("Add {b} to {a}.", "+"),
    Phrasing("Please add {a} and {b}.", "+"),
    Phrasing("Subtract {b} from {a}.", "-"),
    Phrasing("Please subtract {b} from {a}.", "-"),
    Phrasing("Take {b} away from {a}.", "-"),
    Phrasing("Multiply {a} by {b}.", "*"),
    Phrasing("Multiply {a} and {b}.", "*"),
    Phrasing("Please multiply {a} by {b}.", "*"),
    Phrasing("Divide {a} by {b}.", "/"),
    Phrasing("Please divide {a} by {b}.", "/"),
    *(
        Phrasing(frame.format(f"the {noun} of {{a}} and {{b}}"), operation)
        for noun, operation in _NOUNS.items()
        for frame in ("What is {}?", "Calculate {}.", "Tell me {}.")
    ),
    Phrasing("What is the difference between {a} and {b}?", "-"),
)
# One operation on two numbers; groups: number, operator, number.
_PAIR = re.compile(r"([0-9]+)([-+*/])([0-9]+)")
# Characters of an expression.
_EXPRESSION = re.compile(r"[-+*/()0-9]+")
_ADJECTIVES = {LARGER: "larger", SMALLER: "smaller"}
# Question from `write_comparison`; groups: adjective, number, number.
_COMPARED = re.compile(rf"Which is ({'|'.join(_ADJECTIVES.values())}), ([0-9]+) or ([0-9]+)\?")


def write_comparison(operation: str, a: int, b: int) -> str:
    """Return the question for the `LARGER` or the `SMALLER` of two numbers, in plain words."""
    return f"Which is {_ADJECTIVES[operation]}, {a} or {b}?"


def rephrase(question: str, rng: random.Random) -> str:
    """Phrase a calculation or a comparison at random; return other questions unchanged.

    The drawn phrasing may be that of `question` itself.

    Args:
        question: a question, such as `347*86` or one from `write_comparison`.
        rng: random generator.
    """
    compared = _COMPARED.fullmatch(question)
    if compared:
        operation = LARGER if compared[1] == _ADJECTIVES[LARGER] else SMALLER
        return phrase_comparison(operation, int(compared[2]), int(compared[3]), rng)
    if not _EXPRESSION.fullmatch(question):
        return question
    pair = _PAIR.fullmatch(question)
    if pair and rng.random() < 0.25:
        phrasings = [phrasing for phrasing in COMMAND_PHRASINGS if phrasing.operation == pair[2]]
        text = rng.choice(phrasings).text.format(a=pair[1], b=pair[3])
    else:
        text = rng.choice(FRAMES).format(_respell(question, rng))
    return _casually(text, rng)


def phrase_comparison(operation: str, a: int, b: int, rng: random.Random) -> str:
    """Ask for the `LARGER` or the `SMALLER` of two numbers, by one of `COMPARISON_PHRASINGS`.

    Its first letter may be lower case, and its `?` may be left out.
    """
    phrasing = rng.choice(
        [phrasing for phrasing in COMPARISON_PHRASINGS if phrasing.operation == operation]
    )
    return _casually(phrasing.text.format(a=a, b=b), rng)


def _respell(expression: str, rng: random.Random) -> str:
    """Put spaces around the signs, or replace them by words, or return the expression unchanged."""
    how = rng.random()
    if how < 0.35:
        return expression
    if how < 0.65 or "(" in expression:
        return re.sub(r"[-+*/]", r" \g<0> ", expression)
    if how < 0.75 and "*" in expression:
        # 0x36 would be a number in another notation.
        return re.sub(r"(?<!\d)0\*", "0 x ", expression).replace("*", "x")
    return re.sub(r"[-+*/]", lambda sign: f" {rng.choice(SIGN_WORDS[sign[0]])} ", expression)


def _casually(text: str, rng: random.Random) -> str:
    """Begin with a small letter or leave out the final `?` or `.`, each in half of the cases."""
    if text[0].isalpha() and rng.random() < 0.5:
        text = text[0].lower() + text[1:]
    return text[:-1].rstrip() if text[-1] in "?." and rng.random() < 0.5 else text

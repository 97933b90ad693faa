"""Parser of questions: finds the numbers and, if the phrasing is known, the correct answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from anexa.model.question import normalize_question
from anexa.thinking.stories import TEMPLATES, Story, Template

MAX_DIGITS_READ = 40  # a longer run of digits is skipped: int() takes quadratic time

_MAX_LENGTH = 400  # characters of a question that is parsed
_SIGNS = {"plus": "+", "minus": "-", "times": "*", "x": "*"}
_NUMBER = f"([0-9]{{1,{MAX_DIGITS_READ}}})"
_PLAIN = re.compile(
    rf"(?:[Ww]hat is )?{_NUMBER}(?: ?([-+*xX]) ?| ([Pp]lus|[Mm]inus|[Tt]imes) ){_NUMBER}"
    r" ?=? ?[?.]?"
)
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True)
class Question:
    """A parsed question.

    Attributes:
        numbers: all numbers in the question, in order.
        operations: signs of the operations that the question asks for, such as "*" or "*+"; None if
            the phrasing of the question is not known.
        expected: correct answer; None if the phrasing of the question is not known.
    """

    numbers: tuple[int, ...]
    operations: str | None = None
    expected: int | None = None


def analyze(text: str) -> Question:
    """Normalize and parse a question: a calculation, a story, or any text with numbers in it."""
    text = normalize_question(text)
    plain = parse_question(text)
    if plain:
        operation, a, b = plain
        return Question((a, b), operation, apply(operation, a, b))
    story = parse_story(text)
    if story:
        a, b, c = story.numbers
        template = TEMPLATES[story.template]
        first = apply(template.first, a, b)
        operations = template.first[-1] + template.second
        return Question(story.numbers, operations, apply(template.second, first, c))
    found = (match.group() for match in _DIGITS.finditer(text))
    return Question(tuple(int(digits) for digits in found if len(digits) <= MAX_DIGITS_READ))


def parse_question(text: str) -> tuple[str, int, int] | None:
    """Parse a calculation: `347*86`, `347 x 86=`, `What is 347 times 86?` and the like.

    Returns:
        The operation and both operands; None for any other text.
    """
    if len(text) > _MAX_LENGTH:
        return None
    match = _PLAIN.fullmatch(text.strip())
    if not match:
        return None
    a, sign, word, b = match.groups()
    operation = (sign or word).lower()
    return _SIGNS.get(operation, operation), int(a), int(b)


def parse_story(text: str) -> Story | None:
    """Parse a story of one of the `TEMPLATES`, with any name, things and numbers.

    Returns:
        The story; None for any other text.
    """
    if len(text) > _MAX_LENGTH:
        return None
    for number, pattern in enumerate(_STORIES):
        match = pattern.fullmatch(text.strip())
        if match:
            a, b, c = (int(match[letter]) for letter in "abc")
            return Story(number, match["name"], match["things"], (a, b, c))
    return None


def apply(operation: str, a: int, b: int) -> int:
    """Compute `a` operation `b` for "+", "-", "*", and "r-", which is `b - a`."""
    results = {"+": a + b, "-": a - b, "*": a * b, "r-": b - a}
    return results[operation]


def _pattern(template: Template) -> re.Pattern[str]:
    """Compile a regular expression that matches the stories of a template."""
    digit = "b" if template.first == "*" else "c" if template.second == "*" else ""
    seen: set[str] = set()
    pieces = []
    for piece in re.split(r"({\w+})", template.text):
        place = piece.strip("{}")
        if piece == place:
            pieces.append(re.escape(piece))
        elif place in seen:
            pieces.append(f"(?P={place})")
        else:
            number = f"[0-9]{{1,{MAX_DIGITS_READ if place != digit else 1}}}"
            word = r"[^\W\d_]+"
            pieces.append(f"(?P<{place}>{word if place in ('name', 'things') else number})")
            seen.add(place)
    return re.compile("".join(pieces))


_STORIES = tuple(_pattern(template) for template in TEMPLATES)

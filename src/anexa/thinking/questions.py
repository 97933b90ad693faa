"""Questions read: the numbers in them and, where the phrasing is known, the result."""

from __future__ import annotations

import re
from dataclasses import dataclass

from anexa.thinking.stories import TEMPLATES, Story, Template

MOST_DIGITS_READ = 40  # more digits are no number: reading them takes time that grows as a square

_LONGEST = 400  # characters of a question whose phrasing is known
_SIGNS = {"plus": "+", "minus": "-", "times": "*", "x": "*", "×": "*"}
_NUMBER = f"([0-9]{{1,{MOST_DIGITS_READ}}})"
_PLAIN = re.compile(
    rf"(?:[Ww]hat is )?{_NUMBER}(?: ?([-+*xX×]) ?| ([Pp]lus|[Mm]inus|[Tt]imes) ){_NUMBER}"
    r" ?=? ?[?.]?"
)
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True)
class Question:
    """What is known of a question.

    Attributes:
        numbers: all in it, in their order.
        operations: those that are to be done on its numbers; None if the phrasing is not known.
        expected: the result; None if the phrasing is not known.
    """

    numbers: tuple[int, ...]
    operations: str | None = None
    expected: int | None = None


def read(text: str) -> Question:
    """The numbers in a question, and what is asked if it is plain or one of the stories."""
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
    return Question(tuple(int(digits) for digits in found if len(digits) <= MOST_DIGITS_READ))


def parse_question(text: str) -> tuple[str, int, int] | None:
    """Operation and operands of `347*86`, `347 x 86=`, `What is 347 times 86?`; else None."""
    if len(text) > _LONGEST:
        return None
    match = _PLAIN.fullmatch(text.strip())
    if not match:
        return None
    a, sign, word, b = match.groups()
    operation = (sign or word).lower()
    return _SIGNS.get(operation, operation), int(a), int(b)


def parse_story(text: str) -> Story | None:
    """The story that is told in one of `TEMPLATES`, with any words and numbers; else None."""
    if len(text) > _LONGEST:
        return None
    for number, pattern in enumerate(_STORIES):
        match = pattern.fullmatch(text.strip())
        if match:
            a, b, c = (int(match[letter]) for letter in "abc")
            return Story(number, match["name"], match["things"], (a, b, c))
    return None


def apply(operation: str, a: int, b: int) -> int:
    """The result of "+", "-", "*", or "r-": `b - a`."""
    results = {"+": a + b, "-": a - b, "*": a * b, "r-": b - a}
    return results[operation]


def _pattern(template: Template) -> re.Pattern[str]:
    """What its stories look like; they multiply by one digit."""
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
            number = f"[0-9]{{1,{MOST_DIGITS_READ if place != digit else 1}}}"
            word = r"[^\W\d_]+"
            pieces.append(f"(?P<{place}>{word if place in ('name', 'things') else number})")
            seen.add(place)
    return re.compile("".join(pieces))


_STORIES = tuple(_pattern(template) for template in TEMPLATES)

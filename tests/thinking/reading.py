"""Independent readers of thoughts and questions: what the tests compare the generators with."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from anexa.model.place_marks import mark_places
from anexa.thinking.splits import Split, split_of, split_of_numbers
from anexa.thinking.stories import Story
from anexa.thinking.story_templates import TEMPLATES, Template


class ReadLine(NamedTuple):
    """A line of a thought: `operation` on `a` and `b`, as written without a sign."""

    negated: bool
    operation: str
    a: int
    b: int
    facts: list[str]
    value: str
    remaining: str  # the calculation that remains after the line, without place marks


def places(text: str) -> str:
    """Return the letters of a number with place marks, in capitals."""
    return text[::2].upper()


def plain(text: str) -> str:
    """Remove the place marks."""
    return re.sub("[A-Za-z](?=[0-9])", "", text)


def read_line(line: str) -> ReadLine:
    """Read a line; assert its form, and that a place has the same letter in all its parts."""
    match = re.fullmatch(
        r"(-\()?((?:[A-Z]\d)+)([-+*/]|\?[<>])((?:[a-z]\d)+)(\))?"
        r":([^:]\S*?):(-?(?:[A-Z]\d)+(?: R \d+)?)(?::=(\S+))?",
        line,
    )
    assert match, line
    opened, left, operation, right, closed, facts, value, remaining = match.groups()
    assert bool(opened) == bool(closed)
    first = left[0]
    alphabet = [chr(ord("A") + (ord(first) - ord("A") + i) % 26) for i in range(104)]
    digits = value.lstrip("-").partition(" ")[0]
    for number in (left, right, digits[::-1].swapcase()):
        letters = number[0::2] if number in (left, right) else number[1::2]
        assert list(letters.upper()) == alphabet[: len(letters)], line
    a, b = (int(plain(number)[::-1]) for number in (left, right))
    if operation not in "*/":
        assert len(left) == len(right)
    assert remaining is None or mark_places(plain(remaining), ord(first) - ord("A")) == remaining
    left_over = plain(remaining or "")
    return ReadLine(bool(opened), operation, a, b, facts.split(","), plain(value), left_over)


def value_of(line: ReadLine) -> tuple[int, int]:
    """Compute the value of a line, and the remainder."""
    value, remainder = {
        "+": (line.a + line.b, 0),
        "-": (line.a - line.b, 0),
        "*": (line.a * line.b, 0),
        "/": divmod(line.a, line.b or 1),
        "?>": (line.a if line.a > line.b else line.b, 0),
        "?<": (line.a if line.a < line.b else line.b, 0),
    }[line.operation]
    return (-value if line.negated else value), remainder


def assert_true(line: ReadLine) -> None:
    """Assert that a line's facts and its value are true."""
    for fact in line.facts:
        assert_fact(fact)
    value, remainder = value_of(line)
    assert line.value == f"{value} R {remainder}" if remainder else line.value == str(value)


def assert_fact(fact: str) -> None:
    """Assert that an equation or a comparison of two digits is true."""
    text = plain(re.sub("^[A-Z]:", "", fact).partition(";")[0])
    compared = re.fullmatch(r"(\d)([<>])(\d)", text)
    if compared:
        assert (compared[1] < compared[3]) == (compared[2] == "<"), fact
        return
    assert re.fullmatch(r"\d+([-+*]\d+){0,2}=\d+", text), fact
    left, _, right = text.partition("=")
    assert calculate(left) == int(right), fact


def calculate(expression: str) -> Fraction:
    """Compute with Python's own precedence and exact fractions."""
    assert re.fullmatch(r"[-+*/()\d]+", expression), expression
    return Fraction(eval(re.sub(r"\d+", r"Fraction('\g<0>')", expression), {"Fraction": Fraction}))


def operation_of(question: str) -> str:
    """Find out what a question about two numbers asks for; "?<" is the smaller number."""
    words = question.lower()
    for operation, signs in {
        "?<": ("smaller", "which is less"),
        "?>": ("which", "what is larger"),
        "/": ("/", "divide", "quotient"),
        "*": ("*", "times", "multipl", "product", "x"),
        "-": ("-", "minus", "subtract", "difference", "away"),
        "+": ("+", "plus", "add", "sum"),
    }.items():
        if any(sign in words for sign in signs):
            return operation
    raise AssertionError(question)


def read_story(question: str) -> Story | None:
    """Read a story of one of the templates; None for any other text."""
    for number, template in enumerate(TEMPLATES):
        match = re.fullmatch(_pattern(template), question)
        if match:
            found = tuple(int(match[letter]) for letter in template.letters)
            return Story(number, match["name"], match["things"], found)
    return None


def _pattern(template: Template) -> str:
    seen: set[str] = set()
    pieces = []
    for piece in re.split(r"({\w+})", template.text):
        name = piece.strip("{}")
        if piece == name:
            pieces.append(re.escape(piece))
        elif name in seen:
            pieces.append(f"(?P={name})")
        else:
            pieces.append(f"(?P<{name}>{'[A-Za-z]+' if len(name) > 1 else '[0-9]+'})")
            seen.add(name)
    return "".join(pieces)


def split_asked(question: str) -> Split:
    """Return the split of the problem that a question, without place marks, asks for."""
    if "How many" in question:
        story = read_story(question)
        assert story, question
        numbers, names = story.splits
        assert numbers == names, "a story is as new as can be, or not at all"
        return numbers
    found = [int(digits) for digits in re.findall("[0-9]+", question)]
    assert len(found) > 1, question
    if len(found) > 2:
        return split_of_numbers("chain", found)
    return split_of(operation_of(question), *found)

"""Place marks: letters before the digits of a number, by Python and by the chat template."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anexa.model.chat_format import CHAT_TEMPLATE, USER
from anexa.model.chat_template import render_template
from anexa.model.place_marks import mark_places
from anexa.model.question import MAX_QUESTION_CHARS

TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80)


def rendered(text: str) -> str:
    """Render a user's message with the chat template, as it is."""
    return render_template(CHAT_TEMPLATE, messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize(
    ("text", "ones_letter", "marked"),
    [
        ("347*86", 0, "C3B4A7*B8A6"),
        ("347*86", 24, "A3Z4Y7*Z8Y6"),
        ("What is 5 + 12?", 0, "What is A5 + B1A2?"),
        ("no digits", 3, "no digits"),
        ("", 0, ""),
        ("1" * 28, 0, "B1A1" + "".join(f"{letter}1" for letter in "ZYXWVUTSRQPONMLKJIHGFEDCBA")),
    ],
)
def test_a_letter_names_the_place_of_each_digit(text: str, ones_letter: int, marked: str) -> None:
    assert mark_places(text, ones_letter) == marked


@given(TEXTS)
@example("100000% of {12345} is 12345")  # what looks like a format is a text
@example("9" * 60 + " " + "0" * 3)
@example("  1  ")
def test_the_template_marks_as_python_does(text: str) -> None:
    assert rendered(text) == f"{USER}{mark_places(text)}"


@given(TEXTS, st.integers(0, 25))
def test_marks_can_be_removed(text: str, ones_letter: int) -> None:
    plain = re.sub("[A-Z]", "", text)
    assert re.sub("[A-Z](?=[0-9])", "", mark_places(plain, ones_letter)) == plain


def test_marking_the_longest_question_takes_little_work() -> None:
    """A conversation of ten such questions stays below the limit of a template's work."""
    message = {"role": "user", "content": "7" * MAX_QUESTION_CHARS}
    text = render_template(CHAT_TEMPLATE, messages=[message] * 10)
    assert len(text) == 10 * (2 * MAX_QUESTION_CHARS + len(USER))

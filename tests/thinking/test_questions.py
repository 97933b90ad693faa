from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.questions import analyze, apply, parse_question, parse_story
from anexa.thinking.stories import TEMPLATES, draw_story


@pytest.mark.parametrize(
    "text",
    [
        "347*86",
        "347 * 86",
        "347x86",
        "347 x 86",
        "347×86",
        "347*86=",
        "347 * 86 = ?",
        "347*86?",
        " 347*86\n",
        "What is 347*86?",
        "what is 347 times 86",
        "347 times 86",
        "What is 347 X 86?",
        "What is\n347 times 86?",
        "３４７ × ٨٦",
        "“347*86”",
    ],
)
def test_known_phrasings_are_parsed(text: str) -> None:
    assert analyze(text).expected == 29842


def test_sums_and_differences_are_parsed() -> None:
    assert parse_question("what is 347 plus 86") == ("+", 347, 86)
    assert parse_question("What is 86 minus 347?") == ("-", 86, 347)
    assert parse_question("86-347") == ("-", 86, 347)
    assert analyze("86-347").expected == -261


@pytest.mark.parametrize(
    "text",
    [
        "",
        "347",
        "347*",
        "347**86",
        "347*86*2",
        "-3+5",
        "347plus86",
        "3.5*2",
        "What was 347*86?",
        "1" * 41 + "+1",
        "1+1" + " " * 10_000 + "x",
    ],
)
def test_unknown_phrasings_are_not_parsed(text: str) -> None:
    assert parse_question(text) is None
    assert analyze(text).expected is None


@given(st.sampled_from("+-*"), st.integers(0, 10**40 - 1), st.integers(0, 10**40 - 1))
def test_numbers_of_up_to_forty_digits_are_parsed(operation: str, a: int, b: int) -> None:
    assert parse_question(f"{a}{operation}{b}") == (operation, a, b)


@given(st.integers(0, 2**32))
def test_stories_are_parsed(seed: int) -> None:
    story = draw_story(random.Random(seed), "training")
    assert parse_story(story.question) == story
    assert analyze(story.question).numbers == story.numbers


def test_story_results_are_computed() -> None:
    text = "Bo sells 30 ants of a stock of 100 in each of 7 shops. How many ants are left in all?"
    asked = analyze(text)
    assert (asked.numbers, asked.expected) == ((30, 100, 7), 490)
    assert {template.first for template in TEMPLATES} == {"+", "-", "*", "r-"}
    assert [apply(sign, 2, 5) for sign in ("+", "-", "*", "r-")] == [7, -3, 10, 3]


def test_a_story_with_two_different_names_is_not_parsed() -> None:
    text = "Bo has 3 ants, buys 4 more and gives away 5. How many ants does {} have now?"
    assert parse_story(text.format("Bo"))
    assert parse_story(text.format("Al")) is None
    assert analyze(text.format("Al")).numbers == (3, 4, 5)


def test_numbers_of_unknown_questions_are_found() -> None:
    assert analyze("If 12 of 345 ants leave").numbers == (12, 345)
    assert analyze(f"{'1' * 41} of 7").numbers == (7,)

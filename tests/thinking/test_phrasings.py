from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.model.question import normalize_question
from anexa.thinking.phrasings import (
    COMMAND_PHRASINGS,
    COMPARISON_PHRASINGS,
    FRAMES,
    phrase_comparison,
    rephrase,
    write_comparison,
)
from anexa.thinking.thoughts import LARGER, SMALLER
from tests.thinking.reading import calculate, operation_of

numbers = st.integers(0, 10**20)


def phrased(question: str, count: int = 300) -> list[str]:
    rng = random.Random(1)
    return [rephrase(question, rng) for _ in range(count)]


@given(st.sampled_from("+-*/"), numbers, numbers, st.integers(0, 2**32))
def test_a_rephrased_calculation_asks_for_the_same(
    operation: str, a: int, b: int, seed: int
) -> None:
    question = rephrase(f"{a}{operation}{b}", random.Random(seed))
    assert normalize_question(question) == question
    found = [int(digits) for digits in re.findall("[0-9]+", question)]
    swapped = re.match("subtract|take|please subtract|add .* to", question.lower())
    assert (found[::-1] if swapped else found) == [a, b]
    assert operation_of(question) == operation


@pytest.mark.parametrize("operation", "+-*/")
def test_all_phrasings_are_drawn(operation: str) -> None:
    questions = phrased(f"12{operation}5", 3000)
    assert f"12{operation}5" in questions
    for phrasing in COMMAND_PHRASINGS:
        if phrasing.operation == operation:
            assert phrasing.text.format(a=12, b=5) in questions
    for frame in FRAMES:
        assert frame.format(f"12{operation}5") in questions
    assert {question[0].isupper() for question in questions} == {True, False}


def test_a_product_of_zero_is_not_a_number_in_another_notation() -> None:
    questions = phrased("0*36", 3000)
    assert all(normalize_question(question) == question for question in questions)
    assert any("0 x 36" in question for question in questions)


def test_chains_keep_their_signs_and_brackets() -> None:
    words = {"plus": "+", "minus": "-", "multiplied by": "*", "times": "*", "x": "*"}
    for question in phrased("7+30-2*5") + phrased("12+3*(4-2)"):
        text = re.search(r"[0-9(].*[0-9)]", question)
        assert text
        signs = re.sub("|".join(words), lambda word: words[word[0]], text[0])
        assert signs.replace(" ", "") in ("7+30-2*5", "12+3*(4-2)")
    assert any("plus" in question for question in phrased("7+30-2*5"))


def test_comparisons_are_rephrased() -> None:
    questions = phrased(write_comparison(LARGER, 12, 30))
    assert {operation_of(question) for question in questions} == {LARGER}
    smaller = phrased(write_comparison(SMALLER, 12, 30))
    assert {operation_of(question) for question in smaller} == {SMALLER}
    for question in questions + smaller:
        assert re.findall("[0-9]+", question) == ["12", "30"]
        assert normalize_question(question) == question
    rng = random.Random(1)
    drawn = {operation_of(phrase_comparison(SMALLER, 1, 2, rng)) for _ in range(100)}
    assert drawn == {SMALLER}
    for phrasing in COMPARISON_PHRASINGS:
        asked = {LARGER: questions, SMALLER: smaller}[phrasing.operation]
        assert phrasing.text.format(a=12, b=30) in asked


@pytest.mark.parametrize("text", ["Bo has 3 ants.", "hello", "Which is larger, 3 or x?", ""])
def test_other_questions_stay_as_they_are(text: str) -> None:
    assert set(phrased(text, 20)) == {text}


def test_commands_name_their_operands_in_the_right_order() -> None:
    for phrasing in COMMAND_PHRASINGS:
        text = phrasing.text.format(a=12, b=5)
        if text.startswith(("Subtract", "Take", "Please subtract")):
            assert re.findall("[0-9]+", text) == ["5", "12"]
            assert phrasing.operation == "-"
        if "ivide" in text or "quotient" in text:
            assert re.findall("[0-9]+", text) == ["12", "5"]
        assert operation_of(text) == phrasing.operation
        assert calculate(f"12{phrasing.operation}5")

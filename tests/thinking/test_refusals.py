from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from anexa.model.place_marks import mark_places
from anexa.model.question import MAX_QUESTION_CHARS, normalize_question
from anexa.thinking.answers import BY_ZERO_REFUSAL
from anexa.thinking.questions import parse_question
from anexa.thinking.refusals import (
    NOT_ARITHMETIC_REFUSAL,
    TOO_LARGE_REFUSAL,
    UNSUPPORTED_REFUSAL,
    clarifying_question,
    draw_unanswerable_request,
)
from anexa.thinking.thoughts import LARGER
from tests.thinking.reading import operation_of

Requests = dict[str, list[str]]


@pytest.fixture(scope="module")
def requests() -> Requests:
    """Requests by their refusal; questions back are together under "back"."""
    rng = random.Random(4)
    found: Requests = {}
    for _ in range(5000):
        text, answer = draw_unanswerable_request(rng)
        assert normalize_question(text) == text
        assert len(text) <= MAX_QUESTION_CHARS
        assert len(mark_places(text)) < 2000
        key = "back" if answer.startswith("Do you mean") else answer
        found.setdefault(key, []).append(text)
        if key == "back":
            assert answer == clarifying_question([int(digits) for digits in numbers_in(text)])
    return found


def numbers_in(text: str) -> list[str]:
    return re.findall("[0-9]+", text)


def test_all_refusals_are_drawn(requests: Requests) -> None:
    assert set(requests) == {
        NOT_ARITHMETIC_REFUSAL,
        UNSUPPORTED_REFUSAL,
        TOO_LARGE_REFUSAL,
        BY_ZERO_REFUSAL,
        "back",
    }
    assert min(map(len, requests.values())) > 100


def test_large_calculations_are_well_beyond_training(requests: Requests) -> None:
    seen: Counter[str] = Counter()
    for text in requests[TOO_LARGE_REFUSAL]:
        sizes = [len(digits) for digits in numbers_in(text)]
        if len(sizes) == 3:
            seen["chain"] += 1
            assert max(sizes) >= 12
            continue
        operation = operation_of(text)
        seen[operation] += 1
        if operation == "*":
            assert sizes[0] * sizes[1] > 200
        elif operation == "/":
            assert sizes[0] >= 14
        else:
            assert max(sizes) >= (31 if operation == LARGER else 26)
    assert set(seen) == {*"+-*/", LARGER, "chain"}


def test_divisions_by_zero_are_refused(requests: Requests) -> None:
    for text in requests[BY_ZERO_REFUSAL]:
        assert operation_of(text) == "/"
        assert numbers_in(text)[1] == "0"


def test_numbers_without_an_operation_get_a_question_back(requests: Requests) -> None:
    assert clarifying_question([12, 30]) == "Do you mean 12+30, 12-30, 12*30 or 12/30?"
    assert clarifying_question([1, 2, 3]) == "Do you mean 1+2+3, 1-2-3, 1*2*3 or 1/2/3?"
    for text in requests["back"]:
        assert re.fullmatch(r"\d+(?:( |, | and )\d+)+\??", text)
    assert {len(numbers_in(text)) for text in requests["back"]} == {2, 3, 4}


def test_unsupported_requests_are_no_calculations_of_three_operations(requests: Requests) -> None:
    for text in requests[UNSUPPORTED_REFUSAL]:
        expression = re.search(r"[-+*/().\d ]*\d[-+*/().\d ]*", text)
        assert expression
        signs = re.findall(r"(?<=[\d)]) ?([-+*/]) ?(?=[\d(])", text)
        allowed = re.fullmatch(r"(?:[A-Za-z' ]* )?[\d(][-+*/()\d ]*[\d)] ?[=?. ]*", text)
        balanced = text.count("(") == text.count(")")
        is_plain = allowed and balanced and not re.search(r"[-+*/(] ?[-+*/)]|\d\(|\)\d", text)
        assert len(signs) > 3 or not signs or not is_plain, text


def test_words_and_letters_are_no_arithmetic(requests: Requests) -> None:
    texts = requests[NOT_ARITHMETIC_REFUSAL]
    for text in texts:  # words between numbers are no word for a sign
        assert not re.search(r"\d[^\da-z]+\d|\d ?[A-Za-z]* ?\d", re.sub(r"(?<=\d)\d+", "", text))
        assert parse_question(text).expected is None
    assert any(len(numbers_in(text)) == 2 for text in texts)
    assert any(text.isdigit() for text in texts)
    assert any(not re.search("[0-9]", text) for text in texts)


def test_requests_depend_on_the_generator_alone() -> None:
    drawn = [draw_unanswerable_request(random.Random(seed)) for seed in range(50)]
    assert [draw_unanswerable_request(random.Random(seed)) for seed in range(50)] == drawn

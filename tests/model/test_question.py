"""Questions are spelled as the thinking model was trained on questions, or are unreadable."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.chat_format import CHAT_TEMPLATE, normalize_messages
from anexa.model.question import MAX_QUESTION_CHARS, UNREADABLE_QUESTION, normalize_question
from anexa.thinking.checker import check
from anexa.thinking.examples import ExampleGenerator, draw_any_problem
from anexa.thinking.phrasings import rephrase


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12+30\n", "12+30"),
        ("\u3000 12\t+\r\n30 ", "12 + 30"),
        ("1,234 × 5,678", "1234 * 5678"),
        ("12÷3⋅4∗5−6–7", "12/3*4*5-6-7"),
        ("12 ⨯ 3 = ?", "12 * 3 = ?"),
        ("1\u00a0234\u00a0567", "1234567"),
        ("1_234 and 1'234 and 1’234", "1234 and 1234 and 1234"),
        ("1.234.567", "1234567"),
        ("is 1,234, or 1,234.", "is 1234, or 1234."),
        ("“12+30”", "12+30"),
        ("'12'+'30'", "'12'+'30'"),
        ("What’s „that“ …", 'What\'s "that" ...'),
        ("ｗｈａｔ １２？", "what 12?"),
        ("٣+٥", "3+5"),
        ("Zoe\u0308 Ångström", "Zoe Angstrom"),
        ("5️⃣+3️⃣", "5+3"),
        ("007+12*0012", "7+12*12"),
        ("000+0", "0+0"),
        ("1 000-007 and 100", "1000-7 and 100"),
        ("3x4 0311 and 05", "3x4 0311 and 05"),  # without the zero, it would seem to be 4,311
        ("007 012", "7 12"),
        ("“'12'+'30'”", "'12'+'30'"),
        ("'“12+30”'", "12+30"),
        ("'1'234+5'", "1234+5"),
        ("3.05+0.5, 0,5 and 00,12", "3.05+0.5, 0,5 and 00,12"),
        ("\ufeff1\u200b2", "12"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_characters_that_mean_the_same_are_spelled_in_ascii(text: str, expected: str) -> None:
    assert normalize_question(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1.234",
        "1,23",
        "12,34,567",
        "0,123",
        "1,234.5",
        "1,234,5",
        "1,234 567",
        "1234,567",
        "1, 234",
    ],
)
def test_other_numbers_with_separators_stay_as_they_are(text: str) -> None:
    assert normalize_question(f"{text}+1") == f"{text}+1"


@pytest.mark.parametrize(
    "text",
    ["12+30 🙂", "5²+3", "½", "5\u0338", "5≠3", "ſ", "ø", "да", "1\x002", "1\ufffd2", "\udcff"],
)
def test_any_other_character_makes_the_whole_question_unreadable(text: str) -> None:
    """No part of it is left, which could have another answer."""
    assert normalize_question(text) == UNREADABLE_QUESTION


@pytest.mark.parametrize(
    "text",
    [
        *("1e3+1", "2E5*3", "5e-3+1", "1 e3", "٣e٤", "0x1F+1", "0xFF+1", "0XffX2", "0b11+1"),
        *("0x36", "0x10+1", "1+0X36", "00x36", "2x0x36", "(0x7)", "0o17", "０ｘ３６"),
        *("1j+2", "2k+3", "5km+3m", "5e\u0301", "x2y5+1", "a1+1"),
        *("1_0+2", "1__000", "1'2+3", "5\u20196"),
    ],
)
def test_a_number_in_another_notation_makes_the_question_unreadable(text: str) -> None:
    assert normalize_question(text) == UNREADABLE_QUESTION
    assert not check(text, "A1+a1:A:1+1+0=02:A2", "2").all_true


@pytest.mark.parametrize(
    "text",
    [
        *("12x30", "12X30", "3x(4+5)", "(1+2)x3", "2x=6", "12 x30", "a 3 b"),
        *("10x36", "100x2", "0 x 36", "0 x36", "0x(3+4)", "36x0", "0.0x36"),
    ],
)
def test_an_x_beside_a_digit_is_a_sign_or_an_unknown(text: str) -> None:
    assert normalize_question(text) == text


@given(st.text(st.characters()) | st.text("0011234567,.'_ \u00a0+-*x×–’\"“”(٣５？½\u200b\u0301ae"))
def test_any_text_becomes_printable_ascii_and_then_stays(text: str) -> None:
    once = normalize_question(text)
    assert once.isascii()
    assert once.isprintable()
    assert once == once.strip()
    assert normalize_question(once) == once


def test_zeros_are_read_in_linear_time() -> None:
    """Trying each number of zeros and of digits would take years."""
    assert normalize_question("0" * 100_000 + ".5") == "0" * 100_000 + ".5"
    assert normalize_question("0" * 100_000 + "5") == "5"


def test_questions_of_the_training_stay_as_they_are() -> None:
    rng = random.Random(1)
    for _ in range(500):
        question = rephrase(draw_any_problem(rng).question, rng)
        assert normalize_question(question) == question
    for example in ExampleGenerator(2560, 1).batch(0, 20_000):
        assert normalize_question(example.question) == example.question


def test_a_question_that_is_too_long_is_refused_and_not_replaced() -> None:
    longest = "7" * MAX_QUESTION_CHARS
    [kept] = normalize_messages(CHAT_TEMPLATE, [{"role": "user", "content": longest}])
    assert kept["content"] == longest
    too_long = [{"role": "user", "content": longest + "+1"}]
    with pytest.raises(AnexaError, match=r"has 1,002 characters, .* at most 1,000: shorten it"):
        normalize_messages(CHAT_TEMPLATE, too_long)
    assert normalize_messages("{{ messages }}", too_long) == too_long


def test_an_earlier_answer_is_kept_however_long_its_thought_is() -> None:
    said = f"<think>{'A1+a1:' * 300}</think>29842"
    turns = [("user", "347*86"), ("assistant", said), ("user", "1+1")]
    messages = [{"role": role, "content": content} for role, content in turns]
    kept = normalize_messages(CHAT_TEMPLATE, messages)
    assert [message["content"] for message in kept] == ["347*86", "29842", "1+1"]
    [*_, last] = normalize_messages(CHAT_TEMPLATE, messages[:2])
    assert last["content"] == said, "the model may have to continue it"


def test_a_long_earlier_answer_is_normalized_as_a_short_one() -> None:
    turns = [("user", "1+1"), ("assistant", "2 × 3 is 6. " * 100), ("user", "2+2")]
    messages = [{"role": role, "content": content} for role, content in turns]
    [_, kept, _] = normalize_messages(CHAT_TEMPLATE, messages)
    assert kept["content"] == ("2 * 3 is 6. " * 100).strip()

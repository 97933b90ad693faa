from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL
from anexa.thinking.chains import draw_chain
from anexa.thinking.expressions import Calculation
from anexa.thinking.phrasings import (
    COMMAND_PHRASINGS,
    COMPARISON_PHRASINGS,
    FRAMES,
    phrase_comparison,
    rephrase,
)
from anexa.thinking.problems import TASKS, Task, draw_problem
from anexa.thinking.questions import parse_calculation, parse_question
from anexa.thinking.refusals import (
    NOT_ARITHMETIC_REFUSAL,
    TOO_LARGE_REFUSAL,
    UNSUPPORTED_REFUSAL,
    draw_unanswerable_request,
)
from anexa.thinking.stories import draw_story
from anexa.thinking.story_templates import TEMPLATES
from anexa.thinking.thoughts import LARGER, SMALLER


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
        "How much is 347 multiplied by 86?",
        "multiply 347 by 86",
        "what is the product of 347 and 86?",
        "(347)*(86)",
    ],
)
def test_known_phrasings_are_parsed(text: str) -> None:
    assert parse_question(text).expected == "29842"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("86-347", "-261"),
        ("What is 86 minus 347?", "-261"),
        ("Subtract 347 from 86.", "-261"),
        ("1,000,000 − 1", "999999"),
        ("992÷37", "26 R 30"),
        ("992 divided by 31", "32"),
        ("12+3*(4-2)", "18"),
        ("12 + 3 x 4 - 2", "22"),
        ("5 plus 3 times 4", "17"),
        ("100/5/3", "6 R 2"),
        ("(3-11)/2", "-4"),
        ("Which is larger, 12 or 30?", "30"),
        ("which is smaller: 12 or 30", "12"),
        ("Which number is larger, 12 or 12?", EQUAL_ANSWER),
    ],
)
def test_correct_answers_are_calculated(text: str, expected: str) -> None:
    assert parse_question(text).expected == expected


@pytest.mark.parametrize(
    ("text", "expected", "steps"),
    [
        ("5/0", BY_ZERO_REFUSAL, 0),
        ("1+2+5/0", BY_ZERO_REFUSAL, 0),
        ("5/(3-3)", BY_ZERO_REFUSAL, 1),
        ("1+2+5/(3-3)", BY_ZERO_REFUSAL, 2),
        ("7/2+3", INEXACT_REFUSAL, 1),
        ("1*6+7/2-5", INEXACT_REFUSAL, 2),
        ("(3-10)/2", INEXACT_REFUSAL, 2),
    ],
)
def test_steps_end_at_a_division_that_cannot_be_continued(
    text: str, expected: str, steps: int
) -> None:
    asked = parse_question(text)
    assert (asked.expected, len(asked.steps), asked.is_refused) == (expected, steps, True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12 30", "Do you mean 12+30, 12-30, 12*30 or 12/30?"),
        ("12, 30?", "Do you mean 12+30, 12-30, 12*30 or 12/30?"),
        ("1 and 2 and 3", "Do you mean 1+2+3, 1-2-3, 1*2*3 or 1/2/3?"),
    ],
)
def test_numbers_without_an_operation_get_a_question_back(text: str, answer: str) -> None:
    asked = parse_question(text)
    assert (asked.expected, asked.steps) == (answer, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "347",
        "(347)",
        "347*",
        "347**86",
        "-3+5",
        "347plus86",
        "3.5*2",
        "What was 347*86?",
        "What is What is 347*86?",
        "1" * 41 + "+1",
        "1+1" + " " * 10_000 + "x",
        "(" * 200 + "1" + ")" * 200,
        "+".join("1" * 30),
        "x" * 100_000,
    ],
)
def test_unknown_phrasings_are_not_parsed(text: str) -> None:
    assert parse_calculation(text) is None
    assert parse_question(text).expected is None


@given(st.sampled_from("+-*/"), st.integers(0, 10**40 - 1), st.integers(1, 10**40 - 1))
def test_numbers_of_up_to_forty_digits_are_parsed(operation: str, a: int, b: int) -> None:
    assert parse_calculation(f"{a}{operation}{b}") == Calculation(operation, a, b)


@given(st.sampled_from(TASKS), st.integers(0, 2**32))
def test_what_the_generators_ask_in_any_words_is_understood(task: Task, seed: int) -> None:
    rng = random.Random(seed)
    problem = draw_problem(task, rng)
    assert parse_question(rephrase(problem.question, rng)).expected == problem.answer


@given(st.integers(0, 2**32), st.sampled_from((2, 3)))
def test_the_value_of_a_chain_is_that_of_python(seed: int, operations: int) -> None:
    chain = draw_chain(operations, random.Random(seed), "training")
    asked = parse_question(str(chain))
    assert asked.numbers == chain.numbers
    if " R " not in str(asked.expected):
        assert eval(str(chain)) == pytest.approx(int(str(asked.expected)))


def test_every_phrasing_is_understood() -> None:
    results = {"+": "40", "-": "24", "*": "256", "/": "4", LARGER: "32", SMALLER: "8"}
    for phrasing in (*COMMAND_PHRASINGS, *COMPARISON_PHRASINGS):
        for text in (phrasing.text, phrasing.text[0].lower() + phrasing.text[1:-1]):
            assert parse_question(text.format(a=32, b=8)).expected == results[phrasing.operation], (
                text
            )
    for frame in FRAMES:
        assert parse_question(frame.format("32 minus 8")).expected == "24", frame
    asked = phrase_comparison(SMALLER, 5, 12, random.Random(1))
    assert [step.operation for step in parse_question(asked).steps] == [SMALLER]


@given(st.integers(0, 2**32), st.sampled_from((2, 3)))
def test_stories_are_understood(seed: int, operations: int) -> None:
    story = draw_story(random.Random(seed), operations, "training")
    asked = parse_question(story.question)
    assert sorted(asked.numbers) == sorted(story.numbers)
    assert asked.expected == str(parse_question(str(story.calculation)).expected)
    assert len(asked.steps) == operations
    needed = sum(letter in TEMPLATES[story.template].formula for letter in "abcde")
    operands = {operand for step in asked.steps for operand in (step.left, step.right)}
    used = {operand.position for operand in operands if operand.kind == "number"}
    assert len(used) == needed


def test_numbers_of_a_story_are_taken_by_their_letters() -> None:
    text = "Bo sells 30 ants of a stock of 100 in each of 7 shops. How many ants are left in all?"
    asked = parse_question(text)
    assert (asked.numbers, asked.expected) == ((30, 100, 7), "490")
    assert asked.steps[0].left == ("number", 1)


def test_a_story_with_two_different_names_is_not_understood() -> None:
    text = "Bo has 3 ants, buys 4 more and gives away 5. How many ants does {} have now?"
    assert parse_question(text.format("Bo")).expected == "2"
    assert parse_question(text.format("Al")).expected is None
    assert parse_question(text.format("Al")).numbers == (3, 4, 5)


def test_numbers_of_unknown_questions_are_found() -> None:
    assert parse_question("If 12 of 345 ants leave").numbers == (12, 345)
    assert parse_question(f"{'1' * 41} of 7").numbers == (7,)


def test_requests_without_an_answer_are_understood_as_the_generators_mean_them() -> None:
    rng = random.Random(1)
    requests = [draw_unanswerable_request(rng) for _ in range(3000)]
    for text, answer in requests:
        expected = parse_question(text).expected
        if answer == NOT_ARITHMETIC_REFUSAL:
            assert expected is None, text
        elif answer not in (
            TOO_LARGE_REFUSAL,
            UNSUPPORTED_REFUSAL,
        ):  # a question back, or a division by zero
            assert expected == answer, text

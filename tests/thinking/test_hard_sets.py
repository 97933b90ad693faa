from __future__ import annotations

import random
import re

import pytest

from anexa.thinking.checker import check
from anexa.thinking.hard_sets import BEYOND_TRAINING, HARD_SETS
from anexa.thinking.problems import MAX_DIGITS, MAX_FACTOR_DIGITS
from anexa.thinking.questions import parse_question
from anexa.thinking.splits import split_of


def drawn(name: str, count: int = 300) -> list[tuple[str, int, int]]:
    rng = random.Random(5)
    problems = []
    for _ in range(count):
        one = {**HARD_SETS, **BEYOND_TRAINING}[name](rng)
        asked = parse_question(one.question)
        assert asked
        problems.append(asked)
        report = check(one.question, one.thought, one.answer)
        assert report.all_true
        assert report.expected == int(one.answer)
    return problems


def columns(a: int, b: int) -> list[tuple[int, int]]:
    """Return the digits of each column, units first."""
    width = max(len(str(a)), len(str(b)))
    return [(a // 10**place % 10, b // 10**place % 10) for place in range(width)]


@pytest.mark.parametrize("name", [*HARD_SETS, *BEYOND_TRAINING])
def test_hard_problems_are_held_out_and_distinct(name: str) -> None:
    problems = drawn(name)
    assert {split_of(*one) for one in problems} == {"test"}
    assert len(set(problems)) > 0.7 * len(problems)
    assert sum(a <= b for _, a, b in problems) > 0.2 * len(problems)


@pytest.mark.parametrize("name", HARD_SETS)
def test_hard_problems_have_trained_sizes(name: str) -> None:
    for operation, a, b in drawn(name):
        assert max(len(str(a)), len(str(b))) <= (
            MAX_FACTOR_DIGITS if operation == "*" else MAX_DIGITS
        )


def test_a_carry_runs_through_four_columns() -> None:
    for operation, a, b in drawn("long carry"):
        assert operation == "+"
        longest = run = carry = 0
        for x, y in columns(a, b):
            run = run + 1 if carry and x + y == 9 else 0
            carry = int(x + y + carry > 9)
            longest = max(longest, run)
        assert longest >= 4


def test_a_borrow_runs_across_two_zeros() -> None:
    for operation, a, b in drawn("borrow across zeros"):
        assert operation == "-"
        longest = run = borrowed = 0
        for x, y in columns(max(a, b), min(a, b)):
            run = run + 1 if borrowed and x == 0 else 0
            borrowed = int(x - y - borrowed < 0)
            longest = max(longest, run)
        assert longest >= 2


def test_zero_and_equal_operands_are_drawn() -> None:
    for name in ("zero operand", "equal operands"):
        problems = drawn(name)
        assert {operation for operation, _, _ in problems} == set("+-*")
        for _, a, b in problems:
            assert 0 in (a, b) if name == "zero operand" else a == b


def test_problems_in_other_words_are_phrased_in_words() -> None:
    rng = random.Random(5)
    questions = [HARD_SETS["in other words"](rng).question for _ in range(300)]
    assert not any(re.fullmatch(r"\d+[-+*]\d+", question) for question in questions)
    assert {"times", "minus", "plus", "What"} <= set(" ".join(questions).split())


@pytest.mark.parametrize("name", BEYOND_TRAINING)
def test_larger_problems_have_one_digit_more_than_in_training(name: str) -> None:
    for operation, a, b in drawn(name):
        short, long = sorted((len(str(a)), len(str(b))))
        if operation == "*":
            assert name == f"{long}x{short}"
            assert long == MAX_FACTOR_DIGITS + 1
        else:
            assert name == f"{operation} {long}"
            assert long == MAX_DIGITS + 1


@pytest.mark.parametrize("name", [*HARD_SETS, *BEYOND_TRAINING])
def test_a_draw_depends_on_the_generator_alone(name: str) -> None:
    assert drawn(name, 20) == drawn(name, 20)

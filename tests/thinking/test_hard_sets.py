from __future__ import annotations

import random
import re
from functools import cache

import pytest

from anexa.model.question import normalize_question
from anexa.thinking.hard_sets import HARD_SETS, TASKS_BEYOND_TRAINING, mental_problems
from anexa.thinking.problems import (
    MAX_DIGITS,
    MAX_DIVIDEND_DIGITS,
    MAX_FACTOR_DIGITS,
    TASKS,
    Problem,
    Task,
    draw_problem,
)
from anexa.thinking.splits import split_of
from tests.thinking.reading import assert_true, calculate, operation_of, read_line, split_asked

PAIRS = [name for name in HARD_SETS if name != "in other words"]


def drawn(name: str, count: int = 200) -> list[Problem]:
    rng = random.Random(5)
    return [HARD_SETS[name](rng) for _ in range(count)]


@cache
def asked(name: str) -> list[tuple[str, int, int]]:
    """Draw problems on two numbers; assert that thoughts and answers are right."""
    found = []
    for one in drawn(name):
        match = re.fullmatch(r"(\d+)([-+*])(\d+)", one.question)
        assert match
        line = read_line(one.thought)
        assert_true(line)
        assert (line.a, line.operation, line.b) == (int(match[1]), match[2], int(match[3]))
        assert int(one.answer) == calculate(one.question)
        found.append((match[2], int(match[1]), int(match[3])))
    return found


def columns(a: int, b: int) -> list[tuple[int, int]]:
    """Return the digits of each column, units first."""
    width = max(len(str(a)), len(str(b)))
    return [(a // 10**place % 10, b // 10**place % 10) for place in range(width)]


@pytest.mark.parametrize("name", PAIRS)
def test_hard_problems_are_held_out_and_distinct(name: str) -> None:
    problems = asked(name)
    assert {split_of(*one) for one in problems} == {"test"}
    assert len(set(problems)) > 0.7 * len(problems)
    assert sum(a <= b for _, a, b in problems) > 0.2 * len(problems)


@pytest.mark.parametrize("name", PAIRS)
def test_hard_problems_have_trained_sizes(name: str) -> None:
    longest = 0
    for operation, a, b in asked(name):
        digits = max(len(str(a)), len(str(b)))
        assert digits <= (MAX_FACTOR_DIGITS if operation == "*" else MAX_DIGITS)
        longest = max(longest, digits)
    assert longest >= MAX_DIGITS - 1


def test_a_carry_runs_through_four_columns() -> None:
    for operation, a, b in asked("long carry"):
        assert operation == "+"
        longest = run = carry = 0
        for x, y in columns(a, b):
            run = run + 1 if carry and x + y == 9 else 0
            carry = int(x + y + carry > 9)
            longest = max(longest, run)
        assert longest >= 4


def test_a_borrow_runs_across_two_zeros() -> None:
    for operation, a, b in asked("borrow across zeros"):
        assert operation == "-"
        longest = run = borrowed = 0
        for x, y in columns(max(a, b), min(a, b)):
            run = run + 1 if borrowed and x == 0 else 0
            borrowed = int(x - y - borrowed < 0)
            longest = max(longest, run)
        assert longest >= 2


def test_zero_and_equal_operands_are_drawn() -> None:
    for name in ("zero operand", "equal operands"):
        problems = asked(name)
        assert {operation for operation, _, _ in problems} == set("+-*")
        for _, a, b in problems:
            assert 0 in (a, b) if name == "zero operand" else a == b


def test_problems_in_other_words_are_rephrased_and_held_out() -> None:
    problems = drawn("in other words", 300)
    for one in problems:
        assert not re.fullmatch(r"[-+*/()\d]+", one.question)
        assert not re.fullmatch(r"Which is (larger|smaller), \d+ or \d+\?", one.question)
        assert normalize_question(one.question) == one.question
        assert split_asked(one.question) == "test"
        for line in one.thought.split("\n"):
            assert_true(read_line(line))
    words = set(" ".join(one.question for one in problems).split())
    assert {"times", "minus", "plus", "What", "divided", "product", "from"} <= words


@pytest.mark.parametrize("task", TASKS_BEYOND_TRAINING, ids=str)
def test_larger_problems_are_beyond_training_and_held_out(task: Task) -> None:
    assert task not in TASKS
    assert task.left_size > {"*": MAX_FACTOR_DIGITS, "/": MAX_DIVIDEND_DIGITS}.get(
        task.operation, MAX_DIGITS
    )
    rng = random.Random(5)
    questions = set()
    for _ in range(40):
        one = draw_problem(task, rng, "test")
        a, b = (len(digits) for digits in re.findall("[0-9]+", one.question))
        assert max(a, b) == task.left_size
        if task.right_size:
            assert min(a, b) == task.right_size
        assert operation_of(one.question)[0] == task.operation
        assert split_asked(one.question) == "test"
        assert_true(read_line(one.thought))
        # With place marks and special tokens, a context of 2,560 tokens has room for it.
        assert len(one.thought) + 2 * len(one.question) + len(one.answer) + 5 <= 2560
        questions.add(one.question)
    assert len(questions) == 40


def test_products_of_the_public_test_are_asked_in_both_orders() -> None:
    problems = mental_problems()
    assert [one.question for one in problems[:3]] == ["12*12", "123*456", "456*123"]
    assert {one.question for one in problems[-2:]} == {
        "987654321*123456789",
        "123456789*987654321",
    }
    assert len({one.question for one in problems}) == len(problems) == 13
    for one in problems:
        assert split_asked(one.question) == "test"
        assert int(one.answer) == calculate(one.question)
        assert_true(read_line(one.thought))


@pytest.mark.parametrize("name", HARD_SETS)
def test_a_draw_depends_on_the_generator_alone(name: str) -> None:
    assert drawn(name, 20) == drawn(name, 20)

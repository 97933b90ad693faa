from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL
from anexa.thinking.problems import (
    MAX_DIGITS,
    MAX_DIVIDEND_DIGITS,
    MAX_FACTOR_DIGITS,
    MAX_LONG_DIVIDEND_DIGITS,
    MAX_PRODUCT_FACTS,
    TASKS,
    Problem,
    Task,
    draw_problem,
    has_held_out,
    make_problem,
)
from anexa.thinking.splits import MENTAL_PRODUCTS, Split, split_of, split_of_numbers
from anexa.thinking.thoughts import LARGER, SMALLER
from tests.thinking.reading import assert_true, calculate, operation_of, read_line, split_asked

DRAWS = 12
PAIRS = [task for task in TASKS if task.operation in "+-*/?"]
CHAINS = [Task("chain", 2), Task("chain", 3)]
STORIES = [Task("story", 2), Task("story", 3)]
# Of the pairs of single digits, none is held out: there are too few for 2 %.
TESTED = [task for task in PAIRS if task.left_size > 1]
SPLITS: tuple[Split, ...] = get_args(Split)


def read(question: str) -> tuple[str, int, int]:
    """Read a question about two numbers."""
    a, b = (int(digits) for digits in re.findall("[0-9]+", question))
    return operation_of(question)[0], a, b


def pairs(split: Split, count: int = DRAWS) -> set[tuple[str, int, int]]:
    """Draw pairs of operands of a split, in both orders, without trailing zeros of factors."""
    rng = random.Random(split)
    drawn = set()
    for task in PAIRS if split == "training" else TESTED:
        for _ in range(count):
            operation, a, b = read(draw_problem(task, rng, split).question)
            if operation == "*":
                a, b = (int(str(factor).rstrip("0") or 0) for factor in (a, b))
            drawn |= {(operation, a, b)} | ({(operation, b, a)} if operation != "/" else set())
    return drawn


def test_tasks_are_those_of_training() -> None:
    names = [str(task) for task in TASKS]
    assert len(set(names)) == len(names)
    for kind in ("+", "-", "compare"):
        assert {name for name in names if name.startswith(f"{kind} ")} == {
            f"{kind} {digits}" for digits in range(1, MAX_DIGITS + 1)
        }
    sizes = {(m, n) for m in range(1, 21) for n in range(1, 10) if m >= n and m * n <= 81}
    assert {name for name in names if "x" in name} == {f"{m}x{n}" for m, n in sizes}
    assert {name for name in names if "/" in name} == {
        *(f"{m}/1" for m in range(1, MAX_LONG_DIVIDEND_DIGITS + 1)),
        *(f"{m}/2" for m in range(1, MAX_DIVIDEND_DIGITS + 1)),
    }
    several = {name for name in names if name.startswith(("chain", "story"))}
    assert several == {"chain 2", "chain 3", "story", "story 3"}
    assert (MAX_DIGITS, MAX_FACTOR_DIGITS, MAX_PRODUCT_FACTS) == (20, 9, 81)
    assert (MAX_DIVIDEND_DIGITS, MAX_LONG_DIVIDEND_DIGITS) == (8, 20)


# Held out


def test_splits_are_disjoint() -> None:
    drawn = {split: pairs(split) for split in SPLITS}
    assert min(map(len, drawn.values())) > 1_500
    for one, other in combinations(SPLITS, 2):
        assert not drawn[one] & drawn[other]


@pytest.mark.slow
def test_splits_are_disjoint_in_many_draws() -> None:
    trained = pairs("training", 400)
    assert not trained & pairs("test", 100)
    assert not trained & pairs("validation", 100)


@given(st.sampled_from("+-*?"), st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 4))
def test_swapped_operands_and_trailing_zeros_keep_the_split(
    operation: str, a: int, b: int, zeros: int
) -> None:
    split = split_of(operation, a, b)
    assert split_of(operation, b, a) == split
    if operation == "*":
        assert split_of("*", a * 10**zeros, b) == split_of("*", a, b * 10**zeros) == split


def test_the_order_matters_in_a_division() -> None:
    pairs_ = [(a, b) for a in range(100, 200) for b in range(100, 200)]
    assert any(split_of("/", a, b) != split_of("/", b, a) for a, b in pairs_)


def test_held_out_fraction_of_problems() -> None:
    rng = random.Random(0)
    cells = (("+", 8, 0.02), ("-", 20, 0.02), ("*", 4, 0.02), ("*", 2, 0.2), ("/", 5, 0.02))
    for operation, digits, share in (*cells, ("?", 9, 0.02)):
        least, most = 10 ** (digits - 1), 10**digits
        drawn = Counter(
            split_of(operation, *(rng.randrange(least + 1, most, 2) for _ in "ab"))
            for _ in range(20_000)
        )
        # Four standard deviations, and at 2x2 the deviation of the split itself.
        near = 0.004 if share < 0.1 else 0.035
        assert drawn["test"] / 20_000 == pytest.approx(share, abs=near)
        assert drawn["validation"] / 20_000 == pytest.approx(0.02, abs=near)


def test_splits_never_change() -> None:
    """Otherwise published models would be tested on problems that they were trained on."""
    held = [(a, b) for a in range(10, 100) for b in range(10) if split_of("*", a, b) == "test"]
    assert held[:6] == [(13, 5), (17, 1), (31, 2), (32, 3), (35, 2), (43, 2)]
    assert len(held) == 16
    chains = [(a, b, c) for a in range(9) for b in range(a, 9) for c in range(b, 9)]
    assert [c for c in chains if split_of_numbers("chain", c) == "test"] == [
        (1, 1, 6),
        (1, 3, 4),
        (3, 8, 8),
    ]


@given(st.sampled_from(MENTAL_PRODUCTS), st.integers(0, 12), st.integers(0, 12))
def test_products_of_the_public_test_are_never_trained(
    pair: tuple[int, int], zeros: int, more: int
) -> None:
    a, b = pair[0] * 10**zeros, pair[1] * 10**more
    assert split_of("*", a, b) == split_of("*", b, a) == "test"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", [*CHAINS, *STORIES], ids=str)
def test_chains_and_stories_are_of_their_split(task: Task, split: Split) -> None:
    rng = random.Random(0)
    for _ in range(40):
        assert split_asked(draw_problem(task, rng, split).question) == split


@pytest.mark.parametrize("task", [*PAIRS, *CHAINS, *STORIES], ids=str)
def test_no_line_of_a_training_thought_is_a_held_out_problem(task: Task) -> None:
    rng = random.Random(5)
    for _ in range(30 if task in PAIRS else 400):
        for text in filter(None, draw_problem(task, rng).thought.split("\n")):
            line = read_line(text)
            assert split_of(line.operation, line.a, line.b) == "training", text


@pytest.mark.parametrize("task", [task for task in TASKS if not has_held_out(task)], ids=str)
def test_no_single_digits_are_held_out(task: Task) -> None:
    pairs_ = [(a, b) for a in range(10) for b in range(10)]
    assert {split_of(task.operation, a, b) for a, b in pairs_} == {"training"}
    with pytest.raises(ValueError, match="is held out"):
        draw_problem(task, random.Random(0), "test")


# Operands


@pytest.mark.parametrize("split", SPLITS)
def test_operands_have_the_digits_of_the_task(split: Split) -> None:
    rng = random.Random(0)
    for task in PAIRS if split == "training" else TESTED:
        sizes: Counter[tuple[int, int]] = Counter()
        for _ in range(20):
            operation, a, b = read(draw_problem(task, rng, split).question)
            assert operation == task.operation
            x, y = len(str(a)), len(str(b))
            sizes[(x, y) if operation == "/" else (max(x, y), min(x, y))] += 1
        if task.right_size is not None:
            assert set(sizes) == {(task.left_size, task.right_size)}
        else:
            assert {long for long, _ in sizes} == {task.left_size}
            assert sizes[task.left_size, task.left_size] > 2


def test_both_orders_and_negative_results_are_drawn() -> None:
    rng = random.Random(0)
    drawn = [read(draw_problem(Task("-", 3), rng).question) for _ in range(200)]
    assert 40 < sum(a < b for _, a, b in drawn) < 160
    drawn = [read(draw_problem(Task("*", 3, 1), rng).question) for _ in range(200)]
    assert 60 < sum(a < b for _, a, b in drawn) < 140


def test_the_larger_and_the_smaller_number_are_asked_for() -> None:
    rng = random.Random(0)
    asked = Counter(
        operation_of(draw_problem(Task("?", 5), rng, "test").question) for _ in range(100)
    )
    assert 10 < asked[SMALLER] < 50 < asked[LARGER]


def test_difficult_operands_are_drawn_for_training() -> None:
    rng = random.Random(0)
    compared = [read(draw_problem(Task("?", 12), rng).question)[1:] for _ in range(400)]
    alike = [
        sum(1 for _ in _common(str(a), str(b))) for a, b in compared if len(str(a)) == len(str(b))
    ]
    assert sum(digits > 3 for digits in alike) > 40
    assert sum(a == b for a, b in compared) > 3
    divided = [read(draw_problem(Task("/", 4, 2), rng).question)[1:] for _ in range(400)]
    assert 50 < sum(a % b == 0 for a, b in divided) < 200
    sums = [read(draw_problem(Task("+", 12), rng).question)[1:] for _ in range(800)]
    assert sum(set(str(a + b)[1:]) <= {"0", "1", "9"} for a, b in sums) > 20, "long carries"


def _common(a: str, b: str) -> list[str]:
    digits = []
    for x, y in zip(a, b):
        if x != y:
            break
        digits.append(x)
    return digits


@pytest.mark.parametrize("operations", [2, 3])
def test_chains_are_varied_and_of_the_size_of_training(operations: int) -> None:
    rng = random.Random(operations)
    seen: Counter[str] = Counter()
    for _ in range(500):
        one = draw_problem(Task("chain", operations), rng)
        signs = re.findall(r"[-+*/]", one.question)
        assert len(signs) == operations
        seen.update(set(signs))
        seen["brackets"] += "(" in one.question
        seen["refused"] += one.answer in (INEXACT_REFUSAL, BY_ZERO_REFUSAL)
        seen["remainder"] += " R " in one.answer
        seen["negative"] += one.answer[0] == "-"
        numbers = re.findall("[0-9]+", one.question)
        assert max(map(len, numbers)) <= 4
        seen.update(f"{len(number)} digits" for number in numbers)
        lines = [read_line(line) for line in one.thought.split("\n") if line]
        assert sum(len(str(x.a)) * len(str(x.b)) for x in lines if x.operation == "*") <= 81
        for line in lines:
            assert len(line.value.strip("-").partition(" ")[0]) <= 16
            if line.operation == "/":
                assert (len(str(line.a)) <= 8, line.b < 100) == (True, True)
    assert min(seen[key] for key in "+-*/") > 60
    assert min(seen[key] for key in ("brackets", "negative")) > 60
    assert min(seen[key] for key in ("refused", "remainder")) > 3
    assert seen["refused"] < 50
    digits = [seen[f"{count} digits"] for count in (1, 2, 3, 4)]
    assert digits == sorted(digits, reverse=True)


# Thoughts and answers


@given(st.sampled_from(TASKS), st.integers(0, 2**32), st.integers(0, 25))
def test_thoughts_are_true_and_lead_to_the_answer(task: Task, seed: int, ones_letter: int) -> None:
    one = draw_problem(task, random.Random(seed), ones_letter=ones_letter)
    lines = [read_line(text) for text in one.thought.split("\n") if text]
    for line in lines:
        assert_true(line)
    assert all(
        text.strip("-(")[0] == chr(65 + ones_letter) for text in one.thought.split("\n") if text
    )
    if one.answer in (INEXACT_REFUSAL, BY_ZERO_REFUSAL):
        assert task in CHAINS
        return
    assert one.answer == expected_answer(task, one)
    if one.answer != EQUAL_ANSWER:
        assert one.answer == lines[-1].value
    known = [int(digits) for digits in re.findall("[0-9]+", one.question)]
    for line in lines:  # operands are numbers of the question, or earlier values
        assert {line.a, line.b} <= set(known)
        known.append(abs(int(line.value.partition(" ")[0])))


def expected_answer(task: Task, one: Problem) -> str:
    if task.operation == "?":
        _, a, b = read(one.question)
        pick = min if operation_of(one.question) == SMALLER else max
        return EQUAL_ANSWER if a == b else str(pick(a, b))
    if task.operation == "story":
        return one.answer  # compared with the formula in test_stories.py
    value = calculate(one.question)
    if value.denominator == 1:
        return str(value)
    divisor = read_line(one.thought.split("\n")[-1]).b
    return f"{value // 1} R {(value - value // 1) * divisor}"


@pytest.mark.parametrize(
    ("made", "question", "answer"),
    [
        (make_problem("-", 478, 5003), "478-5003", "-4525"),
        (make_problem("/", 992, 37), "992/37", "26 R 30"),
        (make_problem("/", 992, 31), "992/31", "32"),
        (make_problem(LARGER, 12, 30), "Which is larger, 12 or 30?", "30"),
        (make_problem(SMALLER, 12, 30), "Which is smaller, 12 or 30?", "12"),
        (make_problem(LARGER, 30, 30), "Which is larger, 30 or 30?", EQUAL_ANSWER),
    ],
)
def test_problems_are_made_of_an_operation(made: Problem, question: str, answer: str) -> None:
    assert (made.question, made.answer) == (question, answer)
    assert_true(read_line(made.thought))


@given(
    st.sampled_from([*TESTED, *CHAINS, *STORIES]), st.integers(0, 2**32), st.sampled_from(SPLITS)
)
def test_a_draw_depends_on_the_generator_alone(task: Task, seed: int, split: Split) -> None:
    random.seed(seed)
    first = draw_problem(task, random.Random(seed), split)
    random.seed(seed + 1)
    assert draw_problem(task, random.Random(seed), split) == first

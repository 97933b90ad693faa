from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.problems import MAX_DIGITS, TASKS, Task, draw, problem
from anexa.thinking.splits import Split, split_of
from anexa.thinking.stories import NAMES, TEMPLATES, THINGS, Story, draw_story
from anexa.thinking.thoughts import steps_of

DRAWS = 200
PLAIN = [task for task in TASKS if task.operation != "story"]
# Of the pairs of single digits, none is held out: there are too few for 2 %.
TESTED = [task for task in PLAIN if task.left > 1]
SPLITS: tuple[Split, ...] = get_args(Split)


def read(question: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"(\d+)([-+*])(\d+)", question)
    assert match
    return int(match[1]), match[2], int(match[3])


def pairs(split: Split, count: int = DRAWS) -> set[tuple[str, int, int]]:
    """Draw pairs of operands of a split, in both orders, without trailing zeros of factors."""
    rng = random.Random(split)
    drawn = set()
    for task in PLAIN if split == "training" else TESTED:
        for _ in range(count):
            a, operation, b = read(draw(task, rng, split).question)
            if operation == "*":
                a, b = (int(str(factor).rstrip("0") or 0) for factor in (a, b))
            drawn |= {(operation, a, b), (operation, b, a)}
    return drawn


def test_splits_are_disjoint() -> None:
    drawn = {split: pairs(split) for split in SPLITS}
    assert min(map(len, drawn.values())) > 2_000
    for one, other in combinations(SPLITS, 2):
        assert not drawn[one] & drawn[other]


@pytest.mark.slow
def test_splits_are_disjoint_in_many_draws() -> None:
    trained = pairs("training", 20_000)
    assert not trained & pairs("test", 1_000)
    assert not trained & pairs("validation", 1_000)


@given(st.sampled_from("+-*"), st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 4))
def test_swapped_operands_and_trailing_zeros_keep_the_split(
    operation: str, a: int, b: int, zeros: int
) -> None:
    split = split_of(operation, a, b)
    assert split_of(operation, b, a) == split
    if operation == "*":
        assert split_of("*", a * 10**zeros, b) == split_of("*", a, b * 10**zeros) == split


def test_held_out_fraction_of_problems() -> None:
    rng = random.Random(0)
    for operation, digits, share in (("+", 8, 0.02), ("-", 5, 0.02), ("*", 4, 0.02), ("*", 2, 0.2)):
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


@pytest.mark.parametrize("split", SPLITS)
def test_operands_have_the_digits_of_the_task(split: Split) -> None:
    rng = random.Random(0)
    for task in PLAIN if split == "training" else TESTED:
        sizes: Counter[tuple[int, ...]] = Counter()
        for _ in range(200):
            a, operation, b = read(draw(task, rng, split).question)
            assert operation == task.operation
            sizes[tuple(sorted((len(str(a)), len(str(b)))))] += 1
        if task.right is not None:
            assert set(sizes) == {(task.right, task.left)}
        elif split != "training":
            assert {long for _, long in sizes} == {task.left}
            assert sizes[task.left, task.left] > 80
        else:  # nines that make a long carry may be shorter, or one digit longer
            assert {long for _, long in sizes} <= {task.left, min(task.left + 1, MAX_DIGITS)}


@pytest.mark.parametrize("task", [task for task in PLAIN if task.left == 1], ids=str)
def test_no_single_digits_are_held_out(task: Task) -> None:
    pairs_ = [(a, b) for a in range(10) for b in range(10)]
    assert {split_of(task.operation, a, b) for a, b in pairs_} == {"training"}
    with pytest.raises(ValueError, match="is held out"):
        draw(task, random.Random(0), "test")


@pytest.mark.parametrize("task", [*PLAIN, Task("story")], ids=str)
def test_no_line_of_a_training_thought_is_a_held_out_problem(task: Task) -> None:
    rng = random.Random(5)
    for _ in range(400):
        for line in draw(task, rng).thought.split("\n"):
            expression = line.split(":")[0]
            a, operation, b = re.fullmatch(r"(?:-\()?(\d+)([-+*?])(\d+)\)?", expression).groups()  # type: ignore[union-attr]
            assert operation == "?" or split_of(operation, int(a), int(b)) == "training", line


def test_both_orders_and_negative_results_are_drawn() -> None:
    rng = random.Random(0)
    drawn = [read(draw(Task("-", 3), rng).question) for _ in range(200)]
    assert 40 < sum(a < b for a, _, b in drawn) < 160
    drawn = [read(draw(Task("*", 3, 1), rng).question) for _ in range(200)]
    assert 60 < sum(a < b for a, _, b in drawn) < 140


@given(st.integers(0, 10**4 - 1), st.integers(0, 10**4 - 1))
def test_the_longer_factor_comes_first_in_the_thought(a: int, b: int) -> None:
    one = problem("*", a, b)
    first = b if len(str(b)) > len(str(a)) else a
    assert one.question == f"{a}*{b}"
    assert one.thought.startswith(f"{first}*")
    assert one.answer == str(a * b)


@given(st.sampled_from([*TESTED, Task("story")]), st.integers(0, 2**32), st.sampled_from(SPLITS))
def test_a_draw_depends_on_the_generator_alone(task: Task, seed: int, split: Split) -> None:
    random.seed(seed)
    first = draw(task, random.Random(seed), split)
    random.seed(seed + 1)
    assert draw(task, random.Random(seed), split) == first


# Stories


@pytest.fixture(scope="module")
def stories() -> dict[Split, list[Story]]:
    """Stories of each split; a held-out one takes hundreds of draws."""
    rng = random.Random(3)
    counts: dict[Split, int] = {"training": 5_000, "validation": 100, "test": 300}
    return {split: [draw_story(rng, split) for _ in range(n)] for split, n in counts.items()}


def test_stories_hold_out_numbers_and_names(stories: dict[Split, list[Story]]) -> None:
    trained, validated, tested = (stories[split] for split in SPLITS)
    for what in ("numbers", "names"):
        sides = [
            {
                tuple(sorted(one.numbers)) if what == "numbers" else (one.template, one.name)
                for one in group
            }
            for group in (trained, validated, tested)
        ]
        assert not any(one & other for one, other in combinations(sides, 2))
    for group in (trained, tested):
        assert {one.template for one in group} == set(range(len(TEMPLATES)))
    assert {one.name for one in trained} == set(NAMES)
    assert {one.things for one in trained} == set(THINGS)


def test_story_values_follow_from_the_template(stories: dict[Split, list[Story]]) -> None:
    for group in stories.values():
        for one in group[:200]:
            template = TEMPLATES[one.template]
            a, b, c = one.numbers
            first = {"+": a + b, "-": a - b, "*": a * b, "r-": b - a}[template.first]
            second = {"+": first + c, "-": first - c, "*": first * c}[template.second]
            assert [one.first[-1].value, one.steps[-1].value] == [first, second]
            assert min(first, second) >= 0
            assert one.steps == [*one.first, *steps_of(template.second, first, c)]
            assert max(one.numbers) < 1000
            assert not re.search(r"[{}]", one.question)


def test_every_template_uses_each_number_once() -> None:
    for template in TEMPLATES:
        places = Counter(re.findall(r"{(\w+)}", template.text))
        assert [places[letter] for letter in "abc"] == [1, 1, 1]
        assert places["name"] >= 1
        assert places["things"] >= 1

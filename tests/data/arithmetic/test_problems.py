from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data.arithmetic.problems import MOST_DIGITS, TASKS, Task, draw, held_out, problem
from anexa.data.arithmetic.stories import NAMES, TEMPLATES, THINGS, draw_story
from anexa.data.arithmetic.thoughts import steps_of

DRAWS = 500
PLAIN = [task for task in TASKS if task.operation != "story"]
# Of the pairs of single digits, none is held out: there are too few for 2 %.
TESTED = [task for task in PLAIN if task.left > 1]


def read(question: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"(\d+)([-+*])(\d+)", question)
    assert match
    return int(match[1]), match[2], int(match[3])


def pairs(task: Task, seed: int, test: bool, count: int = DRAWS) -> set[tuple[str, int, int]]:
    """What is drawn, in both orders."""
    rng = random.Random(seed)
    drawn = set()
    for _ in range(count):
        a, operation, b = read(draw(task, rng, test=test).question)
        drawn |= {(operation, a, b), (operation, b, a)}
    return drawn


def test_nothing_is_both_trained_on_and_tested() -> None:
    trained = set().union(*(pairs(task, 1, test=False) for task in PLAIN))
    tested = set().union(*(pairs(task, 2, test=True) for task in TESTED))
    assert len(trained) > 10_000
    assert len(tested) > 5_000
    assert not trained & tested


@pytest.mark.slow
def test_nothing_is_both_trained_on_and_tested_in_many_draws() -> None:
    trained = set().union(*(pairs(task, 1, test=False, count=20_000) for task in PLAIN))
    tested = set().union(*(pairs(task, 2, test=True, count=1_000) for task in TESTED))
    assert not trained & tested


@given(st.sampled_from("+-*"), st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_pair_and_its_mirror_are_held_out_together(operation: str, a: int, b: int) -> None:
    assert held_out(operation, a, b) == held_out(operation, b, a)


def test_how_much_is_held_out() -> None:
    rng = random.Random(0)
    for operation, digits, share in (("+", 8, 0.02), ("-", 5, 0.02), ("*", 4, 0.02), ("*", 2, 0.2)):
        least, most = 10 ** (digits - 1), 10**digits
        held = [
            held_out(operation, rng.randrange(least, most), rng.randrange(least, most))
            for _ in range(20_000)
        ]
        # Four standard deviations, and at 2x2 the deviation of the split itself.
        assert sum(held) / len(held) == pytest.approx(share, abs=0.004 if share < 0.1 else 0.03)


def test_the_split_stays() -> None:
    """Models are trained on one side of it, and must not be tested on another."""
    held = [(a, b) for a in range(10, 100) for b in range(10) if held_out("*", a, b)]
    assert held[:6] == [(13, 5), (17, 1), (20, 8), (31, 2), (32, 3), (35, 2)]
    assert len(held) == 19


@pytest.mark.parametrize("test", [False, True])
def test_tasks_have_the_digits_that_they_say(test: bool) -> None:
    rng = random.Random(0)
    for task in TESTED if test else PLAIN:
        sizes: Counter[tuple[int, ...]] = Counter()
        for _ in range(200):
            a, operation, b = read(draw(task, rng, test=test).question)
            assert operation == task.operation
            sizes[tuple(sorted((len(str(a)), len(str(b)))))] += 1
        if task.right is not None:
            assert set(sizes) == {(task.right, task.left)}
        elif test:
            assert {long for _, long in sizes} == {task.left}
            assert sizes[task.left, task.left] > 80
        else:  # nines that make a long carry may be shorter, or one digit longer
            assert {long for _, long in sizes} <= {task.left, min(task.left + 1, MOST_DIGITS)}


@pytest.mark.parametrize("task", [task for task in PLAIN if task.left == 1], ids=str)
def test_no_single_digits_are_held_out(task: Task) -> None:
    pairs_ = [(a, b) for a in range(10) for b in range(10)]
    assert not any(held_out(task.operation, a, b) for a, b in pairs_)
    with pytest.raises(ValueError, match="is held out"):
        draw(task, random.Random(0), test=True)


@pytest.mark.parametrize("task", [*PLAIN, Task("story")], ids=str)
def test_no_line_of_a_thought_to_train_on_is_a_problem_that_is_held_out(task: Task) -> None:
    rng = random.Random(5)
    for _ in range(400):
        for line in draw(task, rng).thought.split("\n"):
            expression = line.split(":")[0]
            a, operation, b = re.fullmatch(r"(?:-\()?(\d+)([-+*?])(\d+)\)?", expression).groups()  # type: ignore[union-attr]
            assert operation == "?" or not held_out(operation, int(a), int(b)), line
            if operation == "*":
                assert not held_out("*", int(a), int(b[0])), line


def test_both_orders_and_negative_results_come() -> None:
    rng = random.Random(0)
    drawn = [read(draw(Task("-", 3), rng).question) for _ in range(200)]
    assert 40 < sum(a < b for a, _, b in drawn) < 160
    drawn = [read(draw(Task("*", 3, 1), rng).question) for _ in range(200)]
    assert 60 < sum(a < b for a, _, b in drawn) < 140


@given(st.integers(0, 10**4 - 1), st.integers(0, 10**4 - 1))
def test_the_longer_factor_is_thought_of_first(a: int, b: int) -> None:
    one = problem("*", a, b)
    first = b if len(str(b)) > len(str(a)) else a
    assert one.question == f"{a}*{b}"
    assert one.thought.startswith(f"{first}*")
    assert one.answer == str(a * b)


@given(st.sampled_from([*TESTED, Task("story")]), st.integers(0, 2**32), st.booleans())
def test_a_draw_depends_on_the_generator_alone(task: Task, seed: int, test: bool) -> None:
    random.seed(seed)
    first = draw(task, random.Random(seed), test=test)
    random.seed(seed + 1)
    assert draw(task, random.Random(seed), test=test) == first


# Stories


def test_stories_hold_out_numbers_and_who_is_in_which() -> None:
    rng = random.Random(3)
    trained = [draw_story(rng, held_out=False) for _ in range(5_000)]
    tested = [draw_story(rng, held_out=True) for _ in range(300)]
    for what in ("numbers", "names"):
        sides = [
            {
                tuple(sorted(one.numbers)) if what == "numbers" else (one.template, one.name)
                for one in stories
            }
            for stories in (trained, tested)
        ]
        assert not sides[0] & sides[1]
    for stories in (trained, tested):
        assert {one.template for one in stories} == set(range(len(TEMPLATES)))
    assert {one.name for one in trained} == set(NAMES)
    assert {one.things for one in trained} == set(THINGS)


def test_values_of_stories() -> None:
    rng = random.Random(4)
    for held in (False, True):
        for _ in range(200):
            one = draw_story(rng, held)
            template = TEMPLATES[one.template]
            a, b, c = one.numbers
            first = {"+": a + b, "-": a - b, "*": a * b, "r-": b - a}[template.first]
            second = {"+": first + c, "-": first - c, "*": first * c}[template.second]
            assert [one.first[-1].value, one.steps[-1].value] == [first, second]
            assert min(first, second) >= 0
            assert one.steps == [*one.first, *steps_of(template.second, first, c)]
            assert max(one.numbers) < 1000
            assert not re.search(r"[{}]", one.question)


def test_every_template_says_all_of_its_story_once() -> None:
    for template in TEMPLATES:
        places = Counter(re.findall(r"{(\w+)}", template.text))
        assert [places[letter] for letter in "abc"] == [1, 1, 1]
        assert places["name"] >= 1
        assert places["things"] >= 1

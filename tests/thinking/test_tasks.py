from __future__ import annotations

import random
import re

import pytest

from anexa.errors import UsageError
from anexa.thinking.problems import TASKS, has_held_out
from anexa.thinking.refusals import draw_unanswerable_request
from anexa.thinking.tasks import (
    EVALUATED_TASKS,
    MENTAL_TASK,
    draw_distinct_problems,
    resolve_task_names,
)
from tests.thinking.reading import split_asked


def test_the_default_tasks_are_those_of_the_table() -> None:
    names = resolve_task_names()
    digits = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20]
    expected = {f"{sign} {count}" for sign in "+-" for count in digits}
    expected |= {f"{kind} {count}" for kind in ("+", "-", "compare") for count in (22, 24)}
    expected |= {"2x1", "3x1", "4x1", "2x2", "3x2", "4x2", "3x3", "4x3", "4x4"}
    expected |= {"5x5", "6x6", "7x7", "8x8", "9x9", "9x1", "20x1", "10x10", "11x11", "13x13"}
    expected |= {"2/1", "4/1", "8/1", "20/1", "3/2", "5/2", "8/2", "10/2", "12/2"}
    expected |= {"chain 2", "chain 3", "story", "story 3"}
    expected |= {f"compare {count}" for count in (4, 10, 20)}
    expected |= {"long carry", "borrow across zeros", "zero operand", "equal operands"}
    expected |= {"in other words", "no sum"}
    assert set(names) == expected
    assert len(names) == len(expected)


def test_cells_are_tasks_of_training_with_held_out_problems() -> None:
    assert set(EVALUATED_TASKS) <= set(TASKS)
    assert all(map(has_held_out, EVALUATED_TASKS))


def test_unknown_tasks_are_refused() -> None:
    assert resolve_task_names(["+ 3", MENTAL_TASK]) == ["+ 3", MENTAL_TASK]
    with pytest.raises(UsageError, match="no problem of the task '1x1' is evaluated"):
        resolve_task_names(["1x1"])
    with pytest.raises(UsageError, match=r"there is no task '3x9': choose from .*9x9.*mental"):
        resolve_task_names(["3x9"])


@pytest.mark.parametrize("name", resolve_task_names())
def test_problems_are_distinct_and_held_out(name: str) -> None:
    problems = draw_distinct_problems(name, 25, random.Random(7))
    assert len({one.question for one in problems}) == len(problems) == 25
    if name == "no sum":
        assert not any(one.thought for one in problems)
        return
    for one in problems:
        assert one.thought
        assert split_asked(one.question) == "test"
        assert re.fullmatch(r"-?\d+(?: R \d+)?|They are equal\.", one.answer)


def test_small_tasks_are_exhausted() -> None:
    held = draw_distinct_problems("2x1", 1000, random.Random(1))
    assert 20 < len(held) < 100
    assert len(draw_distinct_problems(MENTAL_TASK, 1000, random.Random(1))) == 13
    assert len(draw_distinct_problems(MENTAL_TASK, 4, random.Random(1))) == 4


def test_refused_requests_have_no_thought() -> None:
    (one,) = draw_distinct_problems("no sum", 1, random.Random(3))
    assert (one.question, one.answer) == draw_unanswerable_request(random.Random(3))

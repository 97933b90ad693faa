"""Evaluation tasks, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from anexa.errors import UsageError
from anexa.thinking.hard_sets import BEYOND_TRAINING, HARD_SETS
from anexa.thinking.problems import TASKS, Problem, draw, is_held_out
from anexa.thinking.refusals import unanswerable_request

MAX_DRAWS = 20  # draws for each new problem, after which the task counts as exhausted


def _refused(rng: random.Random) -> Problem:
    """Draw a request that the model should refuse, without a thought."""
    question, answer = unanswerable_request(rng)
    return Problem(question, "", answer)


_DRAWERS: dict[str, Callable[[random.Random], Problem]] = {
    **{str(task): partial(draw, task, split="test") for task in TASKS if is_held_out(task)},
    **HARD_SETS,
    "no sum": _refused,
    **BEYOND_TRAINING,
}


def task_names(names: Sequence[str] = ()) -> Sequence[str]:
    """Check task names; without any, list all tasks.

    Raises:
        UsageError: if a name is unknown, or no problem of the task is held out.
    """
    for name in names:
        if name in map(str, TASKS) and name not in _DRAWERS:
            raise UsageError(f"no problem of the task {name!r} is held out: choose another task")
        if name not in _DRAWERS:
            raise UsageError(f"there is no task {name!r}: choose from {', '.join(_DRAWERS)}")
    return names or list(_DRAWERS)


def distinct_problems(name: str, count: int, rng: random.Random) -> list[Problem]:
    """Draw `count` different held-out problems of a task, or all if there are fewer."""
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < MAX_DRAWS * (len(found) + 1):
        problem = _DRAWERS[name](rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())

"""Tasks that a model is evaluated on, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from anexa.errors import UsageError
from anexa.thinking.hard_sets import BEYOND, HARD
from anexa.thinking.problems import TASKS, Problem, draw, is_held_out
from anexa.thinking.refusals import no_sum

DRAWS = 20  # draws for each new problem, after which the task counts as exhausted


def _refused(rng: random.Random) -> Problem:
    """Draw a request that should be refused, without a thought."""
    question, answer = no_sum(rng)
    return Problem(question, "", answer)


_DRAWERS: dict[str, Callable[[random.Random], Problem]] = {
    **{str(task): partial(draw, task, split="test") for task in TASKS if is_held_out(task)},
    **HARD,
    "no sum": _refused,
    **BEYOND,
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
    """Draw `count` different held-out problems of a task, or fewer if there are not as many."""
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < DRAWS * (len(found) + 1):
        problem = _DRAWERS[name](rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())

"""Evaluation tasks, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from anexa.errors import UsageError
from anexa.thinking.hard_sets import BEYOND_TRAINING, HARD_SETS, mental_products
from anexa.thinking.problems import TASKS, Problem, Task, draw
from anexa.thinking.refusals import unanswerable_request

EVALUATED_TASKS = (
    *(Task(sign, digits) for sign in "+-" for digits in (*range(2, 9), *range(10, 21, 2))),
    *(Task("*", m, n) for m in (2, 3, 4) for n in range(1, m + 1)),
    *(Task("*", digits, digits) for digits in (5, 6, 7, 8, 9)),
    *(Task("*", digits, 1) for digits in (9, 20)),
    *(Task("/", digits, 1) for digits in (2, 4, 8)),
    *(Task("/", digits, 2) for digits in (3, 5, 8)),
    *(Task(kind, operations) for kind in ("chain", "story") for operations in (2, 3)),
    *(Task("?", digits) for digits in (4, 10, 20)),
)
"""Tasks that occur in training and are evaluated, on held-out problems."""

MENTAL = "mental"
"""Name of the task of the seven `MENTAL_PRODUCTS`, which is evaluated only on request."""

# Repeated draws for each distinct problem, after which a task is taken to have no other problems.
MAX_DRAWS = 20


def _refused(rng: random.Random) -> Problem:
    """Draw a request that the model should refuse, without a thought."""
    question, answer = unanswerable_request(rng)
    return Problem(question, "", answer)


_DRAWERS: dict[str, Callable[[random.Random], Problem]] = {
    **{str(task): partial(draw, task, split="test") for task in EVALUATED_TASKS},
    **HARD_SETS,
    "no sum": _refused,
    **{str(task): partial(draw, task, split="test") for task in BEYOND_TRAINING},
}


def task_names(names: Sequence[str] = ()) -> Sequence[str]:
    """Check task names; without any, list all tasks but `MENTAL`.

    Args:
        names: names of tasks; empty for all tasks but `MENTAL`.

    Returns:
        The names, in the given order.

    Raises:
        UsageError: if a name is unknown, or the task is only used in training.
    """
    for name in names:
        if name in map(str, TASKS) and name not in _DRAWERS:
            raise UsageError(f"no problem of the task {name!r} is evaluated: choose another task")
        if name not in _DRAWERS and name != MENTAL:
            known = ", ".join((*_DRAWERS, MENTAL))
            raise UsageError(f"there is no task {name!r}: choose from {known}")
    return names or list(_DRAWERS)


def distinct_problems(name: str, count: int, rng: random.Random) -> list[Problem]:
    """Draw `count` different held-out problems of a task, or fewer if there are not as many.

    Args:
        name: name of the task, as `task_names` returns it; the problems of `MENTAL` are fixed.
        count: maximum number of problems.
        rng: random generator.
    """
    if name == MENTAL:
        return mental_products()[:count]
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < MAX_DRAWS * (len(found) + 1):
        problem = _DRAWERS[name](rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())

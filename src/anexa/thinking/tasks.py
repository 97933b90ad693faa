"""Evaluation tasks, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from anexa.errors import UsageError
from anexa.thinking.hard_sets import HARD_SETS, TASKS_BEYOND_TRAINING, mental_problems
from anexa.thinking.problems import TASKS, Problem, Task, draw_problem
from anexa.thinking.refusals import draw_unanswerable_request

EVALUATED_TASKS = (
    *(Task(sign, digits) for sign in "+-" for digits in (*range(2, 9), *range(10, 21, 2))),
    *(Task("*", m, n) for m in (2, 3, 4) for n in range(1, m + 1)),
    *(Task("*", digits, digits) for digits in (5, 6, 7, 8, 9)),
    *(Task("*", digits, 1) for digits in (9, 20)),
    *(Task("/", digits, 1) for digits in (2, 4, 8, 20)),
    *(Task("/", digits, 2) for digits in (3, 5, 8)),
    *(Task(kind, operations) for kind in ("chain", "story") for operations in (2, 3)),
    *(Task("?", digits) for digits in (4, 10, 20)),
)
"""Tasks that occur in training and are evaluated, on held-out problems."""

MENTAL_TASK = "mental"
"""Name of the task of the seven `MENTAL_PRODUCTS`, which is evaluated only if it is named."""

# Repeated draws for each distinct problem, after which a task is taken to have no other problems.
MAX_REPEATED_DRAWS = 20


def _refused(rng: random.Random) -> Problem:
    """Draw a request that the model should refuse, without a thought."""
    question, answer = draw_unanswerable_request(rng)
    return Problem(question, "", answer)


_DRAWERS: dict[str, Callable[[random.Random], Problem]] = {
    **{str(task): partial(draw_problem, task, split="test") for task in EVALUATED_TASKS},
    **HARD_SETS,
    "no sum": _refused,
    **{str(task): partial(draw_problem, task, split="test") for task in TASKS_BEYOND_TRAINING},
}


def resolve_task_names(names: Sequence[str] = ()) -> Sequence[str]:
    """Check the names of tasks; without any, list all tasks but `MENTAL_TASK`.

    Args:
        names: names of tasks; empty for all tasks but `MENTAL_TASK`.

    Returns:
        The names, in the given order.

    Raises:
        UsageError: if a name is unknown, or the task is only used in training.
    """
    for name in names:
        if name in map(str, TASKS) and name not in _DRAWERS:
            raise UsageError(f"no problem of the task {name!r} is evaluated: choose another task")
        if name not in _DRAWERS and name != MENTAL_TASK:
            known = ", ".join((*_DRAWERS, MENTAL_TASK))
            raise UsageError(f"there is no task {name!r}: choose from {known}")
    return names or list(_DRAWERS)


def draw_distinct_problems(name: str, count: int, rng: random.Random) -> list[Problem]:
    """Draw `count` different held-out problems of a task, or fewer if there are not as many.

    Args:
        name: name of the task, as from `resolve_task_names`; those of `MENTAL_TASK` are fixed.
        count: maximum number of problems.
        rng: random generator.
    """
    if name == MENTAL_TASK:
        return mental_problems()[:count]
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < MAX_REPEATED_DRAWS * (len(found) + 1):
        problem = _DRAWERS[name](rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())

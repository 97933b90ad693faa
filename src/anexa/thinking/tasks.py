"""Kinds of problems that a model is evaluated on, each by its name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from anexa.errors import UsageError
from anexa.thinking.hard_sets import BEYOND, HARD
from anexa.thinking.problems import TASKS, Problem, draw, is_held_out
from anexa.thinking.refusals import no_sum

DRAWS = 20  # for one more problem; then there are no others


def _refused(rng: random.Random) -> Problem:
    """What is not worked out: the answer says so, without a thought."""
    question, answer = no_sum(rng)
    return Problem(question, "", answer)


_DRAWERS: dict[str, Callable[[random.Random], Problem]] = {
    **{str(task): partial(draw, task, part="test") for task in TASKS if is_held_out(task)},
    **HARD,
    "no sum": _refused,
    **BEYOND,
}


def kinds(names: Sequence[str] = ()) -> Sequence[str]:
    """All kinds, or those that were named.

    Raises:
        UsageError: there is no kind of a name.
    """
    for name in names:
        if name in map(str, TASKS) and name not in _DRAWERS:
            raise UsageError(f"no problem of {name!r} is held out: all of them are trained on")
        if name not in _DRAWERS:
            raise UsageError(f"there is no task {name!r}: choose from {', '.join(_DRAWERS)}")
    return names or list(_DRAWERS)


def different(name: str, count: int, rng: random.Random) -> list[Problem]:
    """So many held-out problems of a kind, or as many as there are."""
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < DRAWS * (len(found) + 1):
        problem = _DRAWERS[name](rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())

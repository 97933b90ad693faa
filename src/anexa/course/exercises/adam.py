"""Chapter 10: the life of a weight under Adam, compared with a training of `microgpt.py`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

import microgpt
from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

STEPS = 12  # optimizer steps of a training
# Pairs of gradients by hand, a and b, such that (a² + 2 b²) / 3 is a square.
SQUARES = [(5, 1), (10, 2), (1, 11), (5, 13)]

_WHY = (
    "Every weight of the model has a life like this one. If a number agrees in ten digits or more, "
    "the formula is right: only the order of the operations differs."
)
_ROUNDED = (
    "The same on paper, but rounded in another way. Use the operations of adam in their order: "
    "(1 - 0.85), which is not exactly 0.15; and rate times m before the division."
)
_REASONS = {
    "bias": "There is no bias correction: m and v began at 0, and are too small at first.",
    "kept": (
        "The corrected m and v are for this step alone: the next step goes on from those "
        "before the correction."
    ),
    "exchanged": "β₁ = 0.85 belongs to m and β₂ = 0.99 to v: here they are exchanged.",
    "others": "These are the β of other programs, 0.9 and 0.999: here they are 0.85 and 0.99.",
    "square": "v is the mean of the squares of the gradients, not the square of m.",
    "root": "The small number is added after the root, not under it.",
    "small": "The small number 1e-8 is missing: it shows in the last digits.",
    "no_root": "m is divided by the root of v, not by v itself.",
    "plus": "The weight moves against the gradient: with a minus.",
    "gradient": "This is the rate times the gradient: Adam's m and v are missing.",
    "m_only": "This is the rate times m: it is divided by the root of v.",
    "constant": "The rate becomes smaller with each step.",
    "ahead": "The rate is one step ahead: step 1 has the full rate, as steps are counted from 1.",
}
# Other orders of rounding, in `_REASONS`: each changes a number of every life that is drawn.
ROUNDED = ("order", "fraction", "fraction_m", "difference")
_REASONS |= dict.fromkeys(ROUNDED, _ROUNDED)
# Other ways to square the gradient, which may be rounded otherwise and are right, too.
SQUARED = ("product", "in_turn")
_LOST = "m and v begin at 0 here, but the checkpoint has them: the weight has lost its memory."
_RESTART = "The steps before the checkpoint count: the first one after it is step done + 1."
_TOO_FEW = "There may be fewer gradients than steps: make a step for each gradient that is given."
_FROM_0 = "Steps are counted from 1: after 0 steps the correction is 1 − 1, and divides by 0."


class State(NamedTuple):
    """A weight `w`, with Adam's moving means of its gradients, `m`, and of their squares, `v`."""

    w: float
    m: float = 0.0
    v: float = 0.0


@cache
def _train(docs: tuple[str, ...], seed: int) -> list[tuple[list[State], list[float]]]:
    """Return the states and gradients of some weights in a training of `microgpt.py`.

    The weights are the embeddings of the letters in the first document. The model has width 4.
    """
    source = inspect.getsource(microgpt)
    changes = {
        "N_EMBD, BLOCK_SIZE = 1, 4, 16, 16": "N_EMBD, BLOCK_SIZE = 1, 4, 4, 16",
        "        yield loss.data\n": "        watch(grads, m, v)\n        yield loss.data\n",
    }
    for old, new in changes.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    names: dict[str, Any] = {"__name__": "microgpt"}
    exec(source, names)
    model = names["Model"](list(docs), Random(seed))
    rows = [model.weights["wte"][model.chars.index(letter)] for letter in sorted(set(docs[0]))]
    indices = {id(p): i for i, p in enumerate(model.parameters)}
    lives = {weight: ([State(weight.data)], list[float]()) for row in rows for weight in row}

    def watch(grads: dict[Any, float], m: list[float], v: list[float]) -> None:
        for weight, (states, gradients) in lives.items():
            index = indices[id(weight)]
            states.append(State(weight.data, m[index], v[index]))
            gradients.append(grads.get(weight, 0.0))

    names["watch"] = watch
    list(names["train"](model, list(docs), STEPS))
    return list(lives.values())


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw two gradients, as a text, and the question for a weight after each of them."""
    first, second = [rng.choice([-1, 1]) * g for g in rng.choice(SQUARES)]
    w = rng.choice([-1, -0.5, 0, 0.5, 1])
    after = w - math.copysign(1, first)
    root = math.sqrt((first**2 + 2 * second**2) / 3)
    right = [float(after), round(after - (first + 2 * second) / 3 / root, 4)]
    uncorrected = w - math.copysign(math.sqrt(0.5), first)
    m, v = 0.25 * first + 0.5 * second, 0.25 * first**2 + 0.5 * second**2
    mistakes = (
        Mistake(_REASONS["bias"], [uncorrected, uncorrected - m / math.sqrt(v)]),
        Mistake(_REASONS["gradient"], [w - first, w - first - second]),
        Mistake(_REASONS["plus"], [2 * w - value for value in right]),
        Mistake(
            "m keeps half of its old value: this looks at the newest gradient alone.",
            [after, after - math.copysign(1, second)],
        ),
    )
    text = (
        f"weight = {w}, β₁ = 0.5, β₂ = 0.5\n"
        f"gradient of step 1: {first}\n"
        f"gradient of step 2: {second}\n"
        "weight after step 1, and after step 2: ?"
    )
    why = "First m and v, then both divided by 1 − 0.5ᵗ, then the weight minus m / √v."
    return text, Question(BY_HAND, (), right, why, 0.006, mistakes)


def questions(rng: Random) -> list[Question]:
    """Draw the questions: the first steps of a weight, many steps, and two checkpoints."""
    names = [name for name in first_names() if 3 <= len(name) <= 4]
    found = None
    while found is None:  # until a weight has lost its gradient, and each way of rounding is seen
        lives = _train(tuple(rng.sample(names, 6)), rng.randrange(1000))
        found = next((life for life in lives if 0.0 in life[1] and _is_telling(*life)), None)
    states, gradients = found
    done = rng.randrange(3, 6)
    return [
        _life(states, gradients[:2]),
        _life(states, gradients),
        _resume(states, gradients, done, STEPS - 1),
        _resume(states, gradients, done + 3, STEPS),
    ]


def _life(states: Sequence[State], gradients: list[float]) -> Question:
    start = states[0]
    right = [state.w for state in states[1 : len(gradients) + 1]]
    wrong = [(reason, _values(start, gradients, kind)) for kind, reason in _REASONS.items()]
    mistakes = [Mistake(reason, values) for reason, values in wrong if values != right]
    mistakes.append(Mistake(_FROM_0, raises="ZeroDivisionError"))
    mistakes.append(Mistake(_TOO_FEW, raises="IndexError"))
    arguments = (start.w, gradients, STEPS)
    label = f"life(w, {len(gradients)} gradients, {STEPS})"
    also_right = tuple(_values(start, gradients, kind) for kind in SQUARED)
    return Question("life", arguments, right, _WHY, 0.0, tuple(mistakes), label, also_right)


def _is_telling(states: Sequence[State], gradients: list[float]) -> bool:
    """Return whether a life differs from one that was rounded in another order."""
    right = _values(states[0], gradients)
    return all(_values(states[0], gradients, kind) != right for kind in ROUNDED)


def _values(start: State, gradients: list[float], kind: str = "") -> list[float]:
    return [state.w for state in _steps(start, gradients, kind)]


def _resume(states: Sequence[State], gradients: list[float], done: int, end: int) -> Question:
    start, later = states[done], gradients[done:end]
    lost = State(start.w)
    wrong = [
        (_LOST, _steps(lost, later, done=done)),
        (_RESTART, _steps(start, later, bias_from=0, done=done)),
        (_RESTART, _steps(start, later)),
        (_LOST, _steps(lost, later)),
        (_LOST, _steps(lost, later, bias_from=0, done=done)),
        *[(reason, _steps(start, later, kind, done)) for kind, reason in _REASONS.items()],
    ]
    right = list(states[end])
    mistakes = [Mistake(why, list(found[-1])) for why, found in wrong if list(found[-1]) != right]
    mistakes.append(Mistake(_FROM_0, raises="ZeroDivisionError"))
    mistakes.append(Mistake(_TOO_FEW, raises="IndexError"))
    arguments = (*start, done, later, STEPS)
    label = f"resume(w, m, v, {done}, {len(later)} gradients, {STEPS})"
    also_right = tuple(list(_steps(start, later, kind, done)[-1]) for kind in SQUARED)
    return Question("resume", arguments, right, _WHY, 0.0, tuple(mistakes), label, also_right)


def _steps(
    state: State,
    gradients: Sequence[float],
    kind: str = "",
    done: int = 0,
    bias_from: int | None = None,
) -> list[State]:
    """Return the states after each gradient, with a mistake or with the square as a product.

    Args:
        state: state at the beginning.
        gradients: gradients of the steps.
        kind: name of the mistake in `_REASONS`, or one of `SQUARED`; empty: as `microgpt.py`.
        done: steps before, for the rate and the bias correction.
        bias_from: steps before, for the bias correction; None: as `done`.
    """
    (w, m, v), found = state, []
    beta1, beta2 = {"exchanged": (0.99, 0.85), "others": (0.9, 0.999)}.get(kind, (0.85, 0.99))
    rest1 = 0.15 if kind in ("fraction", "fraction_m") else 1 - beta1
    rest2 = 0.01 if kind == "fraction" else 1 - beta2
    for i, g in enumerate(gradients):
        t = (done if bias_from is None else bias_from) + i + 1
        before = {"constant": 0, "ahead": done + i + 1}.get(kind, done + i)
        rate = 0.01 * (1 - before / STEPS)
        m = m + rest1 * (g - m) if kind == "difference" else beta1 * m + rest1 * g
        share = {"product": rest2 * (g * g), "in_turn": rest2 * g * g}.get(kind, rest2 * g**2)
        v = v + rest2 * (g**2 - v) if kind == "difference" else beta2 * v + share
        v = m**2 if kind == "square" else v
        mean, square = (m, v) if kind == "bias" else (m / (1 - beta1**t), v / (1 - beta2**t))
        m, v = (mean, square) if kind == "kept" else (m, v)
        w -= _move(kind, rate, g, mean, square)
        found.append(State(w, m, v))
    return found


def _move(kind: str, rate: float, g: float, mean: float, square: float) -> float:
    """Return how far a step moves the weight, with a mistake."""
    small = 0.0 if kind == "small" else 1e-8
    root: float = square**0.5 + small
    moves: dict[str, float] = {
        "plus": -rate * mean / root,
        "gradient": rate * g,
        "m_only": rate * mean,
        "root": rate * mean / (square + small) ** 0.5,
        "no_root": rate * mean / (square + small),
        "order": rate * (mean / root),
    }
    return moves.get(kind, rate * mean / root)


EXERCISE = Exercise(by_hand, questions)

"""Chapter 15: a ledger of a training, its teachers, and a training without one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import numpy as np

import microgpt
from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask
from anexa.course.fast_training import (
    ADAM_CONFIG,
    batch_of,
    fast_loss,
    fast_train,
    open_numpy_engine,
)
from anexa.explore.shares import ShareSplitter, read_snapshot
from anexa.training.history import StepRecord

TOLERANCE = 1e-9  # Question.tolerance of most questions
NAMES = 6  # names that a model is trained on
ROUNDS = 2  # times that a training reads each name

_WHY_BY_HAND = (
    "Keep a pot for each name. In each step all pots are halved, then half of the gradient goes "
    "into the pot of the step's name; then each pot times the slope belongs to the share of its "
    "name."
)
_WHY_LEDGER = (
    "Number t of the list is the loss of the text after step t minus the loss before it. All "
    "numbers together are the last loss minus the first."
)
_WHY_RANK = (
    "In each step, the share of a name is the sum over all weights of its pot times the slope; its "
    "pot keeps 0.85 and gets 0.15 of the gradient in its own steps."
)
_WHY_WITHOUT = (
    "Two trainings from the same start, one with all names and one without this name; then the "
    "loss of the text without minus with."
)
_HALF = "A step adds half of the gradient to the pot, not all of it."
_OWN = (
    "A name is counted in its own steps only. What it poured into m still moves the weights in the "
    "steps after it."
)
_ALL_OF_M = (
    "This gives all of m to the name that is read. Most of m is from the names before it: without "
    "pots of their own they get nothing."
)
_KEPT = "The pots must fade: in each step every pot keeps only a part of what is in it."
_FULL = "A step adds 0.15 of the gradient to the pot, not all of it."
_REPLACED = (
    "A name that comes again adds to its pot, and to its share. Here its later round replaces what "
    "was there."
)
_FADED_OWN = "All pots fade in every step, not only the pot of the name that is read."
_WORST = "This begins with the worst teacher: a good one lowers the loss, so its share is negative."
_SIZE = (
    "This is sorted by size, without the sign: a large positive share belongs to a name that made "
    "the text less likely."
)
_UNSORTED = "The shares are right, but in the order of the names: the best teacher comes first."
_DICT = "The shares are right. Return them as a list: one share for each name, in this order."
_PAIRS = "The result is a list of pairs: [name, share] for each name, in order."
_SLOPES = (
    "gradients[i] and slopes[i] are lists, with a number for each weight: go through the weights."
)
_SAME = (
    "With the name and without it, the loss is the same: one model was trained for both. Make a "
    "copy of model for each training."
)
_STEP_LOSSES = (
    "These are the losses that train yields, of the names that it reads. The ledger is about the "
    "loss of the text."
)
_LOSSES = "These are losses after the steps. A ledger has the changes from one to the next."
_BEFORE_MINUS_AFTER = "After minus before: a step that teaches the text has a negative number."
_FROM_START = "These are the changes since the beginning, not those of each step."
_FIRST = "The first step counts, too: write down the loss of the text before the training."
_GOES_ON = (
    "The second training goes on from where the first one ended. Train copies of the model, so "
    "that both begin with the same weights."
)
_MORE_ROUNDS = (
    "There is a name less, but there are as many steps: so the other names are read more often, "
    "and that changes the loss, too."
)
_SIGN = "Without minus with: a positive number says that the name is missed."
_LOSS_ALONE = "This is the loss without the name: subtract the loss with it."


class Run(NamedTuple):
    """Record of the training of a new model, and of its effect on the loss of a text.

    Attributes:
        names: name that each step has read.
        gradients: gradient that each step has used, shape (steps, number of weights).
        slopes: for each step and weight, how much the loss of the text changes for each unit of
            Adam's m, same shape.
        shares: share of each name in the change of the loss, in nats, as the glass box computes it.
    """

    names: list[str]
    gradients: list[list[float]]
    slopes: list[list[float]]
    shares: dict[str, float]


def ask_training(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file, about a new model or about a training.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call == BY_HAND:
        return ask(names, call, arguments)
    docs, seed, text, *rest = arguments
    if call == "rank":
        run = train(tuple(docs), seed, text)
        return ask(names, call, (run.names, run.gradients, run.slopes))
    model = _new_model(docs, seed, text)
    if call == "ledger":
        return ask(names, call, (model, docs, *rest, text))
    rounds, name = rest
    return ask(names, call, (model, docs, rounds, text, name))


def _new_model(docs: Sequence[str], seed: int, text: str) -> microgpt.Model:
    return microgpt.Model([*docs, text], Random(seed))


@cache
def train(docs: tuple[str, ...], seed: int, text: str) -> Run:
    """Train a new model on names, and let the glass box split the changes of the text's loss.

    Args:
        docs: names, each read `ROUNDS` times, one in each step.
        seed: random seed of the initial weights.
        text: text whose loss is followed; it is not trained on.

    Returns:
        The record; calls with the same arguments share it.
    """
    model = _new_model(docs, seed, text)
    engine, batch = open_numpy_engine(model), batch_of(model, text)
    splitter = ShareSplitter(ADAM_CONFIG, engine, batch)
    before = read_snapshot(engine, batch)
    run = Run([], [], [], splitter.taught)
    steps = ROUNDS * len(docs)
    for t in range(1, steps + 1):
        name = docs[(t - 1) % len(docs)]
        rate = microgpt.LEARNING_RATE * (1 - (t - 1) / steps)
        step_batch, loss = batch_of(model, name), engine.loss(batch)
        gradient = read_snapshot(engine, step_batch).gradient
        splitter.prepare(step_batch)
        output = engine.train_step(step_batch, rate)
        record = StepRecord(t, rate, output.loss, output.gradient_norm, "")
        splitter.split(engine.loss(batch) - loss, [name], record)
        after = read_snapshot(engine, batch)
        m_bias, v_bias = ADAM_CONFIG.bias_corrections(t)
        speed = -rate / m_bias / (np.sqrt(after.v / v_bias) + ADAM_CONFIG.eps)
        run.names.append(name)
        run.gradients.append(gradient.tolist())
        run.slopes.append((speed * (before.gradient + after.gradient) / 2).tolist())
        before = after
    return run


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw three steps of one weight, as a text, and the question for the shares of two names."""
    one, other = rng.sample([name for name in first_names() if len(name) == 3], 2)
    names = [one, other, one]
    while True:
        gradients = [rng.choice([-8, -4, 4, 8]) for _ in names]
        slopes = [rng.choice([-3, -2, -1, 1, 2, 3]) for _ in names]
        right = _by_pots(names, gradients, slopes)
        wrong = [
            (_HALF, _by_pots(names, gradients, slopes, added=1.0)),
            (_OWN, _by_pots(names, gradients, slopes, kept=0.0)),
            (_KEPT, _by_pots(names, gradients, slopes, kept=1.0)),
            (_ALL_OF_M, _by_steps(names, gradients, slopes)),
        ]
        if right not in [found for _, found in wrong] and 0.0 not in right:
            break
    lines = [
        f"step {t}: reads {name}, gradient {gradient}, slope {slope}"
        for t, (name, gradient, slope) in enumerate(zip(names, gradients, slopes), start=1)
    ]
    wrong_types = [(_DICT, {one: right[0], other: right[1]})]
    mistakes = tuple(Mistake(why, found) for why, found in [*wrong, *wrong_types])
    question = Question(BY_HAND, (), right, _WHY_BY_HAND, 1e-6, mistakes)
    return "\n".join([*lines, f"shares of {one} and of {other}: ?"]), question


def _by_pots(
    names: list[str],
    gradients: list[int],
    slopes: list[int],
    kept: float = 0.5,
    added: float = 0.5,
) -> list[float]:
    """Return the shares of the names, in the order of their first steps."""
    pots, shares = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for name, gradient, slope in zip(names, gradients, slopes):
        pots = {other: kept * pot for other, pot in pots.items()}
        pots[name] += added * gradient
        for other, pot in pots.items():
            shares[other] += slope * pot
    return list(shares.values())


def _by_steps(names: list[str], gradients: list[int], slopes: list[int]) -> list[float]:
    """Return the shares if the whole step is given to the name that it reads."""
    m, shares = 0.0, dict.fromkeys(names, 0.0)
    for name, gradient, slope in zip(names, gradients, slopes):
        m = 0.5 * m + 0.5 * gradient
        shares[name] += slope * m
    return list(shares.values())


def questions(rng: Random) -> list[Question]:
    """Draw the questions: a ledger, the teachers of a text, and a training without a name."""
    short = [name for name in first_names() if 3 <= len(name) <= 5]
    while True:  # until an order by size is another one
        text, *docs = rng.sample(short, 1 + NAMES)
        seed = rng.randrange(1000)
        shares = list(train(tuple(docs), seed, text).shares.values())
        if sorted(shares) != sorted(shares, key=abs, reverse=True) and shares != sorted(shares):
            break
    return [
        _ask_ledger(tuple(docs), seed, text),
        _ask_rank(tuple(docs), seed, text),
        _ask_without(tuple(docs), seed, text, rng.choice(docs)),
    ]


@cache
def _ask_ledger(docs: tuple[str, ...], seed: int, text: str) -> Question:
    model, steps = _new_model(docs, seed, text), ROUNDS * len(docs)
    losses, own = [fast_loss(model, text)], []
    for loss in fast_train(model, docs, steps):
        losses.append(fast_loss(model, text))
        own.append(loss)
    right = _changes(losses)
    wrong = [
        (_STEP_LOSSES, own),
        (_STEP_LOSSES, _changes(own)),
        (_STEP_LOSSES, _changes([losses[0], *own])),
        (_LOSSES, losses[1:]),
        (_LOSSES, losses),
        (_BEFORE_MINUS_AFTER, [-change for change in right]),
        (_FROM_START, [loss - losses[0] for loss in losses[1:]]),
        (_FIRST, right[1:]),
    ]
    mistakes = tuple(Mistake(why, found) for why, found in wrong)
    label = f"ledger(model, {len(docs)} names, {steps}, {text!r})"
    arguments = (list(docs), seed, text, steps)
    return Question("ledger", arguments, right, _WHY_LEDGER, TOLERANCE, mistakes, label)


def _changes(losses: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(losses)]


@cache
def _ask_rank(docs: tuple[str, ...], seed: int, text: str) -> Question:
    run = train(docs, seed, text)
    by_size = sorted(run.shares, key=lambda name: abs(run.shares[name]), reverse=True)
    right = _ranking(run.shares)
    wrong: list[tuple[str, Any]] = [
        (_PAIRS, run.shares),
        (_PAIRS, [name for name, _ in right]),
        (_WORST, right[::-1]),
        (_SIZE, [[name, run.shares[name]] for name in by_size]),
        (_UNSORTED, [[name, run.shares[name]] for name in docs]),
        *[(why, _ranking(_wrong_shares(run, kind))) for kind, why in _KINDS.items()],
    ]
    mistakes = tuple(Mistake(why, found) for why, found in wrong)
    mistakes += (Mistake(_SLOPES, raises="TypeError", message="can't multiply sequence"),)
    label = f"rank({len(run.names)} names, gradients, slopes)"
    arguments = (list(docs), seed, text)
    return Question("rank", arguments, right, _WHY_RANK, TOLERANCE, mistakes, label)


def _ranking(shares: Mapping[str, float]) -> list[list[Any]]:
    return [[name, shares[name]] for name in sorted(shares, key=lambda name: shares[name])]


_KINDS = {
    "own": _OWN,
    "all of m": _ALL_OF_M,
    "full": _FULL,
    "kept": _KEPT,
    "replaced": _REPLACED,
    "faded own": _FADED_OWN,
}


def _wrong_shares(run: Run, kind: str) -> dict[str, float]:
    """Compute the shares with a mistake of `_KINDS`."""
    gradients, slopes = np.array(run.gradients), np.array(run.slopes)
    pots = {name: np.zeros(gradients.shape[1]) for name in run.names}
    shares = dict.fromkeys(run.names, 0.0)
    for name, gradient, slope in zip(run.names, gradients, slopes):
        for other in [name] if kind == "faded own" else pots:
            pots[other] = pots[other] * (1.0 if kind == "kept" else 0.85)
        added = (1.0 if kind == "full" else 1 - 0.85) * gradient
        pots[name] = added if kind == "replaced" else pots[name] + added
        if kind == "own":
            shares[name] += float(added @ slope)
        elif kind == "all of m":
            shares[name] += float(sum(pots.values()) @ slope)
        else:
            for other, pot in pots.items():
                shares[other] += float(pot @ slope)
    return shares


@cache
def _ask_without(docs: tuple[str, ...], seed: int, text: str, name: str) -> Question:
    rest = [other for other in docs if other != name]

    def loss_after(*trainings: tuple[Sequence[str], int]) -> float:
        model = _new_model(docs, seed, text)
        for names, steps in trainings:
            for _ in fast_train(model, names, steps):
                pass
        return fast_loss(model, text)

    long, short = ROUNDS * len(docs), ROUNDS * len(rest)
    whole, other = loss_after((docs, long)), loss_after((rest, short))
    wrong = [
        (_SIGN, whole - other),
        (_SAME, 0.0),
        (_LOSS_ALONE, other),
        (_MORE_ROUNDS, loss_after((rest, long)) - whole),
        (_GOES_ON, loss_after((docs, long), (rest, short)) - whole),
        (_GOES_ON, other - loss_after((rest, short), (docs, long))),
    ]
    mistakes = tuple(Mistake(why, found) for why, found in wrong)
    label = f"without(model, {len(docs)} names, {ROUNDS}, {text!r}, {name!r})"
    arguments = (list(docs), seed, text, ROUNDS, name)
    right = other - whole
    return Question("without", arguments, right, _WHY_WITHOUT, TOLERANCE, mistakes, label)


EXERCISE = Exercise(by_hand, questions, ask_training)

"""Ledgers and counterfactuals, against trainings and derivatives that the tests compute."""

from __future__ import annotations

import json
import math
from array import array
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import Batch, DeviceConfig, Engine, open_engine
from anexa.engines.numpy import NumpyEngine
from anexa.errors import AnexaError, UsageError
from anexa.explore.replay import JobGenerator, Replay, Result, as_array
from anexa.explore.rule import Array
from anexa.explore.shares import SHARE_UNIT, round_to_unit
from anexa.explore.switches import parse_edit
from anexa.explore.teachers import Ledger, compute_ledger, replay_with_edits, replay_without_step
from anexa.model.weights import Weight, Weights
from anexa.training import build_trainer
from tests.engines.helpers import needs_torch
from tests.training.runs import each_engine, finish, settings, write_names

Arrays: TypeAlias = dict[str, Array]

STEPS = 8
TINY: dict[str, Any] = {"n_embd": 8, "n_head": 2, "block_size": 8, "steps": STEPS}
SPLIT = {"batch_size": 3, "dtype": "float64", "weight_decay": 0.5, "grad_clip": 1.5}


def run(job: JobGenerator[Result]) -> Result:
    """Run a job to its end; its progress rises from 0 to 1."""
    seen = [0.0]
    while True:
        try:
            seen.append(next(job))
        except StopIteration as stop:
            assert seen == sorted(seen)
            assert seen[-1] == 1
            result: Result = stop.value
            return result


def state(replay: Replay, step: int) -> Engine:
    job = replay.engine(step)
    while True:
        try:
            next(job)
        except StopIteration as stop:
            engine: Engine = stop.value
            return engine


def text(replay: Replay, *names: str) -> Batch:
    end = replay.batch(1).inputs[0]
    letters = [replay.tokenizer.encode(name) for name in names]
    return Batch.from_sequences([[end, *(i for i in ids if i != end), end] for ids in letters])


def make_run(folder: Path, **changes: Any) -> Replay:
    trainer = build_trainer(settings(write_names(folder), **(TINY | changes)), folder / "model")
    return Replay(finish(trainer).folder)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """A run as the preset is: one document a step, in float32."""
    return make_run(tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """A run with all that a step of AdamW can have, in float64."""
    return make_run(tmp_path_factory.mktemp("several"), **SPLIT)


@pytest.fixture(scope="module", params=["single", "several"])
def replay(request: pytest.FixtureRequest) -> Replay:
    found: Replay = request.getfixturevalue(request.param)
    return found


def arrays(weights: Weights) -> Arrays:
    return {name: as_array(weight) for name, weight in weights.items()}


def sums_exactly(found: Ledger) -> bool:
    """Whether all sums of a ledger are right, to the bit and in any order."""
    changes = [entry.change for entry in found.entries]
    losses = [found.loss, *(entry.loss for entry in found.entries)]
    assert [losses[i] + changes[i] for i in range(len(changes))] == losses[1:]
    assert math.fsum(changes) == sum(changes) == sum(reversed(changes)) == found.total
    assert found.total == losses[-1] - losses[0]
    for entry in found.entries:
        if entry.shares:
            of = entry.shares
            parts = [*of.documents, of.momentum, of.decay, of.rest]
            assert math.fsum(parts) == sum(parts) == sum(reversed(parts)) == entry.change
    taught = [teacher.change for teacher in found.teachers]
    parts = [*taught, found.earlier, found.decay, found.rest]
    return math.fsum(parts) == sum(parts) == sum(reversed(parts)) == found.total


@pytest.mark.parametrize(("first", "last"), [(0, STEPS), (3, 7), (7, STEPS)])
def test_a_ledger_adds_up_exactly(replay: Replay, first: int, last: int) -> None:
    found = run(compute_ledger(replay, text(replay, "anna", "ella"), first, last))
    assert [entry.step for entry in found.entries] == [*range(first + 1, last + 1)]
    assert [list(entry.documents) for entry in found.entries] == [
        replay.documents(step) for step in range(first + 1, last + 1)
    ]
    assert sums_exactly(found)
    assert json.loads(json.dumps(asdict(found)))["total"] == found.total


@each_engine
def test_losses_are_those_of_the_engine(engine: str, tmp_path: Path) -> None:
    replay = make_run(tmp_path, engine=engine, steps=3, n_embd=4)
    batch = text(replay, "anna")
    found = run(compute_ledger(replay, batch, 0, 3))
    assert sums_exactly(found)
    wanted = [state(replay, step).loss(batch) for step in range(4)]
    losses = [found.loss, *(entry.loss for entry in found.entries)]
    if engine in ("numpy", "torch"):  # in float32
        assert losses == wanted
    assert max(abs(ours - theirs) for ours, theirs in zip(losses, wanted)) <= SHARE_UNIT / 2


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_units_are_fine_and_their_differences_exact(one: float, two: float) -> None:
    a, b = round_to_unit(one), round_to_unit(two)
    assert abs(a - one) <= SHARE_UNIT / 2
    assert a + (b - a) == b
    assert np.isnan(round_to_unit(math.nan))


@given(st.floats(2**-20, 1e5, width=32))
def test_losses_in_float32_are_multiples_of_the_unit(loss: float) -> None:
    assert round_to_unit(loss) == loss


class ReferenceStep:
    """A step of AdamW, whose denominator and factor of clipping do not change."""

    def __init__(self, replay: Replay, step: int) -> None:
        self.replay, self.record, self.batch = replay, replay.record(step), replay.batch(step)
        self.engine, self.after = state(replay, step - 1), state(replay, step)
        self.weights = arrays(self.engine.weights())
        moments, after = arrays(self.engine.optimizer_state()), arrays(self.after.optimizer_state())
        self.m = {key: moments.get(f"m.{key}", 0 * w) for key, w in self.weights.items()}
        self.v = {key: after[f"v.{key}"] for key in self.weights}

    def gradient(self, document: int) -> Arrays:
        """The part of a document in the gradient, by changing its weight in the loss."""
        more, less = (
            array("d", [x if i == document else 1 for i in range(self.batch.shape[0])])
            for x in (1.5, 0.5)
        )
        found, other = (
            arrays(self.engine.gradients(replace(self.batch, sequence_weights=weights))[1])
            for weights in (more, less)
        )
        return {key: found[key] - other[key] for key in found}

    def addend(self, gradient: Arrays) -> Arrays:
        """How a gradient that is added to the clipped gradients of the batch moves the weights."""
        config = self.replay.config.optimizer
        return self.by_m({key: (1 - config.beta1) * g for key, g in gradient.items()})

    def by_m(self, m: Arrays) -> Arrays:
        """How a part of the mean of gradients moves the weights."""
        config, step = self.replay.config.optimizer, self.record.step
        m_hat = {key: x / (1 - config.beta1**step) for key, x in m.items()}
        v_hat = {key: x / (1 - config.beta2**step) for key, x in self.v.items()}
        rate = self.record.learning_rate
        return {key: -rate * m_hat[key] / (v_hat[key] ** 0.5 + config.eps) for key in m}

    def decay(self) -> Arrays:
        factor = self.record.learning_rate * self.replay.config.optimizer.weight_decay
        return {key: -factor * w if w.ndim == 2 else 0 * w for key, w in self.weights.items()}

    def clipped(self, document: int) -> Arrays:
        norm, bound = self.record.gradient_norm, self.replay.config.optimizer.max_grad_norm
        factor = bound / (norm + 1e-6) if norm > bound else 1.0
        return {key: factor * g for key, g in self.gradient(document).items()}

    def share(self, text: Batch, addend: Arrays) -> float:
        """The mean of two central differences: of growing it from nothing, and from what it is."""
        # A single number may move far in a first step: where the gradients of documents cancel.
        h, found = 1e-6 / (max(abs(x).max() for x in addend.values()) or 1.0), 0.0
        for weights in (self.weights, arrays(self.after.weights())):
            up, down = (self.loss(text, weights, addend, sign * h) for sign in (1, -1))
            found += (up - down) / (4 * h)
        return found

    def loss(self, text: Batch, weights: Arrays, addend: Arrays, factor: float) -> float:
        moved = {key: w + factor * addend[key] for key, w in weights.items()}
        stored = {key: Weight(w.shape, array("d", w.tobytes())) for key, w in moved.items()}
        device = DeviceConfig(dtype="float64")
        return open_engine("numpy", self.engine.config, stored, device_config=device).loss(text)


@pytest.mark.parametrize("step", [1, 5])
def test_shares_are_derivatives_with_respect_to_the_weights_of_documents(
    several: Replay, step: int
) -> None:
    batch, reference = text(several, "anna", "gina"), ReferenceStep(several, step)
    config = several.config.optimizer
    addends = [reference.addend(reference.clipped(document)) for document in range(3)]
    addends.append(reference.by_m({key: config.beta1 * m for key, m in reference.m.items()}))
    addends.append(reference.decay())
    for name, w in arrays(reference.after.weights()).items():
        moved = sum(addend[name] for addend in addends)
        assert reference.weights[name] + moved == pytest.approx(w, abs=1e-11)
    [entry] = run(compute_ledger(several, batch, step - 1, step)).entries
    assert entry.shares
    found = [*entry.shares.documents, entry.shares.momentum, entry.shares.decay]
    wanted = [reference.share(batch, addend) for addend in addends]
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-8)
    assert (found[3] == 0) == (step == 1)
    assert abs(entry.shares.rest) < 0.05 * sum(map(abs, found))


def test_a_teacher_has_its_shares_in_later_steps_too(several: Replay) -> None:
    batch, beta = text(several, "anna"), several.config.optimizer.beta1
    found = run(compute_ledger(several, batch, 2, 6))
    steps = {step: ReferenceStep(several, step) for step in range(3, 7)}
    wanted: defaultdict[str, float] = defaultdict(float)
    for step, reference in steps.items():
        for number, document in enumerate(several.documents(step)):
            clipped = reference.clipped(number)
            for later in range(step, 7):
                faded = {key: beta ** (later - step) * g for key, g in clipped.items()}
                wanted[document] += steps[later].share(batch, steps[later].addend(faded))
    assert {t.document: t.change for t in found.teachers} == pytest.approx(
        wanted, rel=1e-5, abs=1e-9
    )
    changes = [teacher.change for teacher in found.teachers]
    assert changes == sorted(changes)
    for teacher in found.teachers:
        assert all(teacher.document in several.documents(step) for step in teacher.steps)


def test_nothing_comes_from_before_the_first_step(replay: Replay) -> None:
    found = run(compute_ledger(replay, text(replay, "stella"), 0, STEPS))
    assert abs(found.earlier) < 1e-6 * sum(abs(teacher.change) for teacher in found.teachers)
    assert abs(run(compute_ledger(replay, text(replay, "stella"), 2, STEPS)).earlier) > 1e-3


def test_a_document_of_several_epochs_is_one_teacher(tmp_path: Path) -> None:
    replay = make_run(tmp_path, steps=70, n_embd=4)
    found = run(compute_ledger(replay, text(replay, "anna"), 0, 70))
    assert len(found.teachers) == len({teacher.document for teacher in found.teachers}) < 24
    assert sum(len(teacher.steps) for teacher in found.teachers) == 70
    assert sums_exactly(found)
    assert abs(found.earlier) < 1e-3  # what is forgotten


def test_a_single_document_has_the_share_of_its_gradient(tmp_path: Path) -> None:
    """Its gradient is read from the moments, and is that of the engine; vectors do not decay."""
    replay = make_run(tmp_path, **(SPLIT | {"batch_size": 1, "model_type": "gpt2"}))
    batch, reference = text(replay, "mina"), ReferenceStep(replay, 4)
    [entry] = run(compute_ledger(replay, batch, 3, 4)).entries
    assert entry.shares
    [document] = entry.shares.documents
    wanted = reference.share(batch, reference.addend(reference.clipped(0)))
    assert document == pytest.approx(wanted, rel=1e-5)
    decay = reference.share(batch, reference.decay())
    assert entry.shares.decay == pytest.approx(decay, rel=1e-5)


def test_steps_of_muon_are_not_split(tmp_path: Path) -> None:
    replay = make_run(tmp_path, optimizer="muon", grad_clip=1.0)
    found = run(compute_ledger(replay, text(replay, "anna"), 1, 4))
    assert "Muon" in found.unshared
    assert sums_exactly(replace(found, rest=found.total))
    assert found.teachers == ()
    assert [entry.shares for entry in found.entries] == [None] * 3


@needs_torch
def test_steps_with_dropout_are_not_split(tmp_path: Path) -> None:
    replay = make_run(tmp_path, engine="torch", dropout=0.25, steps=4)
    batch = text(replay, "anna")
    found = run(compute_ledger(replay, batch, 0, 4))
    assert "dropout" in found.unshared
    assert found.total == state(replay, 4).loss(batch) - state(replay, 0).loss(batch)
    with pytest.raises(AnexaError, match="has dropout, which would drop other activations"):
        run(replay_without_step(replay, 2, batch, 4))
    same = run(replay_with_edits(replay, [], 0, 4, batch))
    assert same.losses == same.other


@each_engine
@pytest.mark.parametrize("skipped", [1, 2])
def test_without_a_step_is_a_training_that_skips_it(
    engine: str, skipped: int, tmp_path: Path
) -> None:
    replay = make_run(tmp_path, engine=engine, steps=4, n_embd=4, batch_size=2)
    batch = text(replay, "anna")
    found = run(replay_without_step(replay, skipped, batch, 4))
    other = state(replay, 0)
    losses = [other.loss(batch)]
    for step in range(1, 5):
        if step != skipped:
            other.train_step(replay.batch(step), replay.record(step).learning_rate)
        losses.append(other.loss(batch))
    assert list(found.other) == losses[skipped - 1 :]
    assert found.other[0] == found.other[1] == found.losses[0]
    assert list(found.losses) == [state(replay, s).loss(batch) for s in range(skipped - 1, 5)]
    assert found.steps == tuple(range(skipped - 1, 5))
    assert found.difference == found.other[-1] - found.losses[-1] != 0


@each_engine
def test_no_edits_are_the_run_itself(engine: str, tmp_path: Path) -> None:
    replay = make_run(tmp_path, engine=engine, steps=4, n_embd=4)
    batch = text(replay, "anna")
    for first in (0, 2):
        found = run(replay_with_edits(replay, [], first, 4, batch))
        assert found.other == found.losses
        assert list(found.losses) == [state(replay, s).loss(batch) for s in range(first, 5)]
        assert found.difference == 0


@pytest.mark.parametrize("first", [0, 3])
def test_a_head_that_is_off_stays_off(replay: Replay, first: int) -> None:
    batch = text(replay, "anna", "lena")
    found = run(replay_with_edits(replay, [parse_edit("head:0.1")], first, STEPS, batch))
    engine = state(replay, first)
    assert isinstance(engine, NumpyEngine)
    losses = []
    for step in range(first, STEPS + 1):
        if step > first:
            engine.train_step(replay.batch(step), replay.record(step).learning_rate)
        engine.arrays["layers.0.attn_wo.weight"][:, 4:8] = 0
        losses.append(engine.loss(batch))
    assert list(found.other) == losses
    assert found.other[0] != found.losses[0]
    assert json.loads(json.dumps(asdict(found)))["other"] == losses


def test_a_weight_that_is_set_stays_so(single: Replay) -> None:
    batch, edit = text(single, "anna"), parse_edit("set:wte.weight[2,3]=0.5")
    engine = state(single, 2)
    assert isinstance(engine, NumpyEngine)
    for step in (3, 4):
        engine.arrays["wte.weight"][2, 3] = 0.5
        engine.train_step(single.batch(step), single.record(step).learning_rate)
    engine.arrays["wte.weight"][2, 3] = 0.5
    assert run(replay_with_edits(single, [edit], 2, 4, batch)).other[-1] == engine.loss(batch)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (5, 5, "the last step must be after step 5, and 5 is not"),
        (5, 4, "the last step must be after step 5, and 4 is not"),
        (0, 9, "there is no step 9"),
        (-1, 3, "there is no step 0"),
    ],
)
def test_steps_that_do_not_exist_are_refused(
    first: int, last: int, message: str, single: Replay
) -> None:
    batch = text(single, "anna")
    for job in (
        compute_ledger(single, batch, first, last),
        replay_with_edits(single, [], first, last, batch),
    ):
        with pytest.raises(AnexaError, match=message):
            run(job)


@pytest.mark.parametrize(("skipped", "last"), [(0, 3), (9, 9), (-1, 3), (3, 2), (3, 9)])
def test_a_step_that_does_not_exist_cannot_be_skipped(
    skipped: int, last: int, single: Replay
) -> None:
    with pytest.raises(AnexaError, match=r"there is no step \S+ to|must be after step 2"):
        run(replay_without_step(single, skipped, text(single, "anna"), last))


def test_switches_that_a_model_does_not_have_are_refused(single: Replay, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"head:0\.2: this model has the heads 0 to 1"):
        run(replay_with_edits(single, [parse_edit("head:0.2")], 0, 2, text(single, "anna")))
    sizes = {"n_layer": 1, "optimizer": "adamw", "n_inner": 8, "model_type": "llama"}
    rotary = make_run(tmp_path, **sizes)
    with pytest.raises(UsageError, match="position:0: a llama model has no table of positions"):
        run(replay_with_edits(rotary, [parse_edit("position:0")], 0, 2, text(rotary, "anna")))


def test_a_job_can_be_canceled(single: Replay) -> None:
    job = compute_ledger(single, text(single, "anna"), 0, STEPS)
    next(job)
    job.close()
    assert sums_exactly(run(compute_ledger(single, text(single, "anna"), 0, STEPS)))

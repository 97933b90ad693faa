"""The replay of a run: the same bits at every step from anywhere, or one sentence: why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.explore.replay import JobGenerator, Replay, Result, as_array
from anexa.explore.updates import muon_step
from anexa.model.tensors import read_tensors, write_tensors
from anexa.model.weights import Weights, hash_weights
from anexa.training import RunOptions, Trainer, build_trainer, resume_trainer
from anexa.training.history import (
    HISTORY_FOLDER,
    RECORDS_FILE,
    frame_path,
    frame_steps,
)
from anexa.training.recording import MIN_FRAME_INTERVAL
from tests.engines.helpers import needs_numba
from tests.training.runs import each_engine, finish, settings, stop_after, write_names

SMALL: dict[str, Any] = {"n_embd": 4, "n_head": 2, "block_size": 8, "batch_size": 2}
STEPS = MIN_FRAME_INTERVAL + 12  # with key frames after 0 and `MIN_FRAME_INTERVAL` steps


@dataclass(frozen=True)
class RecordedRun:
    """A run, and the weights and moments after each of its steps."""

    folder: Path
    corpus: Path
    states: list[tuple[Weights, Weights]] = field(repr=False)


def record_states(trainer: Trainer) -> list[tuple[Weights, Weights]]:
    engine = trainer.engine
    states = [(engine.weights(), engine.optimizer_state())]
    states += [(engine.weights(), engine.optimizer_state()) for _ in trainer]
    return states


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    folder = tmp_path_factory.mktemp("replay")
    corpus = write_names(folder)
    wanted = settings(corpus, steps=STEPS, weight_decay=0.1, grad_clip=1.0, **SMALL)
    trainer = build_trainer(wanted, folder / "m")
    states = record_states(trainer)
    return RecordedRun(trainer.folder, corpus, states)


@pytest.fixture
def copy(run: RecordedRun, tmp_path: Path) -> Path:
    """A copy of the run that may be damaged."""
    return Path(shutil.copytree(run.folder, tmp_path / "copy"))


def done(job: JobGenerator[Result]) -> Result:
    """The result of a job, whose progress never decreases and ends with 1."""
    progress = [0.0]
    try:
        while True:
            progress.append(next(job))
    except StopIteration as end:
        assert progress == sorted(progress)
        assert progress[-1] in (0.0, 1.0)
        result: Result = end.value
        return result


def is_state(replay: Replay, step: int, wanted: tuple[Weights, Weights]) -> bool:
    frame = done(replay.state(step))
    return (frame.step, frame.weights, frame.moments) == (step, *wanted)


@hypothesis_settings(max_examples=8)
@given(
    visited=st.lists(st.integers(0, STEPS), min_size=1, max_size=4),
    cache_bytes=st.sampled_from([0, 20_000, 10**9]),
)
def test_any_step_is_the_same_from_anywhere(
    run: RecordedRun, visited: list[int], cache_bytes: int
) -> None:
    replay = Replay(run.folder, cache_bytes)
    for step in visited:
        assert is_state(replay, step, run.states[step])
        if step:
            assert (
                hash_weights(done(replay.state(step)).weights) == replay.record(step).weights_hash
            )


@each_engine
def test_every_engine_repeats_its_steps(engine: str, run: RecordedRun, tmp_path: Path) -> None:
    wanted = settings(run.corpus, engine=engine, steps=5, **SMALL)
    trainer = build_trainer(wanted, tmp_path / "m")
    states = record_states(trainer)
    replay = Replay(trainer.folder)
    assert (replay.first_step, replay.last_step, replay.dtype) == (0, 5, trainer.engine.dtype)
    for step in (4, 0, 2, 5):
        assert is_state(replay, step, states[step])


def test_a_stopped_and_a_killed_run_are_repeated(run: RecordedRun, tmp_path: Path) -> None:
    wanted = settings(run.corpus, steps=20, evaluations=4, **SMALL)
    states = record_states(build_trainer(wanted, tmp_path / "whole"))
    stopped = build_trainer(wanted, tmp_path / "stopped")
    stop_after(stopped, 7)
    killed = tmp_path / "killed"
    for step in build_trainer(wanted, tmp_path / "m"):
        if step.step == 12:
            shutil.copytree(tmp_path / "m", killed)
    for folder in (stopped.folder, killed):
        assert is_state(Replay(folder), 7, states[7])  # before it is resumed
        finish(resume_trainer(folder))
        replay = Replay(folder)
        assert all(is_state(replay, step, states[step]) for step in (20, 3, 8, 13, 11))


def test_a_history_that_begins_later(run: RecordedRun, tmp_path: Path) -> None:
    wanted = settings(run.corpus, steps=9, **SMALL)
    states = record_states(build_trainer(wanted, tmp_path / "whole"))
    stop_after(build_trainer(wanted, tmp_path / "m", RunOptions(history_budget=0)), 4)
    finish(resume_trainer(tmp_path / "m", options=RunOptions(history_budget=10**6)))
    replay = Replay(tmp_path / "m")
    assert (replay.first_step, replay.last_step) == (4, 9)
    assert all(is_state(replay, step, states[step]) for step in (9, 4, 5))
    with pytest.raises(AnexaError, match=r"there is no step 3 to show: .* has the steps 4 to 9$"):
        done(replay.state(3))
    assert len(replay.documents(1)) == 2, "the data of every step is known"


def test_batches_are_those_of_the_run(run: RecordedRun) -> None:
    replay = Replay(run.folder)
    names = set(run.corpus.read_text(encoding="utf-8").split())
    engine = done(replay.engine(0))
    for step in range(1, 6):
        assert set(replay.documents(step)) <= names
        assert engine.loss(replay.batch(step)) == pytest.approx(replay.record(step).loss, rel=1e-6)
        replay.advance(engine, step)


def test_engines_are_independent(run: RecordedRun) -> None:
    replay = Replay(run.folder)
    engine = done(replay.engine(10))
    engine.train_step(replay.batch(1), 1.0)
    assert is_state(replay, 10, run.states[10])


@pytest.mark.parametrize(
    "engine", ["scalar", "lists", "numpy", pytest.param("numba", marks=needs_numba)]
)
def test_an_update_rebuilds_every_weight(engine: str, run: RecordedRun, tmp_path: Path) -> None:
    wanted = settings(run.corpus, engine=engine, steps=3, weight_decay=0.1, grad_clip=0.5, **SMALL)
    replay = Replay(finish(build_trainer(wanted, tmp_path / "m")).folder)
    for step in (1, 3):
        after = done(replay.state(step))
        for name, weight in after.weights.items():
            update = done(replay.update(step, name))
            for index in np.ndindex(weight.shape):
                numbers = update.numbers(index, replay.incremental)
                assert numbers["new"] == as_array(weight)[index]
                assert numbers["m"] == as_array(after.moments[f"m.{name}"])[index]
                assert numbers["v"] == as_array(after.moments[f"v.{name}"])[index]


@hypothesis_settings(max_examples=5)
@given(data=st.data())
def test_a_life_is_that_of_the_states(run: RecordedRun, data: st.DataObject) -> None:
    replay = Replay(run.folder)
    first = data.draw(st.integers(0, STEPS - 10))
    last = data.draw(st.integers(first, first + 10))
    name = data.draw(st.sampled_from(sorted(run.states[0][0])))
    index = tuple(data.draw(st.integers(0, n - 1)) for n in run.states[0][0][name].shape)
    points = done(replay.life(name, index, first, last))
    assert [point.step for point in points] == [*range(first, last + 1)]
    for point in points:
        weights, moments = run.states[point.step]
        assert point.value == as_array(weights[name])[index]
        if not point.step:
            assert point.gradient is point.m is point.v is None
            continue
        assert point.m == as_array(moments[f"m.{name}"])[index]
        assert point.v == as_array(moments[f"v.{name}"])[index]
        assert point.gradient == as_array(done(replay.gradients(point.step))[name])[index]


def test_a_step_of_muon_has_one_mean(run: RecordedRun, tmp_path: Path) -> None:
    wanted = settings(run.corpus, steps=4, optimizer="muon", **SMALL)
    trainer = build_trainer(wanted, tmp_path / "m")
    states = record_states(trainer)
    replay = Replay(trainer.folder)
    for name, fused in replay.config.optimizer.muon_weights(replay.model_config).items():
        for step in (1, 3):
            update = done(replay.update(step, name))
            assert update.v is None
            new = muon_step(update, fused).new
            assert new == pytest.approx(as_array(states[step][0][name]), rel=1e-5, abs=1e-6)
        [_, point] = done(replay.life(name, (0, 0), 1, 2))
        assert (point.v, point.m is None) == (None, False)


def test_dropout_has_no_gradients_to_show(run: RecordedRun, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    wanted = settings(run.corpus, engine="torch", steps=3, dropout=0.5, **SMALL)
    trainer = build_trainer(wanted, tmp_path / "m")
    states = record_states(trainer)
    replay = Replay(trainer.folder)
    assert all(is_state(replay, step, states[step]) for step in (3, 1, 2))
    with pytest.raises(AnexaError, match="gradients of step 2 cannot be shown: the run has dropo"):
        done(replay.gradients(2))
    [name, *_] = states[0][0]
    assert [point.gradient for point in done(replay.life(name, (0, 0), 1, 3))] == [None] * 3


def test_steps_and_weights_that_do_not_exist(run: RecordedRun) -> None:
    replay = Replay(run.folder)
    [name, *_] = run.states[0][0]
    for refused in (
        lambda: done(replay.state(STEPS + 1)),
        lambda: done(replay.state(-1)),
        lambda: replay.record(0),
        lambda: replay.batch(0),
        lambda: replay.documents(STEPS + 1),
        lambda: done(replay.gradients(0)),
        lambda: done(replay.update(0, name)),
        lambda: done(replay.life(name, (0, 0), 5, 4)),
    ):
        with pytest.raises(AnexaError, match=r"there is no step \S+ to show: the history in"):
            refused()
    for job in (replay.update(1, "apple\n"), replay.life("apple\n", (0, 0), 1, 2)):
        with pytest.raises(AnexaError, match=r"has no weight apple"):
            done(job)
    for index in ((0,), (0, 99), (-1, 0), (0, 0, 0)):
        with pytest.raises(AnexaError, match=r"has no element \[.*\]: its shape is \d+ x \d+$"):
            done(replay.life(name, index, 1, 2))


def test_other_bits_are_said_at_their_step(copy: Path) -> None:
    path = copy / HISTORY_FOLDER / RECORDS_FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[9])
    lines[9] = json.dumps(record | {"weights_hash": "0" * 16})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    replay = Replay(copy)
    said = r"^step 10 of the run in .* cannot be repeated: from this step on, this machine or this "
    for step in (10, 30):
        with pytest.raises(AnexaError, match=said):
            done(replay.state(step))
    assert done(replay.state(9)).step == 9
    assert done(replay.state(STEPS)).step == STEPS, "a later key frame is as good as ever"


def remove_history(folder: Path) -> None:
    shutil.rmtree(folder / HISTORY_FOLDER)


def remove_training(folder: Path) -> None:
    shutil.rmtree(folder / "training")


def remove_frames(folder: Path) -> None:
    for step in frame_steps(folder):
        frame_path(folder, step).unlink()


def remove_records(folder: Path) -> None:
    (folder / HISTORY_FOLDER / RECORDS_FILE).unlink()


def remove_first_records(folder: Path) -> None:
    path = folder / HISTORY_FOLDER / RECORDS_FILE
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[3:]))


def damage_record(folder: Path) -> None:
    path = folder / HISTORY_FOLDER / RECORDS_FILE
    path.write_bytes(path.read_bytes().replace(b'"step": 9,', b'"step": "9",'))


def damage_checkpoint(folder: Path) -> None:
    path = folder / "training" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def change_corpus(folder: Path) -> None:
    corpus = folder.parent / "names.txt"
    corpus.write_text("anna\nbob\n", encoding="utf-8")


def turn_into_adapters(folder: Path) -> None:
    remove_history(folder)
    (folder / "adapter").mkdir()


def remove_corpus(folder: Path) -> None:
    (folder.parent / "names.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove_training, "has no steps to show: it holds no training"),
        (shutil.rmtree, "has no steps to show: it holds no training"),
        (remove_history, "has no history of its steps: keep one from now on with anexa train --re"),
        (turn_into_adapters, r"trained adapters \(--lora\), whose steps are not kept"),
        (remove_frames, "has no key frame to repeat the steps from"),
        (remove_records, "lacks the records of the steps up to the key frame of step "),
        (remove_first_records, "lacks the records of the steps after the key frame of step 0"),
        (damage_record, "line 9 of .*steps.jsonl is damaged"),
        (damage_checkpoint, "state.safetensors is damaged"),
        (change_corpus, "names.txt"),
        (remove_corpus, "the corpus of this run, .*names.txt, is gone"),
    ],
)
def test_a_folder_without_steps_is_refused(
    damage: Callable[[Path], None], said: str, run: RecordedRun, tmp_path: Path
) -> None:
    corpus = write_names(tmp_path)
    trainer = finish(build_trainer(settings(corpus, steps=10, **SMALL), tmp_path / "m"))
    folder = trainer.folder
    if damage is remove_records:
        shutil.copy(
            frame_path(run.folder, MIN_FRAME_INTERVAL), frame_path(folder, MIN_FRAME_INTERVAL)
        )
    damage(folder)
    with pytest.raises(AnexaError, match=said) as error:
        Replay(folder)
    assert "\n" not in str(error.value)


def test_a_missing_frame_is_bridged(run: RecordedRun, copy: Path) -> None:
    frame_path(copy, MIN_FRAME_INTERVAL).unlink()
    assert is_state(Replay(copy), MIN_FRAME_INTERVAL + 2, run.states[MIN_FRAME_INTERVAL + 2])


def test_without_the_first_frame_steps_begin_with_the_next(run: RecordedRun, copy: Path) -> None:
    frame_path(copy, 0).unlink()
    replay = Replay(copy)
    assert (replay.first_step, replay.last_step) == (MIN_FRAME_INTERVAL, STEPS)
    assert is_state(replay, STEPS, run.states[STEPS])


def test_a_damaged_frame_is_refused(copy: Path) -> None:
    path = frame_path(copy, MIN_FRAME_INTERVAL)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    replay = Replay(copy)
    with pytest.raises(AnexaError, match=rf"{path.name} is damaged: its numbers have changed"):
        done(replay.state(STEPS))
    assert done(replay.state(MIN_FRAME_INTERVAL - 1)).step == MIN_FRAME_INTERVAL - 1


@pytest.mark.parametrize("key", ["w.wte.weight", "m.wte.weight"])
def test_a_frame_of_another_run_is_refused(key: str, copy: Path) -> None:
    """Its own hash is right, but not that of the step, or a moment is missing."""
    path = frame_path(copy, MIN_FRAME_INTERVAL)
    tensors, metadata = read_tensors(path)
    if key.startswith("w."):
        tensors[key].data[0] += 1
    else:
        del tensors[key]
    content = json.loads(metadata["frame"]) | {"hash": hash_weights(tensors)}
    write_tensors(path, tensors, {"frame": json.dumps(content)})
    with pytest.raises(AnexaError, match="is damaged: it does not fit the run"):
        done(Replay(copy).state(STEPS))


def test_key_frame_that_is_gone_is_not_replaced_by_a_later_one(copy: Path) -> None:
    replay = Replay(copy)
    frame_path(copy, 0).unlink()
    with pytest.raises(AnexaError, match=r"up to step 5 .* are gone"):
        done(replay.state(5))
    assert done(replay.state(MIN_FRAME_INTERVAL + 1)).step == MIN_FRAME_INTERVAL + 1
    shutil.rmtree(copy)
    assert done(replay.state(MIN_FRAME_INTERVAL + 1)).step == MIN_FRAME_INTERVAL + 1  # in memory
    with pytest.raises(AnexaError, match=r"up to step 0 .* are gone"):
        done(replay.state(0))

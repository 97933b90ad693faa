"""The history of a run: complete, within its budget, and the same after a stop and a resume."""

from __future__ import annotations

import json
import shutil
import warnings
from array import array
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import OptimizerConfig
from anexa.errors import AnexaError, AnexaWarning, UsageError
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, hash_weights
from anexa.training import Callback, RunOptions, StepResult, Trainer, build_trainer, resume_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH, read_checkpoint
from anexa.training.history import (
    HISTORY_FOLDER,
    RECORDS_FILE,
    frame_path,
    frame_steps,
    read_budget,
    read_frame,
    read_records,
)
from anexa.training.recording import (
    MIN_FRAME_INTERVAL,
    frame_interval,
    make_history_callbacks,
    parse_size,
)
from tests.training.runs import each_engine, finish, settings, stop_after, weights_file

SMALL: dict[str, Any] = {"n_embd": 8, "n_head": 2, "block_size": 8, "batch_size": 2}


def frames(folder: Path) -> dict[int, bytes]:
    return {step: frame_path(folder, step).read_bytes() for step in frame_steps(folder)}


def same_history(one: Path, two: Path) -> bool:
    return read_records(one) == read_records(two) and frames(one) == frames(two)


def test_hash_tells_names_shapes_and_values_apart() -> None:
    numbers = array("f", range(6))
    models = [
        {"a": Weight((2, 3), numbers)},
        {"a": Weight((3, 2), numbers)},
        {"a": Weight((6,), numbers)},
        {"b": Weight((2, 3), numbers)},
        {"a": Weight((2, 3), array("f", [0, 1, 2, 3, 4, 6]))},
        {"a": Weight((2,), numbers[:2]), "b": Weight((4,), numbers[2:])},
        {"a": Weight((4,), numbers[:4]), "b": Weight((2,), numbers[4:])},
        {"b": Weight((2,), numbers[:2]), "c": Weight((4,), numbers[2:])},
    ]
    hashes = [*map(hash_weights, models)]
    assert len({*hashes}) == len(models)
    assert hashes == [hash_weights(dict(reversed(model.items()))) for model in models]
    assert all(len(found) == 16 for found in hashes)


@each_engine
def test_a_stopped_run_has_the_history_of_an_uninterrupted_one(
    engine: str, names: Path, tmp_path: Path
) -> None:
    steps, stop = (6, 4) if engine == "scalar" else (MIN_FRAME_INTERVAL + 6, MIN_FRAME_INTERVAL + 2)
    wanted = settings(names, engine=engine, steps=steps, **(SMALL | {"n_embd": 4}))
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    stop_after(build_trainer(wanted, tmp_path / "m"), stop)
    resumed = finish(resume_trainer(tmp_path / "m"))
    assert same_history(whole.folder, resumed.folder)
    records = read_records(whole.folder)
    assert [record.step for record in records] == [*range(1, steps + 1)]
    assert records[-1].weights_hash == hash_weights(whole.engine.weights())
    assert frame_steps(whole.folder) == [0, *range(MIN_FRAME_INTERVAL, steps, MIN_FRAME_INTERVAL)]


def test_records_and_frames_are_those_of_the_run(names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=130, **SMALL), tmp_path / "m")
    shown = [
        (step.step, step.learning_rate, step.loss, step.gradient_norm, run.engine.weights())
        for step in run
    ]
    records = read_records(run.folder)
    assert [(r.step, r.learning_rate, r.loss, r.gradient_norm) for r in records] == [
        step[:4] for step in shown
    ]
    frame = read_frame(run.folder, 128)
    assert hash_weights(frame.weights) == hash_weights(shown[127][4]) == records[127].weights_hash
    assert read_frame(run.folder, 0).moments == {}


def test_a_line_is_json_that_gives_the_record_back(names: Path, tmp_path: Path) -> None:
    run = finish(build_trainer(settings(names, steps=3, **SMALL), tmp_path / "m"))
    lines = (run.folder / HISTORY_FOLDER / RECORDS_FILE).read_text(encoding="utf-8").splitlines()
    records = read_records(run.folder)
    assert lines == [json.dumps(vars(record)) for record in records]


def test_a_killed_run_has_the_history_of_an_uninterrupted_one(names: Path, tmp_path: Path) -> None:
    """A copy of the folder at any time is what a kill would leave."""
    wanted = settings(names, steps=160, evaluations=4, **SMALL)
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    run = build_trainer(wanted, tmp_path / "m")
    for step in run:
        if step.step in (1, 39, 63, 64, 65, 129):
            copy = tmp_path / f"killed-{step.step}"
            shutil.copytree(run.folder, copy)
            done = read_checkpoint(copy).state.step
            assert len(read_records(copy)) >= done
            with (copy / HISTORY_FOLDER / RECORDS_FILE).open("ab") as file:
                file.write(b'{"step": 9')  # half a line
            assert same_history(finish(resume_trainer(copy)).folder, whole.folder)


def test_iterating_in_pieces_leaves_no_gap(names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=20, **SMALL), tmp_path / "m")
    for count in (3, 4):
        for _ in islice(run, count):
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finish(run)
    assert [record.step for record in read_records(run.folder)] == [*range(1, 21)]


def test_the_history_changes_nothing_else(names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=20)
    with_history = finish(build_trainer(wanted, tmp_path / "with"))
    without = finish(build_trainer(wanted, tmp_path / "without", RunOptions(history_budget=0)))
    assert weights_file(with_history.folder) == weights_file(without.folder)
    assert not (without.folder / HISTORY_FOLDER).exists()


def test_a_larger_model_keeps_a_history_only_if_asked(names: Path, tmp_path: Path) -> None:
    wanted = settings(names, n_embd=32, steps=4)
    assert not (finish(build_trainer(wanted, tmp_path / "m")).folder / HISTORY_FOLDER).exists()
    asked = build_trainer(wanted, tmp_path / "n", RunOptions(history_budget=10**6))
    stop_after(asked, 2)
    assert read_budget(asked.folder) == 10**6
    finish(resume_trainer(asked.folder))  # without asking again
    assert len(read_records(asked.folder)) == 4


def test_a_history_can_begin_when_a_run_is_resumed(names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=90, **SMALL)
    stop_after(build_trainer(wanted, tmp_path / "m", RunOptions(history_budget=0)), 10)
    run = finish(resume_trainer(tmp_path / "m"))
    assert [record.step for record in read_records(run.folder)] == [*range(11, 91)]
    assert frame_steps(run.folder) == [10, 10 + MIN_FRAME_INTERVAL]


def test_a_gap_is_said(names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=20, **SMALL)
    stop_after(build_trainer(wanted, tmp_path / "m"), 5)
    stop_after(resume_trainer(tmp_path / "m", options=RunOptions(history_budget=0)), 10)
    with pytest.warns(AnexaWarning, match="ends with step 5 of 10, .* begins again with step 10"):
        run = finish(resume_trainer(tmp_path / "m"))
    assert [record.step for record in read_records(run.folder)] == [*range(11, 21)]
    assert frame_steps(run.folder) == [10]


def test_lengthened_run_goes_on(names: Path, tmp_path: Path) -> None:
    finish(build_trainer(settings(names, steps=10, **SMALL), tmp_path / "m"))
    run = finish(resume_trainer(tmp_path / "m", {"steps": 15}))
    rates = [record.learning_rate for record in read_records(run.folder)]
    assert len(rates) == 15
    assert rates[9] < rates[10], "the schedule of the lengthened run is another one"


@pytest.mark.parametrize("max_frames", [2, 3, 5])
def test_frames_stay_within_the_budget(max_frames: int, names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=700, **(SMALL | {"n_embd": 4})), tmp_path / "m")
    size = 3 * sum(4 * len(w.data) for w in run.engine.weights().values()) + 27 * 128
    shutil.rmtree(run.folder)
    budget = max_frames * size
    run = build_trainer(run.config, tmp_path / "m", RunOptions(history_budget=budget))
    counts = []
    for _ in run:
        counts.append(len(frame_steps(run.folder)))
        assert sum(map(len, frames(run.folder).values())) <= budget
    assert max(counts) == max_frames
    assert min(counts[400:]) > max_frames // 2 - 1
    assert frame_steps(run.folder)[0] == 0


@given(st.integers(0, 10**7), st.integers(2, 1000))
def test_distances_are_as_small_as_the_budget_allows(steps: int, max_frames: int) -> None:
    interval = frame_interval(steps, max_frames)
    assert steps // interval + 1 <= max_frames
    assert interval == MIN_FRAME_INTERVAL or steps // (interval // 2) + 1 > max_frames


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("200MB", 200_000_000), ("1.5 gb", 1_500_000_000), ("7", 7), ("64kB", 64_000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "MB", "1 apple", "1e9", "nan", "1" * 40, "1.MB"])
def test_malformed_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--keep-steps must be a size on the disk such as 200MB"):
        parse_size(text)


def test_a_budget_below_two_frames_is_refused(names: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too small for 2 key frames of this model: give at least"):
        build_trainer(settings(names), tmp_path / "m", RunOptions(history_budget=1000))
    assert not (tmp_path / "m").exists()
    assert (
        make_history_callbacks(
            ModelConfig("gpt2", 99, 128, 128, 4, 4), OptimizerConfig(), "float32", None
        )
        == []
    )


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"step": 3, "learning_rate": 0.1, "loss": 1.0, "gradient_norm": 1.0, "weights_hash": 5}',
        b'{"step": 3, "learning_rate": "1", "loss": 1.0, "gradient_norm": 1.0, "weights_hash": ""}',
        b'{"step": 9, "learning_rate": 0.1, "loss": 1.0, "gradient_norm": 1.0, "weights_hash": ""}',
    ],
)
def test_a_damaged_record_is_refused(line: bytes, names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=5, **SMALL), tmp_path / "m")
    stop_after(run, 4)
    path = run.folder / HISTORY_FOLDER / RECORDS_FILE
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    with pytest.raises(AnexaError, match=r"line 3 of .*steps.jsonl is damaged: remove the folder"):
        finish(resume_trainer(run.folder))
    shutil.rmtree(run.folder / HISTORY_FOLDER)
    assert len(read_records(finish(resume_trainer(run.folder)).folder)) == 1


def test_a_damaged_frame_is_refused(names: Path, tmp_path: Path) -> None:
    run: Trainer = finish(build_trainer(settings(names, steps=2, **SMALL), tmp_path / "m"))
    path = frame_path(run.folder, 0)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(AnexaError, match="is damaged: its numbers have changed"):
        read_frame(run.folder, 0)
    path.write_bytes(content[:-1])
    with pytest.raises(AnexaError, match="is damaged or not a safetensors file"):
        read_frame(run.folder, 0)
    path.rename(frame_path(run.folder, 1))
    with pytest.raises(AnexaError, match="there is no file"):
        read_frame(run.folder, 0)
    frame_path(run.folder, 1).write_bytes(content)
    with pytest.raises(AnexaError, match="it is not that of step 1"):
        read_frame(run.folder, 1)
    shutil.copy(run.folder / CHECKPOINT_PATH, path)
    with pytest.raises(AnexaError, match="is damaged: it has no description"):
        read_frame(run.folder, 0)


def test_a_removed_folder_is_an_error(names: Path, tmp_path: Path) -> None:
    class Remover(Callback):
        def on_step(self, trainer: Trainer, result: StepResult) -> None:  # noqa: ARG002
            shutil.rmtree(trainer.folder / HISTORY_FOLDER, ignore_errors=True)

    run = build_trainer(settings(names, steps=9, **SMALL), tmp_path / "m")
    with pytest.raises(AnexaError, match=r"cannot write .*steps.jsonl"):
        run.fit([Remover()])

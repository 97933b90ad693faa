"""The history of a run: a record of every step, and key frames from which steps can be repeated.

The data of a step follows from the seed and the number of the step, so a run can be repeated from
any key frame. The hash in a step's record tells whether the repeated step led to the same weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from anexa.engines import OptimizerConfig
from anexa.errors import AnexaError, AnexaWarning, UsageError, short_repr
from anexa.files import read_bytes, write_atomic
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.tensors import read_metadata, read_tensors, write_tensors
from anexa.model.weights import Weights, num_parameters
from anexa.training.trainer import Callback, StepResult, Trainer

HISTORY = Path("training") / "history"
RECORDS = "steps.jsonl"
SMALL_MODEL = 10_000  # parameters up to which every run keeps a history
SMALL_BUDGET = 16_000_000  # bytes of its key frames
MIN_FRAMES = 2
MIN_INTERVAL = 64  # steps between key frames: 0.2 s of a small model, with PyTorch
HELD_SIZE = 1_000_000  # bytes of weights that wait for their hash
HEADER = 128  # bytes of a tensor in the header of a file, about
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([A-Z]*)")


@dataclass(frozen=True)
class StepRecord:
    """What is needed to repeat a step, and to prove that it was the same.

    Attributes:
        step: number of the step, from 1.
        learning_rate: learning rate of the step.
        loss: loss of the batch before the step, in nats a token.
        gradient_norm: global gradient norm, before clipping.
        weights: `hash_weights` of the weights after the step.
    """

    step: int
    learning_rate: float
    loss: float
    gradient_norm: float
    weights: str


@dataclass(frozen=True)
class Frame:
    """A key frame: the weights and the moments of the optimizer after a step.

    Attributes:
        step: number of completed steps.
        weights: the weights, in the engine's precision.
        moments: the moments, as `Engine.optimizer_state` returns them.
    """

    step: int
    weights: Weights
    moments: Weights

    @property
    def size(self) -> int:
        """Bytes of all numbers."""
        tensors = (*self.weights.values(), *self.moments.values())
        return sum(len(tensor.data) * tensor.data.itemsize for tensor in tensors)


class HistoryCallback(Callback):
    """Writes `training/history`: a record of each step, and key frames within a budget.

    The distance of the frames is a power of two of steps, counted from the first frame. When there
    would be too many frames, every second one is removed: a run of unknown length keeps between
    half the budget and all of it. Must come before `CheckpointCallback`, so that the records are
    never behind the checkpoint.

    Args:
        budget: maximum bytes of the key frames on the disk.
        max_frames: number of key frames that fit into the budget.
    """

    def __init__(self, budget: int, max_frames: int) -> None:
        self._budget, self._max_frames = budget, max_frames
        self._first = 0  # step of the first frame
        self._folder = Path()
        self._lines: list[bytes] = []
        self._held: list[tuple[StepResult, Weights]] = []  # steps without a line yet
        self._max_held = 1

    def on_start(self, trainer: Trainer) -> None:
        """Remove the records and frames of steps that are repeated, or write the first frame."""
        self._folder, done = trainer.folder, trainer.state.step
        first = _rewind(trainer.folder, done) if trainer.context.is_main_process else None
        # Hashed together, which takes half as long as one by one, each after a step.
        self._max_held = max(1, HELD_SIZE // (8 * num_parameters(trainer.model_config)))
        [known] = trainer.context.broadcast(-1 if first is None else first)
        self._first = done if known < 0 else int(known)
        if known < 0:
            self._add_frame(trainer, trainer.engine.weights())

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """Record the step, and write a frame if one is due."""
        # In every process, because the weights may be sharded.
        weights = trainer.engine.weights()
        if trainer.context.is_main_process:
            self._held.append((result, weights))
            if len(self._held) >= self._max_held:
                self._record_held()
        passed = result.number - self._first
        is_due = passed % frame_interval(passed, self._max_frames) == 0
        if is_due or result.evaluation:
            self._flush()
        if is_due:
            self._add_frame(trainer, weights)

    def on_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Write the last records."""
        self._flush()

    def close(self) -> None:
        """Write the last records, also after an error."""
        self._flush()

    def _record_held(self) -> None:
        held, self._held = self._held, []
        for result, weights in held:
            rate, loss, norm = result.learning_rate, result.loss, result.gradient_norm
            record = StepRecord(result.number, rate, loss, norm, hash_weights(weights))
            self._lines.append(_line(record))

    def _flush(self) -> None:
        """Append the records since the previous call to the file."""
        self._record_held()
        lines, self._lines = self._lines, []
        if not lines:
            return
        path = self._folder / HISTORY / RECORDS
        try:
            with path.open("ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AnexaError(f"cannot write {path}: {error.strerror}") from error

    def _add_frame(self, trainer: Trainer, weights: Weights) -> None:
        frame = Frame(trainer.state.step, weights, trainer.engine.optimizer_state())
        if not trainer.context.is_main_process:
            return
        interval = frame_interval(frame.step - self._first, self._max_frames)
        for step in frame_steps(trainer.folder):
            if (step - self._first) % interval:
                frame_path(trainer.folder, step).unlink()
        tensors = _tensors(frame)
        content = {"step": frame.step, "budget": self._budget, "hash": hash_weights(tensors)}
        # One entry: safetensors writes several in an order that differs from file to file.
        metadata = {"frame": json.dumps(content)}
        write_tensors(frame_path(trainer.folder, frame.step), tensors, metadata)


def make_history(
    config: ModelConfig, optimizer: OptimizerConfig, dtype: str, budget: int | None
) -> list[HistoryCallback]:
    """Make the callback that keeps the history of a run; an empty list if the run keeps none.

    Args:
        config: configuration of the model.
        optimizer: the optimizer.
        dtype: precision of the weights, "float32" or "float64".
        budget: maximum bytes of the key frames; 0: no history; None: `SMALL_BUDGET` for a model of
            at most `SMALL_MODEL` parameters, and no history for a larger one.

    Raises:
        UsageError: if the budget is too small for two key frames.
    """
    if budget is None:
        budget = SMALL_BUDGET if num_parameters(config) <= SMALL_MODEL else 0
    if not budget:
        return []
    parameters = architecture(config).parameters(config).values()
    shapes = [*(p.shape for p in parameters), *optimizer.state_shapes(config).values()]
    itemsize = 8 if dtype == "float64" else 4
    frame_size = sum(itemsize * prod(shape) + HEADER for shape in shapes)
    if budget < MIN_FRAMES * frame_size:
        megabytes = -(-MIN_FRAMES * frame_size // 10**6)
        raise UsageError(
            f"--keep-steps {budget:,} bytes is too small for {MIN_FRAMES} key frames of this "
            f"model: give at least {megabytes}MB, or 0 to keep none"
        )
    return [HistoryCallback(budget, budget // frame_size)]


def parse_size(text: str) -> int:
    """Parse a size on the disk, such as 200MB, 1.5 GB or 0; returns bytes.

    Raises:
        UsageError: if it is not a number with a unit from bytes to TB.
    """
    found = SIZE.fullmatch(text.strip().upper())
    if not found or found[2] not in UNITS:
        raise UsageError(
            f"--keep-steps must be a size on the disk such as 200MB or 1.5GB, or 0, not "
            f"{short_repr(text)}"
        )
    return int(float(found[1]) * UNITS[found[2]])


def read_budget(folder: Path) -> int | None:
    """Read the budget of the history in a model folder; None if there is no history.

    Raises:
        AnexaError: if its newest key frame is damaged.
    """
    steps = frame_steps(folder)
    if not steps:
        return None
    path = frame_path(folder, steps[-1])
    return int(_parse_frame(path, read_metadata(path))["budget"])


def frame_interval(steps: int, max_frames: int) -> int:
    """Return the distance of at most `max_frames` frames within the first `steps` steps."""
    interval = MIN_INTERVAL
    while steps // interval + 1 > max_frames:
        interval *= 2
    return interval


def hash_weights(weights: Weights) -> str:
    """Hash all weights, by name, in their own precision: 16 hexadecimal digits."""
    # Not for security. Most processors have instructions for SHA-1: others take twice as long.
    found = hashlib.sha1(usedforsecurity=False)
    for name in sorted(weights):
        found.update(weights[name].data)
    return found.hexdigest()[:16]


def frame_path(folder: Path, step: int) -> Path:
    """Return the file of the key frame after a step, in a model folder."""
    return folder / HISTORY / f"step-{step:08}.safetensors"


def frame_steps(folder: Path) -> list[int]:
    """List the steps after which a model folder has key frames, in order."""
    names = (path.stem.removeprefix("step-") for path in (folder / HISTORY).glob("step-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def read_frame(folder: Path, step: int) -> Frame:
    """Read a key frame.

    Raises:
        AnexaError: if it is missing or damaged.
    """
    path = frame_path(folder, step)
    tensors, metadata = read_tensors(path)
    content = _parse_frame(path, metadata)
    if content["step"] != step:
        raise _damaged(path, f"it is not that of step {step}")
    if content["hash"] != hash_weights(tensors):
        raise _damaged(path, "its numbers have changed since it was written")
    return Frame(
        step,
        weights={key[2:]: w for key, w in tensors.items() if key.startswith("w.")},
        moments={key: w for key, w in tensors.items() if not key.startswith("w.")},
    )


def read_records(folder: Path) -> list[StepRecord]:
    """Read the records of all steps, in order; empty if there are none.

    An incomplete last line, which a running training may be writing, is skipped.

    Raises:
        AnexaError: if the file is damaged.
    """
    path = folder / HISTORY / RECORDS
    if not path.exists():
        return []
    *lines, _torn = read_bytes(path).split(b"\n")
    records: list[StepRecord] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_parse(line))
            if records[-1].step != records[0].step + number - 1:
                raise ValueError(f"it is of step {records[-1].step}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AnexaError(
                f"line {number} of {path} is damaged: remove the folder {path.parent} to continue "
                "without the steps so far"
            ) from error
    return records


def _parse(line: bytes) -> StepRecord:
    value = json.loads(line)
    record = StepRecord(**value)
    numbers = (record.learning_rate, record.loss, record.gradient_norm)
    if not (
        type(record.step) is int
        and record.step > 0
        and all(type(number) in (int, float) for number in numbers)
        and isinstance(record.weights, str)
    ):
        raise TypeError(value)
    return record


def _line(record: StepRecord) -> bytes:
    # As `json.dumps` writes it, in a fifth of the time: all numbers are finite.
    return (
        f'{{"step": {record.step}, "learning_rate": {record.learning_rate!r}, '
        f'"loss": {record.loss!r}, "gradient_norm": {record.gradient_norm!r}, '
        f'"weights": "{record.weights}"}}\n'
    ).encode()


def _parse_frame(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Parse the metadata of a key frame: its step, its hash and the budget of the history."""
    try:
        content = json.loads(metadata["frame"])
        if type(content["step"]) is int and type(content["budget"]) is int and content["hash"]:
            return dict(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, "it has no description") from error
    raise _damaged(path, "its description is malformed")


def _tensors(frame: Frame) -> Weights:
    return {f"w.{name}": weight for name, weight in frame.weights.items()} | frame.moments


def _rewind(folder: Path, done: int) -> int | None:
    """Remove the records and frames of steps after the checkpoint, which a resumed run repeats.

    Records that end before the checkpoint are of a run that went on without a history: they are
    removed too, because no key frame leads from them to the checkpoint.

    Args:
        folder: model folder, with the folder `training` in it.
        done: step of the checkpoint.

    Returns:
        The step of the first frame; None if the history begins with this step.
    """
    records, frames = read_records(folder), frame_steps(folder)
    kept = [record for record in records if record.step <= done]
    last = kept[-1].step if kept else min(frames, default=-1)
    is_current = bool(frames) and frames[0] <= done == last
    if kept and not is_current:
        warnings.warn(
            f"the history in {folder / HISTORY} ends with step {last} of {done}, or lacks its key "
            f"frames: it begins again with step {done}",
            AnexaWarning,
            stacklevel=2,
        )
    try:
        (folder / HISTORY).mkdir(exist_ok=True)
        _write_records(folder, kept if is_current else [])
        for step in frames:
            if step > done or not is_current:
                frame_path(folder, step).unlink()
    except OSError as error:
        raise AnexaError(f"cannot write {folder / HISTORY}: {error.strerror}") from error
    return frames[0] if is_current else None


def _write_records(folder: Path, records: Sequence[StepRecord]) -> None:
    write_atomic(folder / HISTORY / RECORDS, b"".join(map(_line, records)))


def _damaged(path: Path, reason: str) -> AnexaError:
    return AnexaError(f"the key frame {path} is damaged: {reason}")

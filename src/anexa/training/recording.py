"""Recording of the history of a run during the training (`--keep-steps`), to replay its steps."""

from __future__ import annotations

import os
import re
import warnings
from math import prod
from pathlib import Path

from anexa.engines import OptimizerConfig
from anexa.errors import AnexaError, AnexaWarning, UsageError, short_repr
from anexa.files import write_atomic
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights, hash_weights, num_parameters
from anexa.training.history import (
    HISTORY_FOLDER,
    RECORDS_FILE,
    KeyFrame,
    StepRecord,
    encode_record,
    frame_path,
    frame_steps,
    read_records,
    write_frame,
)
from anexa.training.trainer import Callback, StepResult, Trainer

SMALL_MODEL_PARAMETERS = 10_000  # number of parameters up to which every run keeps a history
SMALL_MODEL_BUDGET = 16_000_000  # maximum size of the key frames of a small model, in bytes
MIN_FRAMES = 2  # number of key frames for which a budget must suffice
MIN_FRAME_INTERVAL = 64  # minimum number of steps between two key frames
MAX_HELD_BYTES = 1_000_000  # maximum size of the weights that wait for their hash
HEADER_BYTES = 128  # approximate size of the entry of a tensor in the header of a file
# Bytes of each unit of a size.
SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# A size such as "1.5 GB": a number, and a unit of `SIZE_UNITS`.
SIZE_PATTERN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([A-Z]*)")


class HistoryCallback(Callback):
    """Callback that writes `training/history`: a record of each step, and key frames.

    A key frame has the weights and the optimizer's moments after a step. The interval between key
    frames is a power of two of steps. When the frames would exceed the budget, every second one is
    removed and the interval doubles, so a run of unknown length uses at least half of the budget.

    The callback must come before `CheckpointCallback`, so that the records are never behind the
    checkpoint.

    Args:
        budget: maximum size of all key frames on the disk, in bytes.
        max_frames: number of key frames that fit into the budget.

    Raises:
        AnexaError: raised by each method, if the history cannot be written.
    """

    def __init__(self, budget: int, max_frames: int) -> None:
        self._budget, self._max_frames = budget, max_frames
        self._first = 0  # step of the first frame
        self._folder = Path()
        self._lines: list[bytes] = []
        self._held: list[tuple[StepResult, Weights]] = []  # steps without a line yet
        self._max_held = 1

    def on_start(self, trainer: Trainer) -> None:
        """Remove the history of steps that a resumed run repeats, or write the first key frame.

        If the history does not reach the checkpoint, or lacks its key frames, this method warns
        (`AnexaWarning`), and begins the history again.
        """
        self._folder, done = trainer.folder, trainer.state.step
        first = _rewind(trainer.folder, done) if trainer.context.is_main_process else None
        # Hashed together, which takes half as long as one by one, each after a step.
        self._max_held = max(1, MAX_HELD_BYTES // (8 * num_parameters(trainer.model_config)))
        [known] = trainer.context.broadcast(-1 if first is None else first)
        self._first = done if known < 0 else int(known)
        if known < 0:
            self._add_frame(trainer, trainer.engine.weights())

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """Record the step, and write a key frame if one is due."""
        # In every process, because the weights may be sharded.
        weights = trainer.engine.weights()
        if trainer.context.is_main_process:
            self._held.append((result, weights))
            if len(self._held) >= self._max_held:
                self._record_held()
        steps = result.step - self._first
        is_due = steps % frame_interval(steps, self._max_frames) == 0
        if is_due or result.evaluation:
            self._flush()
        if is_due:
            self._add_frame(trainer, weights)

    def on_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Write the records that are not in the file yet."""
        self._flush()

    def close(self) -> None:
        """Write the records that are not in the file yet, also after an error."""
        self._flush()

    def _record_held(self) -> None:
        held, self._held = self._held, []
        for result, weights in held:
            rate, loss, norm = result.learning_rate, result.loss, result.gradient_norm
            record = StepRecord(result.step, rate, loss, norm, hash_weights(weights))
            self._lines.append(encode_record(record))

    def _flush(self) -> None:
        """Append the records since the previous call to the file."""
        self._record_held()
        lines, self._lines = self._lines, []
        if not lines:
            return
        path = self._folder / HISTORY_FOLDER / RECORDS_FILE
        try:
            with path.open("ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AnexaError(f"cannot write {path}: {error.strerror}") from error

    def _add_frame(self, trainer: Trainer, weights: Weights) -> None:
        frame = KeyFrame(trainer.state.step, weights, trainer.engine.optimizer_state())
        if not trainer.context.is_main_process:
            return
        interval = frame_interval(frame.step - self._first, self._max_frames)
        for step in frame_steps(trainer.folder):
            if (step - self._first) % interval:
                frame_path(trainer.folder, step).unlink()
        write_frame(trainer.folder, frame, self._budget)


def make_history_callbacks(
    config: ModelConfig, optimizer: OptimizerConfig, dtype: str, budget: int | None
) -> list[HistoryCallback]:
    """Create the callback that keeps the history of a run.

    Args:
        config: configuration of the model.
        optimizer: configuration of the optimizer.
        dtype: precision of the weights, "float32" or "float64".
        budget: maximum size of all key frames, in bytes. 0 means no history; None means
            `SMALL_MODEL_BUDGET` for a model of at most `SMALL_MODEL_PARAMETERS`, else no history.

    Returns:
        A list of the callback; empty if the run keeps no history.

    Raises:
        UsageError: if the budget is too small for two key frames.
    """
    if budget is None:
        budget = SMALL_MODEL_BUDGET if num_parameters(config) <= SMALL_MODEL_PARAMETERS else 0
    if not budget:
        return []
    parameters = get_architecture(config).parameters(config).values()
    shapes = [*(p.shape for p in parameters), *optimizer.state_shapes(config).values()]
    itemsize = 8 if dtype == "float64" else 4
    frame_size = sum(itemsize * prod(shape) + HEADER_BYTES for shape in shapes)
    if budget < MIN_FRAMES * frame_size:
        megabytes = -(-MIN_FRAMES * frame_size // 10**6)
        raise UsageError(
            f"--keep-steps {budget:,} bytes is too small for {MIN_FRAMES} key frames of this "
            f"model: give at least {megabytes}MB, or 0 to keep none"
        )
    return [HistoryCallback(budget, budget // frame_size)]


def parse_size(text: str) -> int:
    """Parse a size on the disk, such as 200MB, 1.5 GB or 0.

    Returns:
        The size in bytes.

    Raises:
        UsageError: if the text is not a number with a unit from B to TB.
    """
    found = SIZE_PATTERN.fullmatch(text.strip().upper())
    if not found or found[2] not in SIZE_UNITS:
        raise UsageError(
            f"--keep-steps must be a size on the disk such as 200MB or 1.5GB, or 0, not "
            f"{short_repr(text)}"
        )
    return int(float(found[1]) * SIZE_UNITS[found[2]])


def frame_interval(steps: int, max_frames: int) -> int:
    """Return the smallest interval between key frames that the budget allows, in steps.

    Args:
        steps: number of steps since the first key frame.
        max_frames: maximum number of key frames.
    """
    interval = MIN_FRAME_INTERVAL
    while steps // interval + 1 > max_frames:
        interval *= 2
    return interval


def _rewind(folder: Path, done: int) -> int | None:
    """Remove the records and key frames of steps after the checkpoint, which a resumed run repeats.

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
            f"the history in {folder / HISTORY_FOLDER} ends with step {last} of {done}, or lacks "
            f"its key frames: it begins again with step {done}",
            AnexaWarning,
            stacklevel=2,
        )
    try:
        (folder / HISTORY_FOLDER).mkdir(exist_ok=True)
        records = kept if is_current else []
        write_atomic(folder / HISTORY_FOLDER / RECORDS_FILE, b"".join(map(encode_record, records)))
        for step in frames:
            if step > done or not is_current:
                frame_path(folder, step).unlink()
    except OSError as error:
        raise AnexaError(f"cannot write {folder / HISTORY_FOLDER}: {error.strerror}") from error
    return frames[0] if is_current else None

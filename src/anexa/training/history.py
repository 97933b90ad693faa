"""The history of a run: a record of every step, and key frames from which steps can be repeated.

The data of a step follows from the seed and the number of the step, so a run can be repeated from
any key frame. The hash in a step's record tells whether the repeated step led to the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError
from anexa.files import read_bytes
from anexa.model.adapters import ADAPTER_FOLDER
from anexa.model.tensors import read_metadata, read_tensors, write_tensors
from anexa.model.weights import Weights, hash_weights
from anexa.names import shell_path
from anexa.training.checkpoint import CHECKPOINT_PATH

HISTORY_FOLDER = Path("training") / "history"  # folder of the history, in a model folder
RECORDS_FILE = "steps.jsonl"  # file of the step records in it, one JSON object a line


@dataclass(frozen=True)
class StepRecord:
    """Record of a step: values to repeat the step, and to prove that the result is the same.

    Attributes:
        step: number of the step, from 1.
        learning_rate: learning rate of the step.
        loss: loss of the batch before the step, in nats per token.
        gradient_norm: global gradient norm, before clipping.
        weights_hash: hash of the weights after the step, as `hash_weights` computes it.
    """

    step: int
    learning_rate: float
    loss: float
    gradient_norm: float
    weights_hash: str


@dataclass(frozen=True)
class KeyFrame:
    """A key frame: the weights and the moments of the optimizer after a step.

    Attributes:
        step: number of completed steps.
        weights: weights by name, in the engine's precision.
        moments: moments of the optimizer, as `Engine.optimizer_state` returns them.
    """

    step: int
    weights: Weights
    moments: Weights

    @property
    def size(self) -> int:
        """Size of all numbers, in bytes."""
        tensors = (*self.weights.values(), *self.moments.values())
        return sum(len(tensor.data) * tensor.data.itemsize for tensor in tensors)


def read_budget(folder: Path) -> int | None:
    """Read the budget of the history in a model folder; None if there is no key frame.

    The budget is the maximum size of all key frames, in bytes.

    Raises:
        AnexaError: if the newest key frame is damaged.
    """
    steps = frame_steps(folder)
    if not steps:
        return None
    path = frame_path(folder, steps[-1])
    return int(_parse_frame(path, read_metadata(path))["budget"])


def frame_path(folder: Path, step: int) -> Path:
    """Return the path of the key frame after a step, in a model folder."""
    return folder / HISTORY_FOLDER / f"step-{step:08}.safetensors"


def frame_steps(folder: Path) -> list[int]:
    """List the steps after which a model folder has key frames, in order."""
    names = (path.stem.removeprefix("step-") for path in (folder / HISTORY_FOLDER).glob("step-*"))
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def read_frame(folder: Path, step: int) -> KeyFrame:
    """Read the key frame after a step, and verify the hash of its weights and moments.

    Raises:
        AnexaError: if the file is missing or damaged.
    """
    path = frame_path(folder, step)
    tensors, metadata = read_tensors(path)
    content = _parse_frame(path, metadata)
    if content["step"] != step:
        raise _damaged(path, f"it is not that of step {step}")
    if content["hash"] != hash_weights(tensors):
        raise _damaged(path, "its numbers have changed since it was written")
    return KeyFrame(
        step,
        weights={key[2:]: w for key, w in tensors.items() if key.startswith("w.")},
        moments={key: w for key, w in tensors.items() if not key.startswith("w.")},
    )


def write_frame(folder: Path, frame: KeyFrame, budget: int) -> None:
    """Write a key frame (weights and moments after a step) to the history of a run.

    Args:
        folder: model folder, with the folder of its history.
        frame: key frame to write.
        budget: maximum size of all key frames, in bytes; stored for resumed runs.

    Raises:
        AnexaError: if the file cannot be written.
    """
    tensors = {f"w.{name}": w for name, w in frame.weights.items()} | frame.moments
    content = {"step": frame.step, "budget": budget, "hash": hash_weights(tensors)}
    # One entry: safetensors writes several in an order that differs from file to file.
    write_tensors(frame_path(folder, frame.step), tensors, {"frame": json.dumps(content)})


def read_records(folder: Path) -> list[StepRecord]:
    """Read the records of all steps, in order; empty if the run has no history.

    An incomplete last line, which a running training may be writing, is skipped.

    Raises:
        AnexaError: if the file is damaged or cannot be read, or a step is missing between two
            others.
    """
    path = folder / HISTORY_FOLDER / RECORDS_FILE
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


def read_history(folder: Path) -> tuple[list[StepRecord], int]:
    """Read the history of a run: its records, and which key frames it has.

    Returns:
        The records of its steps, and the step of its first key frame.

    Raises:
        AnexaError: if the run has no history, or a part of it is missing or damaged.
    """
    records, frames = read_records(folder), frame_steps(folder)
    if not frames and not records:
        if (folder / ADAPTER_FOLDER).exists():
            raise AnexaError(
                f"the run in {folder} trained adapters (--lora), whose steps are not kept: train "
                "without --lora to look at them"
            )
        if (folder / CHECKPOINT_PATH).exists():
            raise AnexaError(
                f"the run in {folder} has no history of its steps: keep one from now on with "
                f"anexa train --resume {shell_path(folder)} --keep-steps 200MB, or train again"
            )
        raise AnexaError(f"{folder} has no steps to show: it holds no training ({CHECKPOINT_PATH})")
    if not frames:
        raise AnexaError(f"{folder / HISTORY_FOLDER} has no key frame to repeat the steps from")
    if frames[-1] > (records[-1].step if records else frames[0]):
        raise AnexaError(
            f"{folder / HISTORY_FOLDER / RECORDS_FILE} lacks the records of the steps up to the "
            f"key frame of step {frames[-1]}"
        )
    if records and records[0].step > frames[0] + 1:
        raise AnexaError(
            f"{folder / HISTORY_FOLDER / RECORDS_FILE} lacks the records of the steps after the "
            f"key frame of step {frames[0]}"
        )
    return records, frames[0]


def encode_record(record: StepRecord) -> bytes:
    """Convert a record to its line in the file of records: JSON with a line break at the end."""
    # As `json.dumps` writes it, in a fifth of the time: all numbers are finite.
    return (
        f'{{"step": {record.step}, "learning_rate": {record.learning_rate!r}, '
        f'"loss": {record.loss!r}, "gradient_norm": {record.gradient_norm!r}, '
        f'"weights_hash": "{record.weights_hash}"}}\n'
    ).encode()


def _parse(line: bytes) -> StepRecord:
    value = json.loads(line)
    record = StepRecord(**value)
    numbers = (record.learning_rate, record.loss, record.gradient_norm)
    if not (
        type(record.step) is int
        and record.step > 0
        and all(type(number) in (int, float) for number in numbers)
        and isinstance(record.weights_hash, str)
    ):
        raise TypeError(value)
    return record


def _parse_frame(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Parse the metadata of a key frame: its step, its hash and the budget of the history.

    Args:
        path: path of the key frame, for error messages.
        metadata: metadata of the file.
    """
    try:
        content = json.loads(metadata["frame"])
        if type(content["step"]) is int and type(content["budget"]) is int and content["hash"]:
            return dict(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, "it has no description") from error
    raise _damaged(path, "its description is malformed")


def _damaged(path: Path, reason: str) -> AnexaError:
    return AnexaError(f"the key frame {path} is damaged: {reason}")

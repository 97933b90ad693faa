"""Metrics of a run: `training/metrics.jsonl`, one JSON object a line."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from anexa.errors import AnexaError
from anexa.files import read_bytes, write_atomic
from anexa.model.config import ModelConfig
from anexa.model.weights import flops_per_token
from anexa.training.checkpoint import Evaluation, TrainerState
from anexa.training.schedule import Clock
from anexa.training.tensorboard import EventFile

METRICS_PATH = Path("training") / "metrics.jsonl"  # in a model folder
OPTIONAL_FIELDS = ("validation_loss", "general_loss", "mfu")  # fields that may be null


@dataclass(frozen=True)
class MetricsRecord:
    """Metrics at one point of a run.

    Infinite and NaN values are written as null, which is read as None for the fields that may be
    None, and as NaN for the others.

    Attributes:
        step: number of completed steps.
        tokens: number of predicted tokens since the start of the run.
        seconds: time since the start of the run, evaluations included, pauses before a resume
            not.
        loss: mean training loss since the previous record, in nats per token.
        validation_loss: validation loss, in nats per token; None without an evaluation.
        general_loss: loss on the general text, in nats per token; None without an evaluation, or if
            the run measures none.
        learning_rate: learning rate of the last step.
        gradient_norm: global gradient norm of the last step, before clipping.
        tokens_per_second: speed of the steps since the previous record, without evaluations.
        mfu: model FLOPs utilization, relative to the measured peak of matrix products, from 0 to 1
            (Chowdhery et al., 2022); None if unknown.
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    validation_loss: float | None
    general_loss: float | None
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    mfu: float | None


@dataclass(frozen=True)
class Sample:
    """A text that the model generated during training.

    Attributes:
        step: number of completed steps.
        text: generated text.
    """

    step: int
    text: str


class MetricsLog:
    """Metrics log of a run, to which records and samples are appended.

    Args:
        folder: model folder, with the folder `training` in it.
        after_step: number of completed steps. Entries of later steps are removed, because a resumed
            run repeats those steps; so is an incomplete last line of a killed run.
        tensorboard: whether to also write TensorBoard's events, from the first step on.

    Raises:
        AnexaError: if the file cannot be written, or is damaged, or TensorBoard's events are asked
            for and tensorboardX is not installed.
    """

    def __init__(self, folder: Path, after_step: int = 0, *, tensorboard: bool = False) -> None:
        self._path = folder / METRICS_PATH
        before = read_bytes(self._path) if self._path.exists() else b""
        lines = _read(before, self._path)
        kept = [(line, entry) for line, entry in lines if entry.step <= after_step]
        after = b"".join(line + b"\n" for line, _ in kept)
        if after != before:
            write_atomic(self._path, after)
        self._events: EventFile | None = None
        if tensorboard:
            seconds = [entry.seconds for _, entry in kept if isinstance(entry, MetricsRecord)]
            self._events = EventFile(self._path.parent, time.time() - max(seconds, default=0.0))
            for _, entry in kept:
                self._write_event(entry, self._events)
            self._events.flush()

    def add(self, entry: MetricsRecord | Sample) -> None:
        """Append a record or a generated text.

        Raises:
            AnexaError: if the file cannot be written.
        """
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(entry).items()
        }
        line = json.dumps(finite, ensure_ascii=False) + "\n"
        try:
            # Opened for each line: lines are written as a whole, and a removed folder is an error.
            with self._path.open("ab") as file:
                file.write(line.encode(errors="replace"))
        except OSError as error:
            raise AnexaError(f"cannot write {self._path}: {error.strerror}") from error
        if self._events:
            self._write_event(entry, self._events)
            self._events.flush()

    def close(self) -> None:
        """Close TensorBoard's event file, if there is one."""
        if self._events:
            self._events.close()

    @staticmethod
    def _write_event(entry: MetricsRecord | Sample, events: EventFile) -> None:
        if isinstance(entry, Sample):
            events.text("sample", entry.text, entry.step)
            return
        figures = {
            "loss/train": entry.loss,
            "loss/validation": entry.validation_loss,
            "loss/general": entry.general_loss,
            "learning_rate": entry.learning_rate,
            "gradient_norm": entry.gradient_norm,
            "tokens_per_second": entry.tokens_per_second,
            "mfu": entry.mfu,
        }
        events.scalars(figures, entry.step, entry.seconds)


def read_metrics(folder: Path) -> tuple[list[MetricsRecord], list[Sample]]:
    """Read the metrics records and the samples of a run, in order.

    An incomplete last line, which a running training may be writing, is skipped.

    Raises:
        AnexaError: if there is no metrics log, or it is damaged.
    """
    path = folder / METRICS_PATH
    if not path.exists():
        raise AnexaError(f"{folder} holds no metrics of a training: it has no {METRICS_PATH}")
    entries = [entry for _, entry in _read(read_bytes(path), path)]
    return (
        [entry for entry in entries if isinstance(entry, MetricsRecord)],
        [entry for entry in entries if isinstance(entry, Sample)],
    )


def _read(content: bytes, path: Path) -> list[tuple[bytes, MetricsRecord | Sample]]:
    """Parse all complete lines of a metrics log.

    Returns:
        For each line its bytes, and the record or sample in it.
    """
    entries = []
    *lines, _torn = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            entries.append((line, _parse(json.loads(line))))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AnexaError(
                f"line {number} of {path} is damaged: "
                "remove the file to continue without its records"
            ) from error
    return entries


def _parse(value: dict[str, object]) -> MetricsRecord | Sample:
    step = value["step"]
    if not isinstance(step, int):
        raise TypeError(step)
    if "text" in value:
        return Sample(step, str(value["text"]))
    figures = {}
    for field in fields(MetricsRecord):
        figure = value[field.name]
        if figure is None and field.name not in OPTIONAL_FIELDS:
            figure = math.nan  # written as null
        elif not isinstance(figure, int | float | None):
            raise TypeError(field.name)
        figures[field.name] = figure
    return MetricsRecord(**figures)  # type: ignore[arg-type]


class MetricsAccumulator:
    """Accumulator of the metrics since the previous record.

    Args:
        config: configuration of the model.
        state: state of the run, with the losses since the previous record.
        clock: clock of the run.
        peak: peak FLOPs per second of one process; None if unknown.
        processes: number of processes of the run.
    """

    def __init__(
        self,
        config: ModelConfig,
        state: TrainerState,
        clock: Clock,
        peak: float | None,
        processes: int = 1,
    ) -> None:
        self._flops_per_token = flops_per_token(config)
        self._peak = peak * processes if peak else None
        self._state, self._clock = state, clock
        self._previous = clock.busy, state.tokens  # at the previous record

    def pop_record(
        self, learning_rate: float, gradient_norm: float, evaluation: Evaluation | None
    ) -> MetricsRecord:
        """Return a record of the steps since the previous record, and clear `state.unrecorded`.

        There must have been at least one step since then.

        Args:
            learning_rate: learning rate of the last step.
            gradient_norm: gradient norm of the last step.
            evaluation: evaluation after the last step, if there was one.

        Returns:
            The record, with the mean loss and the speed of these steps.
        """
        state, clock = self._state, self._clock
        seconds, tokens = self._previous
        speed = (state.tokens - tokens) / (clock.busy - seconds)
        losses = state.unrecorded
        self._previous, state.unrecorded = (clock.busy, state.tokens), []
        return MetricsRecord(
            step=state.step,
            tokens=state.tokens,
            seconds=clock.seconds,
            loss=sum(losses) / len(losses),
            validation_loss=evaluation.validation_loss if evaluation else None,
            general_loss=evaluation.general_loss if evaluation else None,
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            tokens_per_second=speed,
            mfu=speed * self._flops_per_token / self._peak if self._peak else None,
        )

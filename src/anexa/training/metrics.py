"""What a run measures as it goes, a JSON object a line: `training/metrics.jsonl`."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from anexa.errors import AnexaError
from anexa.files import read_bytes, write_atomic
from anexa.training.tensorboard import Events

METRICS = Path("training") / "metrics.jsonl"
OPTIONAL = ("validation_loss", "mfu")  # what a record may be without


@dataclass(frozen=True)
class MetricsRecord:
    """The figures at one point of a run. A number that is not finite is written as null.

    Attributes:
        step: how many steps were done.
        tokens: how many tokens were predicted in them.
        seconds: the time they took.
        loss: the mean over the steps since the record before, in nats a token; NaN if none were.
        validation_loss: on text that no step sees, in nats a token; None where not measured.
        learning_rate: of the last step.
        gradient_norm: of the last step's whole gradient, before any clipping.
        tokens_per_second: since the record before.
        peak_share: how much of the fastest matrix products that this machine can do the training
            reaches, from 0 to 1; None where unknown.
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    mfu: float | None


@dataclass(frozen=True)
class Sample:
    """What the model wrote after so many steps."""

    step: int
    text: str


class Metrics:
    """The figures of a run, which it adds to as it goes.

    Args:
        folder: the model folder; has the folder `training`.
        after_step: the run is about to do the step after this one. What is there of later steps,
            and half a line that a kill left, goes: what is done again has one history.
        tensorboard: write TensorBoard's events beside it too, from the first step on.

    Raises:
        AnexaError: the file cannot be written, or what is there is no such file; what
            `tensorboard` needs is not installed.
    """

    def __init__(self, folder: Path, after_step: int = 0, *, tensorboard: bool = False) -> None:
        self._path = folder / METRICS
        before = read_bytes(self._path) if self._path.exists() else b""
        lines = _read(before, self._path)
        kept = [(line, entry) for line, entry in lines if entry.step <= after_step]
        after = b"".join(line + b"\n" for line, _ in kept)
        if after != before:
            write_atomic(self._path, after)
        self._events: Events | None = None
        if tensorboard:
            seconds = [entry.seconds for _, entry in kept if isinstance(entry, MetricsRecord)]
            self._events = Events(self._path.parent, time.time() - max(seconds, default=0.0))
            for _, entry in kept:
                self._show(entry, self._events)
            self._events.flush()

    def add(self, record: MetricsRecord) -> None:
        """Write a record.

        Raises:
            AnexaError: it cannot be written.
        """
        self._write(record)

    def sample(self, step: int, text: str) -> None:
        """Write what the model wrote after so many steps.

        Raises:
            AnexaError: it cannot be written.
        """
        self._write(Sample(step, text))

    def close(self) -> None:
        """Say that there is no more to write."""
        if self._events:
            self._events.close()

    def _write(self, entry: MetricsRecord | Sample) -> None:
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(entry).items()
        }
        line = json.dumps(finite, ensure_ascii=False) + "\n"
        try:
            # Opened each time: a folder that has gone is an error then, and the line is whole.
            with self._path.open("ab") as file:
                file.write(line.encode(errors="replace"))
        except OSError as error:
            raise AnexaError(f"cannot write {self._path}: {error.strerror}") from error
        if self._events:
            self._show(entry, self._events)
            self._events.flush()

    @staticmethod
    def _show(entry: MetricsRecord | Sample, events: Events) -> None:
        if isinstance(entry, Sample):
            events.text("sample", entry.text, entry.step)
            return
        figures = {
            "loss/train": entry.loss,
            "loss/validation": entry.validation_loss,
            "learning_rate": entry.learning_rate,
            "gradient_norm": entry.gradient_norm,
            "tokens_per_second": entry.tokens_per_second,
            "mfu": entry.mfu,
        }
        events.scalars(figures, entry.step, entry.seconds)


def read_metrics(folder: Path) -> tuple[list[MetricsRecord], list[Sample]]:
    """What a run has measured and what its model has written so far, in order.

    Half a line at the end, which a run that goes on may be writing, is left out.

    Raises:
        AnexaError: there is no such file, or it is damaged.
    """
    path = folder / METRICS
    if not path.exists():
        raise AnexaError(f"{folder} holds no record of a training: it has no {METRICS}")
    entries = [entry for _, entry in _read(read_bytes(path), path)]
    return (
        [entry for entry in entries if isinstance(entry, MetricsRecord)],
        [entry for entry in entries if isinstance(entry, Sample)],
    )


def _read(content: bytes, path: Path) -> list[tuple[bytes, MetricsRecord | Sample]]:
    """The whole lines of a file, each with what it says."""
    entries = []
    *lines, _torn = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            entries.append((line, _parse(json.loads(line))))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AnexaError(
                f"line {number} of {path} is damaged, or of something else: remove the file to go "
                "on without what it recorded"
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
        if figure is None and field.name not in OPTIONAL:
            figure = math.nan  # what JSON has no number for
        elif not isinstance(figure, int | float | None):
            raise TypeError(field.name)
        figures[field.name] = figure
    return MetricsRecord(**figures)  # type: ignore[arg-type]

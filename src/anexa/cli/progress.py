"""A training as it is seen: live on a terminal, as plain text in a pipe, as JSON by a program."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from anexa.cli.curve import LossCurve
from anexa.errors import AnexaError
from anexa.generation import Sampler, SamplingParams, stream_text
from anexa.model.weights import num_parameters
from anexa.training import StepResult, Trainer

SAMPLE_TOKENS = 100


class ProgressReporter(Protocol):
    """What a training tells about itself."""

    def __enter__(self) -> ProgressReporter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def download(self, done: int, total: int | None) -> None:
        """Bytes of the corpus that have come."""

    def encoding(self, done: int, total: int | None) -> None:
        """Bytes of the corpus that have become tokens."""

    def begin(self, run: Trainer) -> None:
        """The run is about to do its first step."""

    def step(self, run: Trainer, step: StepResult) -> None:
        """A step is done."""

    def end(self, run: Trainer) -> None:
        """The run is finished, or was stopped and saved."""


class PlainText:
    """Lines of text, without colour or movement. See `ProgressReporter` for the methods."""

    _downloaded = False

    def __enter__(self) -> PlainText:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def download(self, done: int, total: int | None) -> None:
        if done == total and not self._downloaded:
            self._downloaded = True
            self._print(f"downloaded {done:,} bytes")

    def encoding(self, done: int, total: int | None) -> None:
        pass

    def begin(self, run: Trainer) -> None:
        for line in opening(run):
            self._print(line)

    def step(self, run: Trainer, step: StepResult) -> None:
        if step.evaluation:
            self._print(evaluated(step))
            self._sample(run)

    def end(self, run: Trainer) -> None:
        for line in closing(run):
            self._print(line)

    def _sample(self, run: Trainer) -> None:
        self._print(f"  {sample(run)!r}")

    def _print(self, text: str) -> None:
        typer.echo(text)


class NullReporter(PlainText):
    """Nothing: another process of the same training speaks."""

    def step(self, run: Trainer, step: StepResult) -> None:
        pass

    def _print(self, text: str) -> None:
        pass


class LiveDisplay(PlainText):
    """Those lines, and below them a curve of the losses and a bar, both of which move."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._curve = LossCurve()
        self._bar = CurveAndBar(
            self._curve,
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            console=self._console,
            refresh_per_second=5,  # drawing takes time from the training
            transient=True,
        )
        self._task: TaskID | None = None
        self._loss = math.nan

    def __enter__(self) -> LiveDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def download(self, done: int, total: int | None) -> None:
        size = f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "")
        self._move(f"downloading {size} MB", done / total if total else None)

    def encoding(self, done: int, total: int | None) -> None:
        self._move(f"encoding {done / 1e6:,.1f} MB", done / total if total else None)

    def step(self, run: Trainer, step: StepResult) -> None:
        # Shown smoothed: single batches differ too much to be read as they fly by.
        weight = 0.05 if math.isfinite(self._loss) else 1.0
        self._loss = step.loss if weight == 1.0 else self._loss + weight * (step.loss - self._loss)
        self._move(
            f"step {step.number:,} · loss {self._loss:.3f} · "
            f"{step.tokens_per_second:,.0f} tokens/s · {_duration(step.seconds_left)} left",
            step.progress,
        )
        self._curve.add(self._loss)
        if step.evaluation:
            self._curve.mark(step.evaluation.validation_loss)
        super().step(run, step)

    def _move(self, description: str, completed: float | None) -> None:
        if self._task is None:
            self._task = self._bar.add_task(description, total=1.0)
        total = None if completed is None else 1.0
        self._bar.update(self._task, description=description, completed=completed or 0, total=total)

    def _sample(self, run: Trainer) -> None:
        self._console.print(Text(sample(run), style="dim"))

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class CurveAndBar(Progress):
    """A progress bar below a curve."""

    def __init__(self, curve: LossCurve, *columns: ProgressColumn, **options: Any) -> None:
        self._curve = curve  # which the bar's own constructor draws
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self._curve
        yield from super().get_renderables()


class JsonLines(PlainText):
    """An object a line: the start, each evaluation, the end."""

    def download(self, done: int, total: int | None) -> None:
        pass

    def begin(self, run: Trainer) -> None:
        self._object(
            event="begin",
            folder=str(run.folder),
            parameters=num_parameters(run.config),
            settings=run.settings.to_json(),
            step=run.history.step,
        )

    def step(self, run: Trainer, step: StepResult) -> None:
        if step.evaluation:
            self._object(
                event="evaluation",
                step=step.number,
                seconds=step.evaluation.seconds,
                tokens=run.history.tokens,
                train_loss=step.evaluation.train_loss,
                validation_loss=step.evaluation.validation_loss,
                sample=sample(run),
            )

    def end(self, run: Trainer) -> None:
        self._object(
            event="end" if run.done else "stopped",
            folder=str(run.folder),
            step=run.history.step,
            seconds=run.history.seconds,
            validation_loss=run.history.evaluations[-1].validation_loss,
        )

    def _object(self, **fields: Any) -> None:
        self._print(json.dumps(fields))


def opening(run: Trainer) -> list[str]:
    """What is about to happen."""
    s, config, machine = run.settings, run.config, run.machine
    schedule = s.schedule
    pauses = schedule.evaluations * run.history.final_eval_seconds
    if run.steps:
        pauses = min(run.steps, schedule.evaluations) * run.history.final_eval_seconds
        seconds = run.step_seconds * run.steps + pauses
        end = f"{run.steps:,} steps, about {_duration(seconds)}"
    else:
        assert schedule.minutes is not None
        seconds = max(0.0, schedule.minutes * 60 - pauses)
        end = f"{schedule.minutes:g} min, about {max(1, round(seconds / run.step_seconds)):,} steps"
    where = f"{machine.device}, {machine.dtype}" + (", compiled" if machine.compiled else "")
    if run.world.size > 1:
        where += f", {run.world.size} processes"
    lines = [
        f"corpus {run.corpus} · {config.model_type} with {num_parameters(config):,} parameters, "
        f"{config.vocab_size:,} symbols, context {config.block_size} · "
        f"{s.device.engine} on {where} · {s.run.batch_size * config.block_size:,} tokens a step · "
        f"{end} · seed {s.run.seed}"
    ]
    if run.resumed:
        lines.append(f"going on after step {run.history.step:,}")
    return lines


def evaluated(step: StepResult) -> str:
    """The losses, and where the run is."""
    e = step.evaluation
    assert e is not None
    assert e.train_loss is not None
    return (
        f"{step.progress:4.0%} · step {e.step:,} · {_duration(e.seconds)} · "
        f"loss {e.train_loss:.4f} · validation {e.validation_loss:.4f} · "
        f"{step.tokens_per_second:,.0f} tokens/s"
    )


def sample(run: Trainer) -> str:
    """What the model writes now, put down in the run's metrics too.

    Nothing if its weights are in parts, in several processes.
    """
    if run.machine.sharded and run.world.size > 1:
        return ""
    sampler = Sampler(SamplingParams(seed=run.settings.run.seed))
    tokens = SAMPLE_TOKENS * (2 if run.prompt else 1)  # thoughts are long
    stream = stream_text(run.engine, run.tokenizer, run.prompt, sampler, max_tokens=tokens)
    try:
        text = "".join(stream).strip()
    except AnexaError:
        return ""  # weights without bounds: the loss of the next step says so, and what to do
    run.metrics.sample(run.history.step, text)
    return text


def closing(run: Trainer) -> list[str]:
    """What came of it, and what to do next."""
    if not run.done:
        again = " (with the same text piped in)" if run.settings.data.corpus == "-" else ""
        return [
            f"stopped after step {run.history.step:,} and saved",
            f"go on:    anexa train --resume {shlex.quote(str(run.folder))}{again}",
        ]
    loss = run.history.evaluations[-1].validation_loss
    return [
        f"done: {run.history.step:,} steps, {run.history.tokens:,} tokens in "
        f"{_duration(run.history.seconds)}, validation loss {loss:.4f}",
        f"talk to it:    anexa chat {shlex.quote(str(run.folder))}",
    ]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02}"

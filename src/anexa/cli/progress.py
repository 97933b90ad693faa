"""Progress of a training run: live on a terminal, plain text in a pipe, or JSON for a program."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from anexa.cli.curve import LossCurve
from anexa.cli.output import echo, escape_controls
from anexa.model.adapters import with_lora_rank
from anexa.model.weights import num_parameters
from anexa.names import counted, encode_name, flag, shell_path
from anexa.training import Callback, StepResult, Trainer
from anexa.training.checkpoint import loss_changes
from anexa.training.opening import resume_command
from anexa.training.sources import losses_by_corpus


class ProgressReporter(Callback):
    """Callback that prints the progress of a run as lines of text; base class of all reporters.

    It is also a context manager, which restores the terminal at its end.
    """

    def __init__(self) -> None:
        self._downloaded = False

    def __enter__(self) -> ProgressReporter:
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the terminal; plain text leaves nothing to restore."""

    def on_download(self, done: int, total: int | None) -> None:
        """Print a line when a corpus download is complete.

        Args:
            done: bytes downloaded so far.
            total: size in bytes; None if it is unknown.
        """
        if done == total and not self._downloaded:
            self._downloaded = True
            self._print(f"downloaded {done:,} bytes")

    def on_encoding(self, done: int, total: int | None) -> None:
        """Show the progress of the tokenization; here it prints nothing.

        Args:
            done: bytes of text encoded so far.
            total: size of the text in bytes; None if it is unknown.
        """

    def on_start(self, trainer: Trainer) -> None:
        """Print the configuration of the run."""
        for line in start_lines(trainer):
            self._print(line)

    def on_step(self, trainer: Trainer, result: StepResult) -> None:  # noqa: ARG002
        """Print the losses and the sample of a step with an evaluation; nothing after others."""
        if result.evaluation:
            self._print(evaluation_line(result))
            self._print_sample(result.sample or "")

    def on_end(self, trainer: Trainer) -> None:
        """Print the result of the run, and the commands that the user may want next."""
        for line in end_lines(trainer):
            self._print(line)

    def _print_sample(self, sample: str) -> None:
        self._print(f"  {sample!r}")

    def _print(self, text: str) -> None:
        echo(text)


class NullReporter(ProgressReporter):
    """Reporter that prints nothing, for all processes of a run but the main one."""

    def _print(self, text: str) -> None:
        pass


class LiveReporter(ProgressReporter):
    """Reporter for a terminal: a loss curve and a progress bar below the lines of text."""

    def __init__(self) -> None:
        super().__init__()
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

    def __enter__(self) -> LiveReporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_download(self, done: int, total: int | None) -> None:
        size = f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "")
        self._move(f"downloading {size} MB", done / total if total else None)

    def on_encoding(self, done: int, total: int | None) -> None:
        self._move(f"encoding {done / 1e6:,.1f} MB", done / total if total else None)

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        # Shown as a moving average: the losses of single batches vary too much to be read.
        weight = 0.05 if math.isfinite(self._loss) else 1.0
        difference = result.loss - self._loss
        self._loss = result.loss if weight == 1.0 else self._loss + weight * difference
        self._move(
            f"step {result.step:,} · loss {self._loss:.3f} · "
            f"{result.tokens_per_second:,.0f} tokens/s · {_duration(result.seconds_left)} left",
            result.progress,
        )
        self._curve.add(self._loss)
        if result.evaluation:
            self._curve.mark(result.evaluation.validation_loss)
        super().on_step(trainer, result)

    def _move(self, description: str, completed: float | None) -> None:
        if self._task is None:
            self._task = self._bar.add_task(description, total=1.0)
        total = None if completed is None else 1.0
        self._bar.update(self._task, description=description, completed=completed or 0, total=total)

    def _print_sample(self, sample: str) -> None:
        self._console.print(Text(escape_controls(sample), style="dim"))

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class CurveAndBar(Progress):
    """A progress bar of `rich` with the loss curve above it.

    Args:
        curve: curve to show.
        columns: columns of the bar, as `Progress` takes them.
        options: other options of `Progress`.
    """

    def __init__(self, curve: LossCurve, *columns: ProgressColumn, **options: Any) -> None:
        self._curve = curve  # set first: the constructor of the bar renders it
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self._curve
        yield from super().get_renderables()


class JsonReporter(ProgressReporter):
    """Reporter that prints one JSON object a line, each with an "event".

    The events are "begin", "evaluation" after each evaluation, and "end", or "stopped" if the run
    has not reached its planned length.
    """

    def on_download(self, done: int, total: int | None) -> None:
        pass

    def on_start(self, trainer: Trainer) -> None:
        self._object(
            event="begin",
            folder=encode_name(str(trainer.folder)),
            parameters=num_parameters(with_lora_rank(trainer.model_config, 0)),
            config=trainer.config.to_json(),
            step=trainer.state.step,
            notes=note_lines(trainer),
        )

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        if result.evaluation:
            self._object(
                event="evaluation",
                step=result.step,
                seconds=result.evaluation.seconds,
                tokens=trainer.state.tokens,
                train_loss=result.evaluation.train_loss,
                validation_loss=result.evaluation.validation_loss,
                general_loss=result.evaluation.general_loss,
                sample=result.sample or "",
            )

    def on_end(self, trainer: Trainer) -> None:
        self._object(
            event="end" if trainer.done else "stopped",
            folder=encode_name(str(trainer.folder)),
            step=trainer.state.step,
            seconds=trainer.state.seconds,
            **dict(zip(("kept_step", "validation_loss"), trainer.state.kept_step_and_loss)),
            losses=[asdict(change) for change in loss_changes(trainer.state, trainer.base)],
            by_corpus=losses_by_corpus(trainer.corpus, trainer.state),
        )

    def _object(self, **fields: Any) -> None:
        self._print(json.dumps(fields))


def start_lines(trainer: Trainer) -> list[str]:
    """Return lines about a run before its first step: corpus, model, device, length, seed.

    The lines of `notes` follow them.
    """
    config, model, device = trainer.config, trainer.model_config, trainer.device_config
    schedule, steps = config.schedule, trainer.clock.steps
    evaluation = trainer.clock.final_eval_seconds
    remaining = 1 - trainer.state.progress  # of the run that is still to come
    if steps:
        pauses = min(steps, schedule.evaluations) * evaluation
        seconds = remaining * (trainer.step_seconds * steps + pauses)
        end = f"{counted(steps, 'step')}, about {_duration(seconds)}"
    else:
        assert schedule.minutes is not None
        seconds = max(0.0, schedule.minutes * 60 - schedule.evaluations * evaluation)
        expected = max(1, round(remaining * seconds / trainer.step_seconds))
        end = f"{schedule.minutes:g} min, about {counted(expected, 'step')}"
    if trainer.resumed:
        end += " more" if steps is None else " left"
    where = f"{device.device}, {device.dtype}" + (", compiled" if device.compile else "")
    if trainer.context.world_size > 1:
        where += f", {trainer.context.world_size} processes"
    context = f"context {model.block_size}"
    if config.model.block_size < model.block_size:
        context += f", sequences of {config.model.block_size}"
    merged = num_parameters(with_lora_rank(model, 0))
    trained = num_parameters(model) - merged
    adapters = f" and {trained:,} in adapters" if trained else ""
    what = "" if trainer.base is None else f"{trainer.base.name}: "
    lines = [
        f"corpus {trainer.corpus.name} · {what}{model.model_type} with {merged:,} "
        f"parameters{adapters}, vocabulary {model.vocab_size:,}, {context} · "
        f"{config.device.engine} on {where} · "
        f"up to {config.run.batch_size * config.model.block_size:,} tokens per step · {end} · "
        f"seed {config.run.seed}"
    ]
    return lines + note_lines(trainer)


def note_lines(trainer: Trainer) -> list[str]:
    """Return notes for the user: on the corpus, a resumed or a lengthened run; empty if none."""
    lines = [f"note: {note}" for note in trainer.notes]
    if trainer.resumed:
        lines.append(f"resuming after step {trainer.state.step:,}")
    if trainer.lengthened:
        option, length = trainer.config.length_option
        lines.append(
            f"lengthened from {flag(option)} {trainer.state.earlier_lengths[-1]} to {length}: "
            f"the {trainer.config.schedule.shape} schedule is that of the whole new length, and "
            f"goes on with a learning rate of {trainer.learning_rate:.2g}"
        )
    return lines


def evaluation_line(result: StepResult) -> str:
    """Format the losses of an evaluation and the progress of the run as one line.

    Args:
        result: result of a step with an evaluation.
    """
    evaluation = result.evaluation
    assert evaluation is not None
    assert evaluation.train_loss is not None
    general = "" if evaluation.general_loss is None else f"general {evaluation.general_loss:.4f} · "
    return (
        f"{result.progress:4.0%} · step {evaluation.step:,} · {_duration(evaluation.seconds)} · "
        f"loss {evaluation.train_loss:.4f} · validation {evaluation.validation_loss:.4f} · "
        f"{general}{result.tokens_per_second:,.0f} tokens/s"
    )


def end_lines(trainer: Trainer) -> list[str]:
    """Return lines about the result of a run, and commands to resume it or to use the model."""
    state, folder = trainer.state, shell_path(trainer.folder)
    step, loss = state.kept_step_and_loss
    if not trainer.done:
        command = resume_command(trainer.folder, trainer.config.data.corpus)
        what = ", where FILE is a file with the same text" if " FILE " in command else ""
        figure = "not evaluated yet" if loss is None else f"validation loss {loss:.4f}"
        return [
            f"the model has the weights of step {step:,}, {figure}",
            f"stopped after step {state.step:,} and saved",
            f"resume it:     {command}{what}",
        ]
    last = state.evaluations[-1]
    kept = f", of the weights of step {step:,}, which are kept" if step != last.step else ""
    return [
        f"done: {counted(state.step, 'step')}, {counted(state.tokens, 'token')} in "
        f"{_duration(state.seconds)}, "
        f"validation loss {loss:.4f}{kept}",
        *loss_change_lines(trainer),
        f"talk to it:    anexa chat {folder}",
        f"look inside:   anexa explore {folder}",
    ]


def loss_change_lines(trainer: Trainer) -> list[str]:
    """Return lines about the losses before and after a run that started from a model.

    With several corpora, the last line has the validation loss of each.

    Returns:
        The lines; empty for a run with one corpus that started from random weights.
    """
    found = loss_changes(trainer.state, trainer.base)
    width = max((len(change.text) for change in found), default=0)
    lines = [f"loss on {change.text:{width}}  {change}" for change in found]
    losses = losses_by_corpus(trainer.corpus, trainer.state)
    by_corpus = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
    return [*lines, *([f"validation loss by corpus: {by_corpus}"] if losses else [])]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02}"

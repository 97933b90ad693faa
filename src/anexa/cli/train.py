"""`anexa train`: a model from a text."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anexa.cli.chat import at_terminal
from anexa.errors import UsageError

if TYPE_CHECKING:
    from anexa.cli.progress import Show
    from anexa.training import Run, Settings


def train(
    corpus: Annotated[
        str | None, typer.Argument(help="A name, a text file, or -. [default: python-docs]")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="The model: anexa, anexa-llama or microgpt. [default: anexa]")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="scalar, lists, numpy, torch or auto. [default: auto]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="End after so many steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.")] = None,
    layout: Annotated[
        Literal["auto", "lines", "text"] | None,
        typer.Option(help="Whether each line is a document. [default: auto]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of first weights and data order. [default: 42]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The model folder to write.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in a folder.")] = None,
    no_chat: Annotated[bool, typer.Option("--no-chat", help="No prompt afterwards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Train a model, in front of your eyes, then talk to it."""
    from anexa.cli.progress import JsonLines, LiveDisplay, PlainText
    from anexa.training import Run, Settings

    show: Show
    if as_json:
        show = JsonLines()
    elif sys.stdout is not None and sys.stdout.isatty():
        show = LiveDisplay()
    else:
        show = PlainText()
    with show:
        asked = {
            "corpus": corpus,
            "layout": layout,
            "preset": preset,
            "engine": engine,
            "steps": steps,
            "minutes": minutes,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        if resume is None:
            settings = Settings.of(**given)
            run = Run.start(settings, out or _free_folder(settings), show.download)
        elif given or out:
            name = next(iter(given), "out")
            option = "corpus" if name == "corpus" else f"--{name.replace('_', '-')}"
            raise UsageError(f"--resume goes on with the run as it was: leave {option} out")
        else:
            run = Run.resume(resume, show.download)
        with _stop_signals(run) as received:
            show.begin(run)
            for step in run:
                show.step(run, step)
        show.end(run)
    if received and not run.done:
        sys.exit(128 + received[0])
    if at_terminal() and not (no_chat or as_json):
        from anexa.cli.chat import Conversation
        from anexa.generation import Sampling

        Conversation(run.engine, run.tokenizer, Sampling(seed=run.settings.seed)).run()


def _free_folder(settings: Settings) -> Path:
    """models/CORPUS, or models/CORPUS-2, … if that is taken."""
    name = "stdin" if settings.corpus == "-" else Path(settings.corpus).stem
    base = Path("models") / (name if settings.preset == "anexa" else f"{name}-{settings.preset}")
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


@contextmanager
def _stop_signals(run: Run) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM end the run in good order; the signals that came."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:  # the second time, do not wait for the step to end
            raise KeyboardInterrupt
        received.append(number)
        run.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

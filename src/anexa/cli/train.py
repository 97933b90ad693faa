"""`anexa train`: a model from a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from typer import Argument, Option

from anexa.cli.prompt_loop import at_terminal
from anexa.errors import UsageError

if TYPE_CHECKING:
    from anexa.cli.progress import ProgressReporter
    from anexa.training import TrainConfig


# What was not given is None, and the preset's to say.
Whole: TypeAlias = int | None
Real: TypeAlias = float | None
Words: TypeAlias = str | None


def train(
    corpus: Annotated[
        Words, Argument(help="A name, a text file, or -. [default: python-docs]")
    ] = None,
    preset: Annotated[
        Words,
        Option(
            help="anexa, anexa-llama, anexa-think, microgpt, gpt2-10m, gpt2-30m or gpt2-124m: the "
            "model, and its own defaults. [default: anexa; for arithmetic anexa-think]",
        ),
    ] = None,
    n_layer: Annotated[Whole, Option(help="Blocks.")] = None,
    n_head: Annotated[Whole, Option(help="Attention heads.")] = None,
    n_embd: Annotated[Whole, Option(help="Width.")] = None,
    block_size: Annotated[Whole, Option(help="Context, in tokens.")] = None,
    tokenizer: Annotated[
        Words,
        Option(help="char; bpe:4096 or another size; or a tokenizer.json. [default: char]"),
    ] = None,
    layout: Annotated[
        Literal["auto", "lines", "text"] | None,
        Option(help="Whether each line is a document. [default: auto]"),
    ] = None,
    steps: Annotated[Whole, Option(help="End after so many steps. [default: 2000]")] = None,
    epochs: Annotated[Real, Option(help="End after so many passes over the text.")] = None,
    minutes: Annotated[Real, Option(help="End after so many minutes.")] = None,
    until_loss: Annotated[
        Real, Option(help="End sooner, at an evaluation with this validation loss.")
    ] = None,
    evaluations: Annotated[
        Whole, Option(help="How many times to evaluate, and save. [default: 10]")
    ] = None,
    batch_size: Annotated[Whole, Option(help="Rows in a step. [default: 8]")] = None,
    batch_tokens: Annotated[Whole, Option(help="The same, in tokens.")] = None,
    micro_batch: Annotated[
        Whole, Option(help="The most rows in memory at once. [default: as many as fit]")
    ] = None,
    optimizer: Annotated[
        Literal["muon", "adamw"] | None,
        Option(help="Muon for the matrices and AdamW for the rest, or AdamW. [default: muon]"),
    ] = None,
    learning_rate: Annotated[Real, Option(help="The highest. [default: 0.008]")] = None,
    schedule: Annotated[
        Literal["linear", "cosine", "wsd"] | None,
        Option(help="How the rate falls; wsd: warm up, stay, decay. [default: linear]"),
    ] = None,
    warmup: Annotated[
        Real, Option(help="The share of the run in which it rises. [default: 0.05, AdamW 0.15]")
    ] = None,
    weight_decay: Annotated[Real, Option(help="Of the matrices. [default: 0]")] = None,
    grad_clip: Annotated[
        Real, Option(help="The longest gradients; 0: without bound. [default: 1]")
    ] = None,
    dropout: Annotated[Real, Option(help="The share of activations left out. [default: 0]")] = None,
    seed: Annotated[
        Whole, Option(help="Of first weights, data order and dropout. [default: 42]")
    ] = None,
    engine: Annotated[
        Words, Option(help="scalar, lists, numpy, torch or auto. [default: auto]")
    ] = None,
    device: Annotated[Words, Option(help="cpu, cuda, cuda:1, mps or auto. [default: auto]")] = None,
    dtype: Annotated[Words, Option(help="float32, bf16, float64 or auto. [default: auto]")] = None,
    compile: Annotated[  # noqa: A002 (the option is named after PyTorch's own)
        bool | None,
        Option("--compile/--no-compile", help="PyTorch's compiler. [default: where it helps]"),
    ] = None,
    shard: Annotated[
        bool | None,
        Option("--shard/--no-shard", help="Under torchrun, a part of the model to each process."),
    ] = None,
    out: Annotated[Path | None, Option(help="The model folder to write.")] = None,
    resume: Annotated[Path | None, Option(help="Go on with the run in a folder.")] = None,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Write events for TensorBoard too.")
    ] = False,
    no_chat: Annotated[bool, Option("--no-chat", help="No prompt afterwards.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Train a model, in front of your eyes, then talk to it."""
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "resume", "tensorboard", "no_chat", "as_json"):
        given.pop(name, None)
    from anexa.cli.progress import JsonLines, LiveDisplay, NullReporter, PlainText
    from anexa.cli.signals import stop_signals
    from anexa.training import (
        RunOptions,
        TrainConfig,
        Trainer,
        is_of_launch,
        join,
        leave,
        read_config,
    )

    if resume is None:
        world = join(engine or "auto", device or "auto")
    elif out:
        raise UsageError("--resume goes on in the folder it names: leave --out out")
    else:
        saved = read_config(resume)
        world = join(saved.device.engine, device or saved.device.device)
    show: ProgressReporter
    if not world.is_main_process:
        show = NullReporter()
    elif as_json:
        show = JsonLines()
    elif sys.stdout is not None and sys.stdout.isatty():
        show = LiveDisplay()
    else:
        show = PlainText()
    with show:
        around = RunOptions(world, tensorboard, True, show.download, show.encoding)
        if resume:
            run = Trainer.resume(resume, given, around)
        else:
            settings = TrainConfig.from_options(**given)
            folder = out or _free_folder(settings, world.launch)
            if is_of_launch(folder, world.launch):  # a process had died, and all began again
                run = Trainer.resume(folder, around=around)
            else:
                world.barrier()  # no process looks for a free folder when another has taken it
                run = Trainer.start(settings, folder, around)
        with stop_signals(run) as received:
            show.begin(run)
            for step in run:
                show.step(run, step)
        show.end(run)
    stopped = received and not run.done
    if world.size > 1:
        del run  # what others have a part in goes before they part
        leave()
    if stopped:
        sys.exit(128 + received[0])
    if at_terminal() and world.size == 1 and not (no_chat or as_json):
        from anexa.cli.chat import talk
        from anexa.generation import LanguageModel

        model = LanguageModel.open(run.folder, run.engine.name)
        talk(model, model.sampling(seed=run.settings.run.seed))


def _free_folder(settings: TrainConfig, launch: str) -> Path:
    """models/CORPUS, or models/CORPUS-2, … if that is taken, but not by this launch itself."""
    from anexa.training import is_of_launch
    from anexa.training.presets import usual_preset

    name = "stdin" if settings.data.corpus == "-" else Path(settings.data.corpus).stem
    usual = settings.preset == usual_preset(settings.data.corpus)
    base = Path("models") / (name if usual else f"{name}-{settings.preset}")
    folder, number = base, 1
    while folder.exists() and not is_of_launch(folder, launch):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder

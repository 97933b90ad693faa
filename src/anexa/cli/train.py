"""`anexa train`: a model from a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from anexa.cli.options import with_config_options
from anexa.cli.prompt_loop import at_terminal
from anexa.errors import UsageError

if TYPE_CHECKING:
    from anexa.cli.progress import ProgressReporter
    from anexa.training import TrainConfig


@with_config_options
def train(
    *,
    batch_tokens: Annotated[
        int | None,
        Option(help="Number of tokens in an optimizer step, instead of --batch-size."),
    ] = None,
    config: Annotated[
        Path | None,
        Option(
            help="TOML file with values of options, as each run writes one to "
            "training/config.toml in its folder. Options given too go before it."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(help="Model folder to write; must not exist. [default: models/CORPUS]"),
    ] = None,
    resume: Annotated[
        Path | None, Option(help="Resume the run in this model folder from its last checkpoint.")
    ] = None,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Write events for TensorBoard to training/, too.")
    ] = False,
    no_chat: Annotated[
        bool, Option("--no-chat", help="Do not open a chat with the model when it is trained.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print progress as JSON, an object a line.")
    ] = False,
    **given: Any,
) -> None:
    """Train a model on a text, showing its progress, then chat with it."""
    options = {"batch_tokens": batch_tokens, **given}
    options = {name: value for name, value in options.items() if value is not None}
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
    from anexa.training.config_file import read_options

    if config:
        options = read_options(config, options)
    if resume is None:
        world = join(options.get("engine", "auto"), options.get("device", "auto"))
    elif out:
        raise UsageError("--resume goes on in the folder it names: leave --out out")
    else:
        saved = read_config(resume)
        world = join(saved.device.engine, options.get("device", saved.device.device))
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
            run = Trainer.resume(resume, options, around)
        else:
            settings = TrainConfig.from_options(**options)
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

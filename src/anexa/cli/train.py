"""`anexa train`: a model from a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from anexa.cli.options import with_config_options
from anexa.cli.prompt_loop import is_interactive
from anexa.errors import UsageError


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
            "training/config.toml in its folder. Options on the command line take precedence."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            help="Model folder to write; must not exist. [default: models/CORPUS, or "
            "models/CORPUS-2 and so on]"
        ),
    ] = None,
    resume: Annotated[
        Path | None, Option(help="Resume the run in this model folder from its last checkpoint.")
    ] = None,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Write events for TensorBoard to training/, too.")
    ] = False,
    keep_steps: Annotated[
        str | None,
        Option(
            metavar="SIZE",
            help="Keep the history of the run, from which any step can be repeated and looked at: "
            "a line of about 130 bytes for each step, and copies of the weights and of the "
            "optimizer's moments that take at most this size on the disk, such as 200MB; 0: none. "
            "[default: of a resumed run, as before; else 16MB for models of at most 10,000 "
            "parameters, none for larger ones]",
        ),
    ] = None,
    no_chat: Annotated[
        bool, Option("--no-chat", help="Do not open a chat with the model when it is trained.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print progress as JSON, an object a line.")
    ] = False,
    **overrides: Any,
) -> None:
    """Train a model on a text, showing its progress, then chat with it."""
    options = {"batch_tokens": batch_tokens, **overrides}
    options = {name: value for name, value in options.items() if value not in (None, [])}
    from anexa.cli.progress import JsonReporter, LiveReporter, NullReporter, ProgressReporter
    from anexa.cli.signals import stop_on_signals
    from anexa.training import (
        LossPlotCallback,
        RunOptions,
        SampleCallback,
        TrainConfig,
        build_or_restart,
        destroy_distributed,
        init_distributed,
        peer_errors,
        read_train_config,
        resume_trainer,
    )
    from anexa.training.config_file import read_options
    from anexa.training.recording import parse_size

    budget = None if keep_steps is None else parse_size(keep_steps)
    if config:
        options = read_options(config, options)
    if resume and out:
        raise UsageError("--resume writes to the folder of the run: leave out --out")
    asked = read_train_config(resume).device if resume else None
    context = init_distributed(
        asked.engine if asked else options.get("engine", "auto"),
        options.get("device", asked.device if asked else "auto"),
    )
    reporter: ProgressReporter
    if not context.is_main_process:
        reporter = NullReporter()
    elif as_json:
        reporter = JsonReporter()
    elif sys.stdout is not None and sys.stdout.isatty():
        reporter = LiveReporter()
    else:
        reporter = ProgressReporter()
    with reporter, peer_errors(context):
        run_options = RunOptions(
            context, tensorboard, budget, reporter.on_download, reporter.on_encoding
        )
        if resume:
            trainer = resume_trainer(resume, options, run_options)
        else:
            trainer = build_or_restart(TrainConfig.from_options(**options), out, run_options)
        with stop_on_signals(trainer) as received:
            trainer.fit([SampleCallback(), LossPlotCallback(), reporter])
    stopped = received and not trainer.done
    folder, engine, seed = trainer.folder, trainer.engine.name, trainer.config.run.seed
    if context.world_size > 1:
        del trainer  # drop all shared objects before the process group is destroyed
        destroy_distributed()
    if stopped:
        sys.exit(128 + received[0])
    if is_interactive() and context.world_size == 1 and not (no_chat or as_json):
        from anexa.cli.chat import run_prompt_loop
        from anexa.generation import LanguageModel

        model = LanguageModel.open(folder, engine)
        run_prompt_loop(model, model.sampling_params(seed=seed))

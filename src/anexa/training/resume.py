"""Construction of a `Trainer` for a run that is resumed from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError
from anexa.model.adapters import with_lora_rank
from anexa.model.loading import load_model
from anexa.model.model import validate_weights
from anexa.names import flag
from anexa.output_paths import numbered_path
from anexa.training.build import (
    DEFAULT_OPTIONS,
    RunOptions,
    assemble_trainer,
    build_trainer,
    default_folder,
)
from anexa.training.checkpoint import CHECKPOINT_PATH, is_of_launch, read_checkpoint
from anexa.training.checks import check_moments, check_same_tokenizer, check_train_config
from anexa.training.config import TrainConfig
from anexa.training.freeze import run_optimizer_config
from anexa.training.general import reopen_general_text
from anexa.training.history import read_budget
from anexa.training.lock import check_not_training
from anexa.training.opening import reopen_corpus, replace_corpora, resume_command
from anexa.training.tokenizers import absolute_tokenizer_spec
from anexa.training.trainer import Trainer


def resume_trainer(
    folder: Path,
    overrides: Mapping[str, Any] | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
) -> Trainer:
    """Resume a run from its last checkpoint. Nothing is written to its folder yet.

    Args:
        folder: model folder of the run.
        overrides: options of `anexa train` by name that the user gives again. They must equal those
            of the run, but for those in `anexa.training.config.CHANGEABLE_OPTIONS`; the length of a
            finished run (`steps`, for example), which may grow; and the path of the corpus, as the
            text may have been moved.
        options: options that do not change the results.

    Returns:
        The trainer of the run, before its next step.

    Raises:
        AnexaError: if there is no checkpoint, the run is still running, it is finished and not
            lengthened, or the corpus or the tokenizer has changed.
        UsageError: if an option differs from the run's.
    """
    check_not_training(folder)
    checkpoint = read_checkpoint(folder)
    asked = dict(overrides or {})
    corpora = asked.pop("corpus", None)
    asked |= _stored_paths(asked, checkpoint.config)
    state, finished = checkpoint.state, checkpoint.state.progress >= 1
    config = checkpoint.config.for_resume(asked, lengthen=finished)
    if finished:
        option, length = checkpoint.config.length_option
        if config.length_option[1] <= length:
            command = resume_command(folder, config.data.corpus)
            raise AnexaError(
                f"the training in {folder} is finished after {flag(option)} {length}: lengthen "
                f"it with {command} {flag(option)} {2 * length}"
            )
        state.earlier_lengths.append(length)
    model = load_model(folder)
    check_train_config(config, model.config, options.context, options.tensorboard)
    if options.history_budget is None:
        options = replace(options, history_budget=read_budget(folder))
    corpus = reopen_corpus(
        config.data, corpora, checkpoint.corpus_sha256, folder, options.on_download
    )
    config = config.replace(corpus=replace_corpora(config.data, corpora).corpus)
    trained = with_lora_rank(model.config, config.finetune.lora)
    weights = validate_weights(checkpoint.weights, trained, folder / CHECKPOINT_PATH)
    check_same_tokenizer(checkpoint, model.tokenizer, folder)
    model, base = replace(model, config=trained, weights=weights), checkpoint.base
    if base is not None:
        corpus = corpus.for_model(model.tokenizer, model.chat_template)
    general = None if base is None else reopen_general_text(base, model, config.model.block_size)
    trainer = assemble_trainer(config, folder, corpus, model, state, options, base, general)
    trainer.resumed = True
    if finished:  # the schedule is that of a run which had the new length from the start
        state.progress = trainer.clock.progress(state.step)
        trainer.lengthened = True
    if state.step:  # there are no moments before the first step
        shapes = run_optimizer_config(config, trained).state_shapes(trained)
        check_moments(checkpoint, shapes, folder)
        trainer.engine.load_optimizer_state(checkpoint.moments, state.step)
    return trainer


def _stored_paths(asked: Mapping[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Return the paths of tokenizer and model that are given again, as the run has written them.

    A path that is written in another way may lead to the same file.

    Args:
        asked: options that the user gives again.
        config: configuration of the run.

    Returns:
        `tokenizer` and `from_`, if they are in `asked`.
    """
    paths = {}
    if "tokenizer" in asked:
        paths["tokenizer"] = absolute_tokenizer_spec(asked["tokenizer"])
    if "from_" in asked:
        paths["from_"] = str(Path(asked["from_"]).absolute())
    for name in paths:
        stored = config.options()[name]
        is_path = stored is not None and Path(stored).is_absolute()
        if is_path and Path(paths[name]).resolve() == Path(stored).resolve():
            paths[name] = stored  # the same file, written otherwise
    return paths


def build_or_restart(
    config: TrainConfig, out: Path | None, options: RunOptions = DEFAULT_OPTIONS
) -> Trainer:
    """Build a new run, or resume it if `torchrun` has restarted its processes.

    Every process of the run must call it.

    Args:
        config: configuration of the run.
        out: path of the new model folder; None: `default_folder`, with a number if it exists.
        options: options that do not change the results.

    Returns:
        The trainer of the run, before its next step.

    Raises:
        AnexaError: if the corpus, the tokenizer or the folder cannot be used, or the run cannot be
            resumed: see `resume_trainer`.
        UsageError: if the configuration cannot be used on this machine.
    """
    launch = options.context.launch
    folder, number = out or default_folder(config), 1
    while launch and folder.exists():
        if is_of_launch(folder, launch):
            return resume_trainer(folder, options=options)
        if out:
            break
        number += 1
        folder = numbered_path(default_folder(config), number)
    options.context.barrier()  # every process has looked before one of them creates the folder
    return build_trainer(config, out, options)

"""Construction of a `Trainer`, for a new run or for one resumed from its checkpoint."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anexa.data import Progress, corpus_source
from anexa.data.batches import Dataset
from anexa.engines import open_engine, select_device
from anexa.errors import AnexaError
from anexa.files import atomic_folder, check_output
from anexa.model.config import ModelConfig
from anexa.model.folder import write_model
from anexa.model.loading import load_model
from anexa.model.model import Model, validate_weights
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import initial_weights
from anexa.names import shell_word
from anexa.training.callbacks import CheckpointCallback, MetricsCallback, card_of
from anexa.training.checkpoint import (
    CHECKPOINT,
    TrainerState,
    is_of_launch,
    read_checkpoint,
    write_checkpoint,
)
from anexa.training.checks import (
    check_moments,
    check_possible,
    check_same_tokenizer,
    device_request,
)
from anexa.training.config import TrainConfig, flag
from anexa.training.corpus import (
    Corpus,
    check_tokenizer,
    check_unchanged,
    open_corpus,
    tokenizer_notes,
)
from anexa.training.distributed import DistributedContext
from anexa.training.presets import usual_preset
from anexa.training.schedule import Clock
from anexa.training.trainer import Trainer


@dataclass(frozen=True)
class RunOptions:
    """Options that do not change the results of a run, so they are not in its checkpoint.

    Attributes:
        context: rank, world size and device of this process.
        tensorboard: whether to write events for TensorBoard.
        download: progress callback of a corpus download: `(bytes_done, bytes_total)`.
        encoding: progress callback of the tokenization: `(bytes_done, bytes_total)`.
    """

    context: DistributedContext = field(default_factory=DistributedContext)
    tensorboard: bool = False
    download: Progress | None = None
    encoding: Progress | None = None


def build_trainer(config: TrainConfig, folder: Path, options: RunOptions = RunOptions()) -> Trainer:
    """Build a new run, and write its model folder: initial weights, first checkpoint and card.

    Args:
        config: configuration of the run.
        folder: model folder to write, which must not exist.
        options: options that do not change the results.

    Raises:
        AnexaError: if the corpus, the tokenizer or the folder cannot be used.
        UsageError: if the configuration cannot be used on this machine.
    """
    if folder.exists():
        resume = f", or resume its run with --resume {shell_word(str(folder))}"
        raise AnexaError(
            f"{folder} exists already: choose another folder with --out"
            f"{resume if (folder / CHECKPOINT).exists() else ''}"
        )
    check_output(folder, folder=True)
    check_possible(config, options.context, options.tensorboard)
    check_tokenizer(config.data.tokenizer)
    corpus = open_corpus(config.data.corpus, config.data.layout, options.download)
    return build_from_corpus(config, folder, corpus, options)


def build_from_corpus(
    config: TrainConfig, folder: Path, corpus: Corpus, options: RunOptions = RunOptions()
) -> Trainer:
    """Build a new run on an opened corpus; otherwise like `build_trainer`."""
    tokenizer = corpus.tokenizer(config.data.tokenizer)
    model_config = config.model.to_config(tokenizer.vocab_size)
    model = Model(
        model_config,
        initial_weights(model_config, random.Random(config.run.seed)),
        tokenizer,
        corpus.chat_template,
        corpus.temperature,
        corpus.max_new_tokens,
    )
    trainer = _assemble(
        config, folder, corpus, corpus_source(config.data.corpus), model, TrainerState(), options
    )
    trainer.evaluate()
    checkpoint = trainer.checkpoint()
    if options.context.is_main_process:
        with atomic_folder(folder) as unfinished:
            (unfinished / CHECKPOINT).parent.mkdir()
            write_checkpoint(unfinished, checkpoint)
            write_model(unfinished, model, card_of(trainer))
    options.context.barrier()
    return trainer


def resume_trainer(
    folder: Path,
    given: Mapping[str, Any] | None = None,
    options: RunOptions = RunOptions(),
) -> Trainer:
    """Restore a run from its last checkpoint.

    Args:
        folder: model folder of the run.
        given: options that the user has given again; they must equal those of the run, except
            for `anexa.training.config.CHANGEABLE`, and a larger length of a finished run.
        options: options that change no number.

    Raises:
        AnexaError: if there is no checkpoint, the run is finished and not lengthened, or the
            corpus or the tokenizer has changed.
        UsageError: if an option differs from the run's.
    """
    checkpoint = read_checkpoint(folder)
    asked = dict(given or {})
    if corpus_source(str(asked.get("corpus"))) == checkpoint.corpus:
        del asked["corpus"]
    state, finished = checkpoint.state, checkpoint.state.progress >= 1
    config = checkpoint.config.for_resume(asked, lengthen=finished)
    if finished:
        option, length = checkpoint.config.length
        if config.length[1] <= length:
            raise AnexaError(
                f"the training in {folder} is finished after {flag(option)} {length}: lengthen "
                f"it with anexa train --resume {shell_word(str(folder))} {flag(option)} "
                f"{2 * length}"
            )
        state.earlier_lengths.append(length)
    check_possible(config, options.context, options.tensorboard)
    corpus = open_corpus(checkpoint.corpus, config.data.layout, options.download)
    check_unchanged(corpus, checkpoint.corpus_sha256)
    model = load_model(folder)
    weights = validate_weights(checkpoint.weights, model.config, folder / CHECKPOINT)
    check_same_tokenizer(checkpoint, model.tokenizer, folder)
    trainer = _assemble(
        config, folder, corpus, checkpoint.corpus, replace(model, weights=weights), state, options
    )
    trainer.resumed = True
    if finished:  # the schedule is that of a run which had the new length from the start
        state.progress = trainer.clock.progress(state.step)
        trainer.lengthened = True
    if state.step:  # there are no moments before the first step
        check_moments(checkpoint, config.optimizer.state_shapes(model.config), folder)
        trainer.engine.resume(checkpoint.moments, state.step)
    return trainer


def build_or_restart(
    config: TrainConfig, out: Path | None, options: RunOptions = RunOptions()
) -> Trainer:
    """Build a new run, or resume it if `torchrun` has restarted its processes.

    Args:
        config: configuration of the run.
        out: model folder to write; default: `free_folder`.
        options: options that do not change the results.

    Raises:
        AnexaError: if the corpus or the folder cannot be used.
        UsageError: if the configuration cannot be used on this machine.
    """
    launch = options.context.launch
    folder = out or free_folder(config, launch)
    if is_of_launch(folder, launch):
        return resume_trainer(folder, options=options)
    options.context.barrier()  # every process has chosen the folder before one of them creates it
    return build_trainer(config, folder, options)


def free_folder(config: TrainConfig, launch: str = "") -> Path:
    """Choose the folder of a new run: models/CORPUS, or models/CORPUS-2 and so on if it exists.

    Args:
        config: configuration of the run; a preset other than the corpus's own is in the name.
        launch: `DistributedContext.launch`; the folder of this launch counts as free.
    """
    name = "stdin" if config.data.corpus == "-" else Path(config.data.corpus).stem
    usual = config.preset == usual_preset(config.data.corpus)
    base = Path("models") / (name if usual else f"{name}-{config.preset}")
    folder, number = base, 1
    while folder.exists() and not is_of_launch(folder, launch):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _assemble(
    config: TrainConfig,
    folder: Path,
    corpus: Corpus,
    source: str,
    model: Model,
    state: TrainerState,
    options: RunOptions,
) -> Trainer:
    """Choose the device, encode the corpus and open the engine."""
    device_config = select_device(
        config.device.engine, model.config, device_request(config, options.context)
    )
    # The checkpoint has the resolved precision, so a resumed run keeps it on any machine.
    config = config.replace(dtype=device_config.dtype, compile=bool(device_config.compile))
    notes = corpus.notes + tokenizer_notes(corpus, config.data, model.tokenizer)
    training, validation = _datasets(corpus, model.tokenizer, model.config, config, options)
    steps = config.schedule.steps
    if config.schedule.epochs is not None:
        sequences = config.schedule.epochs * training.per_epoch
        steps = math.ceil(sequences / config.run.batch_size)
    return Trainer(
        config=config,
        folder=folder,
        corpus=corpus,
        source=source,
        model=model,
        engine=open_engine(
            config.device.engine,
            model.config,
            model.weights,
            device_config=device_config,
            optimizer=config.optimizer,
            seed=config.run.seed,
        ),
        device_config=device_config,
        training=training,
        validation=validation,
        notes=(*notes, *training.notes, *validation.notes),
        state=state,
        clock=Clock.from_state(state, steps, config.schedule.minutes, bool(device_config.compile)),
        context=options.context,
        callbacks=(MetricsCallback(options.tensorboard), CheckpointCallback()),
    )


def _datasets(
    corpus: Corpus,
    tokenizer: Tokenizer,
    model_config: ModelConfig,
    config: TrainConfig,
    options: RunOptions,
) -> tuple[Dataset, Dataset]:
    """Encode the corpus, first in the main process: the others then read the cached tokens."""
    context = options.context
    if not context.is_main_process:
        context.barrier()
    datasets = corpus.datasets(
        tokenizer, model_config.block_size, config.run.seed, options.encoding
    )
    if context.is_main_process:
        context.barrier()
    return datasets

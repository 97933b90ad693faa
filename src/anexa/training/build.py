"""Construction of a `Trainer` for a new run."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from anexa.data import Progress
from anexa.data.batches import Dataset
from anexa.data.splitting import dataset_notes
from anexa.engines import DeviceConfig, Engine, open_engine, select_device
from anexa.engines.device import physical_memory
from anexa.errors import AnexaError, UsageError
from anexa.files import write_folder
from anexa.model.adapters import add_adapters, with_lora_rank
from anexa.model.config import ModelConfig
from anexa.model.folder import write_model
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weights, initial_weights, num_parameters
from anexa.names import shell_path
from anexa.output_paths import check_output, free_path, numbered_path
from anexa.training.base import describe_base, load_base, model_config_of, public_name
from anexa.training.callbacks import CheckpointCallback, MetricsCallback, card_of, save_adapter
from anexa.training.checkpoint import (
    CHECKPOINT_PATH,
    BaseModel,
    TrainerState,
    write_checkpoint,
)
from anexa.training.checks import (
    check_train_config,
    requested_device,
)
from anexa.training.config import TrainConfig
from anexa.training.corpus import Corpus, tokenizer_notes
from anexa.training.distributed import DistributedContext
from anexa.training.freeze import run_optimizer_config
from anexa.training.general import GeneralText, choose_general_text
from anexa.training.opening import open_corpora
from anexa.training.presets import choose_preset
from anexa.training.recording import make_history_callbacks
from anexa.training.schedule import Clock
from anexa.training.sources import source_records, write_sources
from anexa.training.specs import absolute_corpora, parse_specs
from anexa.training.tokenizers import absolute_tokenizer_spec, check_tokenizer_spec
from anexa.training.trainer import Trainer


@dataclass(frozen=True)
class RunOptions:
    """Options that do not change the results of a run, so they are not in its checkpoint.

    Attributes:
        context: rank, world size and device of this process.
        tensorboard: whether to write events for TensorBoard.
        history_budget: maximum size of the key frames of the run's history, in bytes; 0: no
            history; None: as before for a resumed run, else a small history for a small model
            (`make_history_callbacks`).
        on_download: progress callback of a corpus download: `(bytes_done, bytes_total)`.
        on_encoding: progress callback of the tokenization: `(bytes_done, bytes_total)`.
        timer: function that returns the time in seconds, from any origin, by which the run measures
            its time; default: the wall clock.
    """

    context: DistributedContext = field(default_factory=DistributedContext)
    tensorboard: bool = False
    history_budget: int | None = None
    on_download: Progress | None = None
    on_encoding: Progress | None = None
    timer: Callable[[], float] = time.perf_counter


DEFAULT_OPTIONS = RunOptions()  # one process, and no progress callbacks


def build_trainer(
    config: TrainConfig, folder: Path | None = None, options: RunOptions = DEFAULT_OPTIONS
) -> Trainer:
    """Build a new run, and write its folder: initial weights, first checkpoint and card.

    It downloads and encodes the corpus, and evaluates the initial weights. In a distributed run,
    every process must call it; only the main process writes the folder.

    Args:
        config: configuration of the run.
        folder: path of the new model folder, which must not exist; default: `default_folder`, with
            a number if it exists when the run is built.
        options: options that do not change the results.

    Returns:
        The run, before its first step.

    Raises:
        AnexaError: if the corpus, the tokenizer or the folder cannot be used.
        UsageError: if the configuration cannot be used on this machine.
    """
    if folder and folder.exists():
        resume = f", or resume its run with --resume {shell_path(folder)}"
        raise AnexaError(
            f"{folder} exists already: choose another folder with --out"
            f"{resume if (folder / CHECKPOINT_PATH).exists() else ''}"
        )
    check_output(folder or free_path(default_folder(config)), folder=True)
    check_train_config(config, model_config_of(config), options.context, options.tensorboard)
    check_tokenizer_spec(config.data.tokenizer)
    corpus = open_corpora(config.data, options.on_download)
    return build_from_corpus(config, folder, corpus, options)


def build_from_corpus(
    config: TrainConfig, folder: Path | None, corpus: Corpus, options: RunOptions = DEFAULT_OPTIONS
) -> Trainer:
    """Build a new run on an opened corpus, and write its folder, as `build_trainer` does.

    Args:
        config: configuration of the run.
        folder: path of the new model folder, which must not exist; None: `default_folder`, with a
            number if it exists.
        corpus: corpus of the run.
        options: options that do not change the results.

    Returns:
        The run, before its first step.

    Raises:
        AnexaError: if the corpus, the tokenizer or the folder cannot be used.
        UsageError: if the configuration cannot be used on this machine.
    """
    base, general = None, None
    if config.finetune.from_ is None:
        model = initial_model(config, corpus)
    else:
        path = Path(config.finetune.from_)
        model = load_base(path)
        corpus = corpus.for_model(model.tokenizer, model.chat_template)
        # A model without a chat template gets that of a corpus of conversations.
        model = replace(model, chat_template=model.chat_template or corpus.chat_template)
        corpora = [record.name for record in source_records(corpus)]
        general = choose_general_text(model, config.model.block_size, corpora)
        base = describe_base(path, general)
        if config.finetune.lora:
            model = with_adapters(model, config)
    name = folder or default_folder(config)
    # Absolute, so that the configuration is valid from any working directory.
    config = config.replace(
        corpus=absolute_corpora(config.data.corpus),
        tokenizer=absolute_tokenizer_spec(config.data.tokenizer),
    )
    trainer = assemble_trainer(config, name, corpus, model, TrainerState(), options, base, general)
    trainer.evaluate()
    checkpoint = trainer.checkpoint()

    def write(unfinished: Path) -> None:
        (unfinished / CHECKPOINT_PATH).parent.mkdir()
        write_checkpoint(unfinished, checkpoint)
        write_sources(unfinished, corpus)
        save_adapter(trainer, unfinished, checkpoint.weights)
        write_model(unfinished, trainer.merged(checkpoint.weights), card_of(trainer))

    is_main = options.context.is_main_process
    number = write_folder(name, write, numbered=folder is None) if is_main else 1
    # The other processes wait for the folder, whose name the main process has settled.
    trainer.folder = numbered_path(name, int(options.context.broadcast(number)[0]))
    return trainer


def with_adapters(model: Model, config: TrainConfig) -> Model:
    """Return a copy of a model with newly initialized adapters, of the rank that a run trains.

    Args:
        model: model that the run starts from.
        config: configuration of the run.
    """
    adapted = with_lora_rank(model.config, config.finetune.lora)
    rng = random.Random(config.run.seed)
    return replace(model, config=adapted, weights=add_adapters(model.weights, adapted, rng))


def initial_model(config: TrainConfig, corpus: Corpus) -> Model:
    """Create the model of a run that starts from none, with random weights.

    Args:
        config: configuration of the run.
        corpus: corpus of the run, for which a tokenizer is made.

    Raises:
        AnexaError: if the tokenizer cannot be made, no model can have the sizes, or the weights
            need more memory than the machine has.
        UsageError: if the vocabulary size of the tokenizer is out of range.
    """
    tokenizer = corpus.make_tokenizer(config.data.tokenizer)
    model_config = config.model.to_config(tokenizer.vocab_size)
    count, memory = num_parameters(model_config), physical_memory()
    if memory is not None and 8 * count > memory:  # as `initial_weights` draws them
        raise AnexaError(
            f"a model with {count:,} parameters does not fit into the {memory / 1e9:,.0f} GB of "
            "memory of this machine: choose a smaller --n-embd, --n-layer or --block-size"
        )
    return Model(
        model_config,
        initial_weights(model_config, random.Random(config.run.seed)),
        tokenizer,
        corpus.chat_template,
        corpus.temperature,
        corpus.max_new_tokens,
    )


def default_folder(config: TrainConfig) -> Path:
    """Return the default path of the model folder of a new run.

    It is models/CORPUS, or models/CORPUS-PRESET if the preset is not the usual one of the corpus;
    models/MODEL-CORPUS if the run starts from a model. With several corpora, CORPUS has the names
    of the first two, with a hyphen between them.

    Raises:
        UsageError: if the corpora are not valid: see `parse_specs`.
    """
    name = "-".join(spec.stem for spec in parse_specs(config.data.corpus)[:2])
    base = config.finetune.from_
    if base is not None:
        return Path("models") / f"{public_name(Path(base)).rpartition('/')[2]}-{name}"
    as_text = config.data.layout != "auto" or bool(config.data.field)
    usual = config.preset == choose_preset(config.data.corpus, as_text=as_text)
    return Path("models") / (name if usual else f"{name}-{config.preset}")


def assemble_trainer(
    config: TrainConfig,
    folder: Path,
    corpus: Corpus,
    model: Model,
    state: TrainerState,
    options: RunOptions,
    base: BaseModel | None,
    general: GeneralText | None,
) -> Trainer:
    """Build the trainer from its parts: choose the device, encode the corpus, open the engine.

    Args:
        config: configuration of the run.
        folder: path of the model folder; nothing is written to it here.
        corpus: corpus of the run.
        model: configuration, tokenizer and current weights of the model, with its adapters.
        state: progress and losses of the run so far; the trainer changes it in place.
        options: options that do not change the results.
        base: record of the model that the run started from; None: it started from random weights.
        general: text on which forgetting is measured; None: none.

    Returns:
        The trainer, whose optimizer has no moments yet.

    Raises:
        AnexaError: if the corpus cannot be encoded or split.
        UsageError: if the configuration cannot be used on this machine, or `options` keeps the
            steps of a run with adapters.
    """
    device_config = select_device(
        config.device.engine, model.config, requested_device(config, options.context)
    )
    # The checkpoint has the resolved precision, so a resumed run keeps it on any machine.
    config = config.replace(dtype=device_config.dtype, compile=bool(device_config.compile))
    notes = corpus.notes + tokenizer_notes(corpus, config.data, model.tokenizer)
    if base is not None and general is None:
        notes += (
            "no general text suits this model, or it is trained on, so what the model forgets is "
            "not measured",
        )
    training, validation = _datasets(corpus, model.tokenizer, config, options)
    steps = config.schedule.steps
    if config.schedule.epochs is not None:
        sequences = config.schedule.epochs * training.sequences_per_epoch
        steps = math.ceil(sequences / config.run.batch_size)
    engine = open_run_engine(config, model.config, model.weights, device_config)
    optimizer = run_optimizer_config(config, model.config)
    if config.finetune.lora and options.history_budget:
        raise UsageError("--keep-steps keeps no steps of adapters (--lora): leave it out")
    budget = 0 if config.finetune.lora else options.history_budget
    history = make_history_callbacks(model.config, optimizer, engine.dtype, budget)
    return Trainer(
        config=config,
        folder=folder,
        corpus=corpus,
        model=model,
        engine=engine,
        device_config=device_config,
        training=training,
        validation=validation,
        base=base,
        general=general,
        notes=(*notes, *dataset_notes(training, validation)),
        state=state,
        clock=Clock.from_state(
            state, steps, config.schedule.minutes, bool(device_config.compile), options.timer
        ),
        context=options.context,
        callbacks=(MetricsCallback(options.tensorboard), *history, CheckpointCallback()),
    )


def open_run_engine(
    config: TrainConfig, model_config: ModelConfig, weights: Weights, device_config: DeviceConfig
) -> Engine:
    """Open the engine of a run, with the run's optimizer and seed.

    Args:
        config: configuration of the run.
        model_config: configuration of the model.
        weights: weights by name.
        device_config: device and precision, as `select_device` returns them.

    Returns:
        The engine, with no moments yet.

    Raises:
        UsageError: if the run's `freeze` does not suit the model, or the engine has no dropout but
            the run asks for it.
        AnexaError: if the library of the engine is not installed.
        MemoryError: if the memory is too small.
    """
    return open_engine(
        config.device.engine,
        model_config,
        weights,
        device_config=device_config,
        optimizer=run_optimizer_config(config, model_config),
        seed=config.run.seed,
    )


def _datasets(
    corpus: Corpus,
    tokenizer: Tokenizer,
    config: TrainConfig,
    options: RunOptions,
) -> tuple[Dataset, Dataset]:
    """Encode the corpus, and split it into a training and a validation dataset.

    The main process does so first; the others then read the cached tokens.
    """
    context = options.context
    if not context.is_main_process:
        context.barrier()
    datasets = corpus.make_datasets(
        tokenizer, config.model.block_size, config.run.seed, options.on_encoding
    )
    if context.is_main_process:
        context.barrier()
    return datasets

"""Checkpoints: weights, optimizer state, progress and configuration of a run, in one file.

Weights that the run does not train (`--lora`, `--freeze`) are in a second file, written once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, UsageError, one_line, short_repr
from anexa.files import write_atomic
from anexa.model.tensors import read_metadata, read_tensors, write_tensors
from anexa.model.weights import Weights, hash_weights
from anexa.training.config import TrainConfig
from anexa.training.config_file import CONFIG_PATH, encode_toml

CHECKPOINT_PATH = Path("training") / "state.safetensors"  # in a model folder
FROZEN_PATH = Path("training") / "frozen.safetensors"  # weights that a run does not train
# Exceptions raised by malformed checkpoint metadata.
METADATA_ERRORS = (AttributeError, KeyError, TypeError, ValueError, UsageError)
FORMAT_VERSION = "6"  # format of the metadata; a checkpoint of another format is refused


@dataclass(frozen=True)
class Evaluation:
    """Losses at one point of a run, in nats per token.

    Attributes:
        step: number of steps before the evaluation.
        seconds: training time before the evaluation.
        train_loss: mean training loss since the previous evaluation; None before the first step.
        validation_loss: loss on the validation dataset.
        general_loss: loss on the general text; None if the run measures none.
        by_corpus: validation loss of each corpus of a mixture; None where it has no sequences.
    """

    step: int
    seconds: float
    train_loss: float | None
    validation_loss: float
    general_loss: float | None = None
    by_corpus: list[float | None] = field(default_factory=list)


@dataclass
class TrainerState:
    """Progress of a run, and its losses so far.

    Attributes:
        step: number of completed steps.
        seconds: `Clock.seconds` at the last checkpoint.
        tokens: number of predicted tokens.
        losses: losses of the steps since the last evaluation, in nats per token.
        unrecorded: losses of the steps since the last metrics record.
        evaluations: all evaluations, in order.
        progress: fraction of the run that is done; 1 when it is finished.
        final_eval_seconds: time to reserve for the last evaluation.
        compile_seconds: as `Clock.compile_seconds`, which does not count as progress.
        earlier_lengths: lengths that the finished run had before it was lengthened, the first one
            first, in the unit of `TrainConfig.length_option`.
    """

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    losses: list[float] = field(default_factory=list)
    unrecorded: list[float] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    progress: float = 0.0
    final_eval_seconds: float = 0.0
    compile_seconds: float = 0.0
    earlier_lengths: list[float] = field(default_factory=list)

    def add_loss(self, loss: float, num_targets: int) -> None:
        """Record the loss of a step, in nats per token, and its number of predicted tokens."""
        self.tokens += num_targets
        self.losses.append(loss)
        self.unrecorded.append(loss)

    def add_evaluation(
        self,
        seconds: float,
        validation_loss: float,
        general_loss: float | None = None,
        by_corpus: Sequence[float | None] = (),
    ) -> Evaluation:
        """Record an evaluation with the mean training loss, and clear `losses`.

        Args:
            seconds: training time so far.
            validation_loss: loss on the validation dataset, in nats per token.
            general_loss: loss on the general text; None if the run measures none.
            by_corpus: validation loss of each corpus of a mixture; empty for a single corpus.

        Returns:
            The evaluation.
        """
        train_loss = sum(self.losses) / len(self.losses) if self.losses else None
        self.evaluations.append(
            Evaluation(
                self.step, seconds, train_loss, validation_loss, general_loss, list(by_corpus)
            )
        )
        self.losses = []
        return self.evaluations[-1]

    @property
    def best_evaluation(self) -> Evaluation | None:
        """Evaluation with the lowest validation loss; None if there was none after a step.

        The evaluation before the first step does not count.
        """
        later = [e for e in self.evaluations if e.step]
        return min(later, key=lambda e: e.validation_loss, default=None)

    @property
    def kept_step_and_loss(self) -> tuple[int, float | None]:
        """Step and validation loss of the weights that the model folder has.

        The loss is None if the run was stopped before its first evaluation after a step.
        """
        evaluation = self.kept_evaluation
        if evaluation is None:
            return self.step, None
        return evaluation.step, evaluation.validation_loss

    @property
    def kept_evaluation(self) -> Evaluation | None:
        """Evaluation of the weights that the model folder has; None if there was none."""
        return self.best_evaluation or next(
            (e for e in self.evaluations if e.step == self.step), None
        )


@dataclass(frozen=True)
class LossChange:
    """Loss on a text before and after a run that started from a model, in nats per token.

    Attributes:
        text: name of the text for messages, such as "your validation text".
        before: loss of the model that the run started from.
        after: loss of the weights in the model folder; None if it was not measured.
    """

    text: str
    before: float
    after: float | None

    def __str__(self) -> str:
        return (
            f"{self.before:.4f} -> {'not measured' if self.after is None else f'{self.after:.4f}'}"
        )


@dataclass(frozen=True)
class BaseModel:
    """Record of the model that a run started from.

    Attributes:
        name: id of the model on the Hugging Face Hub if the path shows it, else the folder's name.
        sha256: hash of the weight files, one after another; of one file, as the Hub shows it.
        general_text: name of the general text whose loss is measured; None: there is none.
        general_sha256: hash of the token ids of that text.
    """

    name: str
    sha256: str
    general_text: str | None = None
    general_sha256: str = ""


def loss_changes(state: TrainerState, base: BaseModel | None) -> list[LossChange]:
    """Return the losses before and after a run that started from a model; empty for a new model.

    Args:
        state: state of the run, with the evaluation before its first step.
        base: record of the model that the run started from; None: a new model.

    Returns:
        The loss on the user's validation text, then on the general text, if that was measured.
    """
    if base is None:
        return []
    before, after = state.evaluations[0], state.kept_evaluation
    mine, general = (None, None) if after is None else (after.validation_loss, after.general_loss)
    changes = [LossChange("your validation text", before.validation_loss, mine)]
    if before.general_loss is not None:
        name = f"general text ({base.general_text})"
        changes.append(LossChange(name, before.general_loss, general))
    return changes


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint: all that is needed to resume a run exactly.

    Attributes:
        config: resolved configuration of the run.
        corpus_sha256: hash of the corpus.
        tokenizer_sha256: hash of the model's tokenizer.json.
        launch: id of the `torchrun` command that wrote the checkpoint
            (`DistributedContext.launch`).
        state: progress and losses of the run.
        weights: current weights, in the engine's precision.
        moments: moments of the optimizer, as `Engine.optimizer_state` returns them.
        base: model that the run started from; None: the run started from random weights.
        frozen: names of the weights that the run does not train.
    """

    config: TrainConfig
    corpus_sha256: str
    tokenizer_sha256: str
    launch: str
    state: TrainerState
    weights: Weights
    moments: Weights
    base: BaseModel | None = None
    frozen: frozenset[str] = frozenset()


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a model folder, and `training/config.toml`.

    The folder `training` must exist. Frozen weights are written with the first checkpoint only.

    Raises:
        AnexaError: if one of the files cannot be written; the older checkpoint then remains.
    """
    frozen: Weights = {}
    trained: Weights = {}
    for name, weight in checkpoint.weights.items():
        (frozen if name in checkpoint.frozen else trained)[f"w.{name}"] = weight
    run: dict[str, Any] = {
        "config": checkpoint.config.to_json(),
        "corpus_sha256": checkpoint.corpus_sha256,
        "tokenizer_sha256": checkpoint.tokenizer_sha256,
        "launch": checkpoint.launch,
        "base": None if checkpoint.base is None else asdict(checkpoint.base),
        "state": asdict(checkpoint.state),
        "kept": dict(zip(("step", "validation_loss"), checkpoint.state.kept_step_and_loss)),
    }
    if frozen:
        run["frozen"] = sorted(checkpoint.frozen)
        if not (folder / FROZEN_PATH).exists():
            write_tensors(folder / FROZEN_PATH, frozen, {"hash": hash_weights(frozen)})
        run["frozen_hash"] = read_metadata(folder / FROZEN_PATH).get("hash")
    toml = encode_toml(checkpoint.config, checkpoint.state.earlier_lengths)
    write_atomic(folder / CONFIG_PATH, toml)
    metadata = {"format": FORMAT_VERSION, "run": json.dumps(run)}
    write_tensors(folder / CHECKPOINT_PATH, trained | checkpoint.moments, metadata)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint of a model folder.

    Raises:
        AnexaError: if there is no checkpoint, or it is damaged or of another format; or its frozen
            weights are missing, damaged, or those of another run.
    """
    path = _checkpoint_file(folder)
    tensors, metadata = read_tensors(path)
    run = parse_run_metadata(path, metadata)
    try:
        if "frozen" in run:
            tensors |= _read_frozen(folder / FROZEN_PATH, run["frozen_hash"])
        state = TrainerState(**run["state"])
        state.evaluations = [Evaluation(**evaluation) for evaluation in run["state"]["evaluations"]]
        return Checkpoint(
            TrainConfig.from_json(run["config"]),
            corpus_sha256=str(run["corpus_sha256"]),
            tokenizer_sha256=str(run["tokenizer_sha256"]),
            launch=str(run["launch"]),
            state=state,
            weights={key[2:]: w for key, w in tensors.items() if key.startswith("w.")},
            moments={key: w for key, w in tensors.items() if not key.startswith("w.")},
            base=None if run["base"] is None else BaseModel(**run["base"]),
            frozen=frozenset(run.get("frozen", ())),
        )
    except METADATA_ERRORS as error:
        raise damaged_checkpoint_error(path, error) from error


def _read_frozen(path: Path, weights_hash: str) -> Weights:
    frozen, metadata = read_tensors(path)
    if metadata.get("hash") != weights_hash:
        raise AnexaError(
            f"{path} has the weights of another run: replace it by the file of the run that wrote "
            f"{CHECKPOINT_PATH}"
        )
    return frozen


def read_train_config(folder: Path) -> TrainConfig:
    """Read the configuration of the run in a model folder, without the weights.

    Raises:
        AnexaError: if there is no checkpoint, or it is damaged or of another format.
    """
    path = _checkpoint_file(folder)
    run = parse_run_metadata(path, read_metadata(path))
    try:
        return TrainConfig.from_json(run["config"])
    except METADATA_ERRORS as error:
        raise damaged_checkpoint_error(path, error) from error


def is_of_launch(folder: Path, launch: str) -> bool:
    """Return whether the checkpoint in a folder was written by this launch of `torchrun`.

    Args:
        folder: model folder of the run.
        launch: id of the `torchrun` command; "" for a process that it has not started.

    Returns:
        Whether the ids are the same; False without an id, or if the checkpoint cannot be read.
    """
    try:
        run = json.loads(read_metadata(_checkpoint_file(folder))["run"])
        return bool(launch) and run.get("launch") == launch
    except (AnexaError, *METADATA_ERRORS):
        return False


def check_checkpoint_unchanged(folder: Path, step: int) -> None:
    """Check that no other process has continued a run after its checkpoint was read.

    Args:
        folder: model folder, whose lock is held.
        step: step of the checkpoint that was read.

    Raises:
        AnexaError: if the folder has another checkpoint now, or none that can be read.
    """
    path = _checkpoint_file(folder)
    state = parse_run_metadata(path, read_metadata(path)).get("state")
    if not isinstance(state, dict) or state.get("step") != step:
        raise AnexaError(f"another process has just continued the training in {folder}: try again")


def parse_run_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Parse the description of a run in the metadata of its checkpoint.

    Args:
        path: path of the checkpoint, for error messages.
        metadata: metadata of the file.

    Returns:
        The description as nested dictionaries.

    Raises:
        AnexaError: if there is no description, or it is of another format.
    """
    if "run" in metadata and metadata.get("format") != FORMAT_VERSION:
        raise AnexaError(
            f"{path} was written by another version of Anexa (format "
            f"{one_line(metadata.get('format', '1'))}, not {FORMAT_VERSION}): its training cannot "
            "be resumed, start a new one; the model itself can be used as before"
        )
    try:
        run = json.loads(metadata["run"])
        if not isinstance(run, dict):
            raise TypeError(f"it is a {type(run).__name__}")
        return run
    except (*METADATA_ERRORS, RecursionError) as error:
        raise damaged_checkpoint_error(path, error) from error


def damaged_checkpoint_error(path: Path, error: BaseException) -> AnexaError:
    """Create the error about a checkpoint with malformed metadata."""
    return AnexaError(f"{path} is damaged: it does not describe a run ({short_repr(error)})")


def _checkpoint_file(folder: Path) -> Path:
    path = folder / CHECKPOINT_PATH
    if not path.exists():
        raise AnexaError(
            f"{folder} holds no training that can be resumed: it has no {CHECKPOINT_PATH}"
        )
    return path

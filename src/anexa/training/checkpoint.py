"""All that a run needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from anexa.errors import AnexaError, UsageError, one_line
from anexa.files import write_atomic
from anexa.model.tensors import read_metadata, read_tensors, write_tensors
from anexa.model.weights import Weights
from anexa.training.config import TrainConfig
from anexa.training.config_file import CONFIG, encode_toml

CHECKPOINT = Path("training") / "state.safetensors"
# What a description of a run that is none leads to.
DAMAGE = (AttributeError, KeyError, TypeError, ValueError, UsageError)
FORMAT = "2"  # of the metadata; a state of another format is refused


@dataclass(frozen=True)
class Evaluation:
    """The losses at one point of a run, in nats a token.

    Attributes:
        step: how many steps were done.
        seconds: the time they took.
        train_loss: the mean over the steps since the evaluation before; None at the start.
        validation_loss: on text that no step sees.
    """

    step: int
    seconds: float
    train_loss: float | None
    validation_loss: float


@dataclass
class TrainerState:
    """What has happened in a run so far.

    Attributes:
        step: how many steps were done.
        seconds: the time they took.
        tokens: how many tokens were predicted in them.
        losses: of the steps since the last evaluation.
        unrecorded: those since the last record in the metrics.
        evaluations: in order.
        progress: the share of the run that is done; 1 when it is finished.
        reserve: the seconds that its end will need, if it is to end within so many minutes.
        lost: the seconds that went into compiling, which are no progress.
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

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest validation loss, of those after some training."""
        later = [e for e in self.evaluations if e.step]
        return min(later, key=lambda e: e.validation_loss, default=None)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        settings: what the run was asked to do.
        corpus: where its corpus is, from any folder.
        corpus_sha256: of what was read there.
        tokenizer_sha256: of the model's tokenizer.json; "" in a state that was written before this
            was noted.
        launch: of `torchrun` by which it was written; see `DistributedContext`.
        history: what has happened in the run.
        weights: as they are now, in the engine's precision.
        moments: the optimizer's; see `Engine.optimizer_state`.
    """

    settings: TrainConfig
    corpus: str
    corpus_sha256: str
    tokenizer_sha256: str
    launch: str
    history: TrainerState
    weights: Weights
    moments: Weights


def write_checkpoint(folder: Path, state: Checkpoint) -> None:
    """Replace the checkpoint in a model folder, and the configuration beside it.

    Raises:
        AnexaError: it cannot be written; the old one stays.
    """
    tensors = {f"w.{name}": weight for name, weight in state.weights.items()} | state.moments
    run = {
        "settings": state.settings.to_json(),
        "corpus": state.corpus,
        "corpus_sha256": state.corpus_sha256,
        "tokenizer_sha256": state.tokenizer_sha256,
        "launch": state.launch,
        "history": asdict(state.history),
    }
    write_atomic(folder / CONFIG, encode_toml(state.settings))
    write_tensors(folder / CHECKPOINT, tensors, {"format": FORMAT, "run": json.dumps(run)})


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a model folder.

    Raises:
        AnexaError: there is none, or it is damaged.
    """
    path = _state_file(folder)
    tensors, metadata = read_tensors(path)
    check_format(path, metadata)
    try:
        run = json.loads(metadata["run"])
        history = TrainerState(**run["history"])
        history.evaluations = [
            Evaluation(**evaluation) for evaluation in run["history"]["evaluations"]
        ]
        settings = TrainConfig.from_json(run["settings"])
        corpus, corpus_sha256 = str(run["corpus"]), str(run["corpus_sha256"])
        tokenizer_sha256 = str(run.get("tokenizer_sha256", ""))
        launch = str(run.get("launch", ""))
    except DAMAGE as error:
        raise AnexaError(f"{path} is damaged: it does not describe a run ({error})") from error
    weights = {key[2:]: weight for key, weight in tensors.items() if key.startswith("w.")}
    moments = {key: weight for key, weight in tensors.items() if not key.startswith("w.")}
    sources = corpus, corpus_sha256, tokenizer_sha256
    return Checkpoint(settings, *sources, launch, history, weights, moments)


def read_config(folder: Path) -> TrainConfig:
    """Those of the run in a model folder.

    Raises:
        AnexaError: there is none, or it is damaged.
    """
    path = _state_file(folder)
    metadata = read_metadata(path)
    check_format(path, metadata)
    try:
        return TrainConfig.from_json(json.loads(metadata["run"])["settings"])
    except DAMAGE as error:
        raise AnexaError(f"{path} is damaged: it does not describe a run ({error})") from error


def is_of_launch(folder: Path, launch: str) -> bool:
    """Whether a folder has a run, of a launch of `torchrun`; see `DistributedContext`."""
    try:
        run = json.loads(read_metadata(_state_file(folder))["run"])
        return bool(launch) and run.get("launch") == launch
    except (AnexaError, *DAMAGE):
        return False


def check_format(path: Path, metadata: Mapping[str, str]) -> None:
    """Refuse the training state of another version of Anexa.

    Args:
        path: the state file, for the message.
        metadata: its metadata.

    Raises:
        AnexaError: if the metadata is that of a run in another format.
    """
    if "run" in metadata and metadata.get("format") != FORMAT:
        raise AnexaError(
            f"{path} was written by another version of Anexa (format "
            f"{one_line(metadata.get('format', '1'))}, not {FORMAT}): its training cannot be "
            "resumed, start a new one; the model itself can be used as before"
        )


def _state_file(folder: Path) -> Path:
    path = folder / CHECKPOINT
    if not path.exists():
        raise AnexaError(f"{folder} holds no training that could go on: it has no {CHECKPOINT}")
    return path

"""What became of a training, at a glance: no weight is read for it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from anexa.errors import AnexaError, UsageError, short_repr
from anexa.model.folder import ModelFolder
from anexa.model.tensors import read_metadata
from anexa.model.weights import num_parameters
from anexa.training.checkpoint import CHECKPOINT, check_format
from anexa.training.config import TrainConfig
from anexa.training.lock import is_running


@dataclass(frozen=True)
class Summary:
    """A model folder; the training's part as of its last checkpoint, None where it has none.

    Attributes:
        folder: where it is.
        model_type: its architecture.
        parameters: how many numbers it learns.
        state: of its training.
        corpus: its name.
        corpus_sha256: of its text.
        step: how many steps were done.
        tokens: how many tokens were predicted in them.
        seconds: the time they took.
        best_loss: the lowest validation loss after some training, in nats a token.
        last_loss: the last one.
        settings: configuration of the training.
    """

    folder: Path
    model_type: str
    parameters: int
    state: Literal["running", "stopped", "done"] | None = None
    corpus: str | None = None
    corpus_sha256: str | None = None
    step: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    best_loss: float | None = None
    last_loss: float | None = None
    settings: TrainConfig | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Over the whole training, evaluations included."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None


def summarise(folder: Path) -> Summary:
    """The summary of a model folder, trained here or elsewhere.

    Raises:
        AnexaError: it is no model folder, or damaged.
    """
    config = ModelFolder(folder).config
    sizes: dict[str, Any] = {"model_type": config.model_type, "parameters": num_parameters(config)}
    path = folder / CHECKPOINT
    if not path.exists():
        return Summary(folder, **sizes)
    metadata = read_metadata(path)
    check_format(path, metadata)
    try:
        run = json.loads(metadata["run"])
        history, settings = run["history"], TrainConfig.from_json(run["settings"])
        losses = [e["validation_loss"] for e in history["evaluations"] if e["step"]]
        finite = [float(loss) for loss in losses if math.isfinite(loss)]
        done = float(history["progress"]) >= 1
        return Summary(
            folder,
            **sizes,
            state="running" if is_running(folder) else "done" if done else "stopped",
            corpus=Path(settings.data.corpus).name,
            corpus_sha256=str(run["corpus_sha256"]),
            step=int(history["step"]),
            tokens=int(history["tokens"]),
            seconds=float(history["seconds"]),
            best_loss=min(finite, default=None),
            last_loss=finite[-1] if finite else None,
            settings=settings,
        )
    except (UsageError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = short_repr(error)
        raise AnexaError(f"{path} is damaged: it does not describe a run ({reason})") from error

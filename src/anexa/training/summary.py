"""Summary of a training run, read from its checkpoint without the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from anexa.model.folder import ModelFolder
from anexa.model.tensors import read_metadata
from anexa.model.weights import num_parameters
from anexa.training.checkpoint import (
    CHECKPOINT_PATH,
    METADATA_ERRORS,
    damaged_checkpoint_error,
    parse_run_metadata,
)
from anexa.training.config import TrainConfig
from anexa.training.lock import is_training
from anexa.training.specs import corpora_without_folders


@dataclass(frozen=True)
class RunSummary:
    """Summary of a model folder and of the training run that wrote it.

    All fields from `state` on describe the training run; they are None for a model folder without a
    checkpoint.

    Attributes:
        folder: path of the model folder.
        model_type: architecture of the model, a key of `ARCHITECTURES`, such as "gpt2".
        parameters: number of parameters of the model.
        state: "running" if a process is training in the folder, "done" if the run has reached its
            planned length, else "stopped".
        corpus: names of the corpora with their weights, as in `--corpus`, separated by spaces; a
            file is named without its folder.
        corpus_sha256: SHA-256 of the corpus, hexadecimal.
        step: number of completed training steps.
        tokens: number of tokens trained on so far, counting only tokens with a loss.
        seconds: wall-clock time of the run so far, including evaluations, without the time between
            a stop and a resume.
        best_loss: lowest finite validation loss after the first step, in nats per token; None if
            there was no such evaluation.
        best_step: step of the evaluation with `best_loss`; the folder has the weights of this step.
        last_loss: latest finite validation loss after the first step, in nats per token; None if
            there was no such evaluation.
        config: training configuration of the run.
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
    best_step: int | None = None
    last_loss: float | None = None
    config: TrainConfig | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Mean training speed in tokens per second, over the whole run including evaluations.

        It is None if there is no checkpoint, or no step has been completed.
        """
        return self.tokens / self.seconds if self.tokens and self.seconds else None


def summarize(folder: Path) -> RunSummary:
    """Read the summary of a model folder and of its training run; the weights are not loaded.

    Args:
        folder: path of a model folder, by Anexa or in Hugging Face's format.

    Returns:
        The summary; without a checkpoint, only its first three fields are set.

    Raises:
        AnexaError: if the folder is not a model folder, or is damaged.
    """
    model = ModelFolder(folder).config
    sizes: dict[str, Any] = {"model_type": model.model_type, "parameters": num_parameters(model)}
    path = folder / CHECKPOINT_PATH
    if not path.exists():
        return RunSummary(folder, **sizes)
    run = parse_run_metadata(path, read_metadata(path))
    try:
        state, config = run["state"], TrainConfig.from_json(run["config"])
        losses = [(e["validation_loss"], e["step"]) for e in state["evaluations"] if e["step"]]
        finite = [(float(loss), int(step)) for loss, step in losses if math.isfinite(loss)]
        best_loss, best_step = min(finite, default=(None, None))
        done = float(state["progress"]) >= 1
        return RunSummary(
            folder,
            **sizes,
            state="running" if is_training(folder) else "done" if done else "stopped",
            corpus=" ".join(corpora_without_folders(config.data.corpus)),
            corpus_sha256=str(run["corpus_sha256"]),
            step=int(state["step"]),
            tokens=int(state["tokens"]),
            seconds=float(state["seconds"]),
            best_loss=best_loss,
            best_step=best_step,
            last_loss=finite[-1][0] if finite else None,
            config=config,
        )
    except (*METADATA_ERRORS, OverflowError, RecursionError) as error:
        raise damaged_checkpoint_error(path, error) from error

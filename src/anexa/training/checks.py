"""What is refused before a training begins or goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from anexa.engines import select_device
from anexa.errors import AnexaError, UsageError
from anexa.model.tokenizer import Tokenizer
from anexa.training.checkpoint import CHECKPOINT, Checkpoint
from anexa.training.config import TrainConfig
from anexa.training.distributed import DistributedContext
from anexa.training.tensorboard import check_installed


def check_possible(settings: TrainConfig, world: DistributedContext, tensorboard: bool) -> None:
    """Refuse what cannot be, before a corpus is downloaded and read.

    Raises:
        AnexaError: this computer lacks what is asked for, or the sizes are of no model.
        UsageError: a setting that means nothing here.
    """
    batch_size, asked = settings.run.batch_size, settings.device
    if batch_size % world.size:
        raise UsageError(
            f"--batch-size {batch_size} cannot be shared by {world.size} processes: "
            "make it a multiple of their number"
        )
    config = settings.model.to_config(1)  # whatever the vocabulary
    device = world.device or asked.device
    select_device(asked.engine, config, device, asked.dtype, asked.compile)
    if tensorboard:
        check_installed()


def check_same_tokenizer(state: Checkpoint, tokenizer: Tokenizer, folder: Path) -> None:
    """Make sure that a model still has the tokenizer with which its training began.

    Raises:
        AnexaError: it has another.
    """
    if state.tokenizer_sha256 not in ("", fingerprint(tokenizer)):
        raise AnexaError(
            f"{folder / 'tokenizer.json'} is not the one that this training was begun with: put "
            "that one back, or start a new training"
        )


def check_moments(state: Checkpoint, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """Make sure that a checkpoint has the optimizer's moments, in these shapes.

    Raises:
        AnexaError: it has not.
    """
    if {name: moment.shape for name, moment in state.moments.items()} != shapes:
        raise AnexaError(
            f"{folder / CHECKPOINT} is damaged: its moments are not those of its weights"
        )


def fingerprint(tokenizer: Tokenizer) -> str:
    """The hash of a tokenizer.json."""
    return hashlib.sha256(tokenizer.to_json().encode()).hexdigest()

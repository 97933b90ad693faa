"""Checks before a run is built or resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from anexa.engines import DeviceConfig, select_device
from anexa.errors import AnexaError, UsageError
from anexa.model.adapters import with_lora_rank
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer
from anexa.training.checkpoint import CHECKPOINT_PATH, Checkpoint
from anexa.training.config import TrainConfig
from anexa.training.distributed import DistributedContext
from anexa.training.freeze import frozen_weights
from anexa.training.option_table import check_effects
from anexa.training.presets import FINETUNE_PRESET
from anexa.training.tensorboard import check_tensorboardx


def requested_device(config: TrainConfig, context: DistributedContext) -> DeviceConfig:
    """Return the requested device of a run, to be resolved by `select_device`.

    With several processes it names the device of this process, not the one of the configuration.
    """
    return replace(config.device, device=context.device or config.device.device)


def check_train_config(
    config: TrainConfig, model: ModelConfig, context: DistributedContext, tensorboard: bool
) -> None:
    """Check the configuration of a run before the corpus is downloaded and read.

    Args:
        config: configuration of the run.
        model: configuration of the model, whose vocabulary size may be unknown.
        context: rank, world size and device of this process.
        tensorboard: whether to write events for TensorBoard.

    Raises:
        AnexaError: if a package or a device is missing, or the rank of the adapters is too high.
        UsageError: if options do not fit each other or the engine.
    """
    check_effects(config.options())
    if config.preset == FINETUNE_PRESET and config.finetune.from_ is None:
        raise UsageError("--preset finetune continues a model: name it with --from FOLDER")
    batch_size = config.run.batch_size
    if batch_size % context.world_size:
        raise UsageError(
            f"--batch-size {batch_size} cannot be divided by {context.world_size} processes: make "
            "it a multiple of their number"
        )
    model = with_lora_rank(model, config.finetune.lora)
    frozen_weights(config.finetune.freeze, model)
    select_device(config.device.engine, model, requested_device(config, context))
    if tensorboard:
        check_tensorboardx()


def check_same_tokenizer(checkpoint: Checkpoint, tokenizer: Tokenizer, folder: Path) -> None:
    """Check that the tokenizer of a model folder has the hash that is in its checkpoint.

    Args:
        checkpoint: content of the checkpoint.
        tokenizer: tokenizer of the model folder.
        folder: model folder of the run, for the error message.

    Raises:
        AnexaError: if the tokenizer differs.
    """
    if checkpoint.tokenizer_sha256 != hash_tokenizer(tokenizer):
        raise AnexaError(
            f"{folder / 'tokenizer.json'} is not the tokenizer that this run was started with: "
            "restore that file, or start a new run"
        )


def check_moments(
    checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    """Check that a checkpoint has all moments of the optimizer, in the right shapes.

    Args:
        checkpoint: content of the checkpoint.
        shapes: expected shape of each moment by name, from `OptimizerConfig.state_shapes`.
        folder: model folder of the run, for the error message.

    Raises:
        AnexaError: if a moment is missing or has the wrong shape.
    """
    if {name: moment.shape for name, moment in checkpoint.moments.items()} != shapes:
        raise AnexaError(
            f"{folder / CHECKPOINT_PATH} is damaged: the optimizer's moments do not fit the weights"
        )


def hash_tokenizer(tokenizer: Tokenizer) -> str:
    """Return the SHA-256 of the `tokenizer.json` of a tokenizer, in hexadecimal."""
    return hashlib.sha256(tokenizer.to_json().encode()).hexdigest()

"""The model that a run starts from (`--from`): its weights, and how the run's record names it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from anexa.errors import AnexaError
from anexa.model.config import ModelConfig
from anexa.model.loading import is_model_file, load_model, model_name, open_folder, open_model
from anexa.model.model import Model
from anexa.training.checkpoint import BaseModel
from anexa.training.config import TrainConfig
from anexa.training.general import GeneralText

# Folder of a model in the cache of the Hugging Face Hub: models--USER--NAME/snapshots/COMMIT.
HUB_CACHE_PATTERN = re.compile(r"models--([\w.-]+?)--([\w.-]+)", re.ASCII)
HASH_CHUNK_BYTES = 2**20  # bytes that are hashed at once


def model_config_of(config: TrainConfig) -> ModelConfig:
    """Return the configuration of the model of a new run, before its tokenizer is made.

    If the run starts from a model, it is that model's. Otherwise it has the sizes of the run's
    options, and a vocabulary of 1 token, as the vocabulary size is not known yet.

    Args:
        config: configuration of the run.

    Raises:
        AnexaError: if the model to start from is missing or damaged, or no model can have the
            sizes.
    """
    base = config.finetune.from_
    return config.model.to_config(1) if base is None else open_model(Path(base)).config


def load_base(path: Path) -> Model:
    """Load the model that a run starts from.

    Args:
        path: model folder, or JSON or GGUF file.

    Returns:
        The model in memory.

    Raises:
        AnexaError: if the model is missing or damaged, has infinite or NaN weights, or has no
            end-of-text token.
    """
    model = load_model(path)
    try:
        model.tokenizer.eot_token_id  # noqa: B018 (raises)
    except AnexaError as error:
        raise AnexaError(f"{path}: {error}") from error
    for name, weight in model.weights.items():
        if not np.isfinite(weight.data).all():
            raise AnexaError(
                f"the model in {path} cannot be trained: its weight {name} has infinite or NaN "
                "values"
            )
    return model


def describe_base(path: Path, general: GeneralText | None) -> BaseModel:
    """Describe the model that a run starts from: its name, and a hash of its weight files.

    Args:
        path: model folder, or JSON or GGUF file.
        general: text on which forgetting is measured; None: there is none.

    Raises:
        AnexaError: if a file cannot be read.
    """
    files = [path] if is_model_file(path) else open_folder(path).weight_files[1]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while chunk := opened.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    measured = (None, "") if general is None else (general.name, general.sha256)
    return BaseModel(public_name(path), digest.hexdigest(), *measured)


def public_name(path: Path) -> str:
    """Return the name of a model for its card, without the folders of this machine.

    It is USER/NAME of the Hub if the path is in the Hub's cache.
    """
    for part in path.absolute().parts:
        found = HUB_CACHE_PATTERN.fullmatch(part)
        if found:
            return f"{found[1]}/{found[2]}"
    return model_name(path)

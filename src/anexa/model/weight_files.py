"""Weights of a Hugging Face repository: one file or shards, with or without the model's prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.tensors import read_tensors
from anexa.model.weights import Weight, Weights

# Allowed names of shards: files in the folder itself, with a name that is valid everywhere.
_SHARD = re.compile(r"\w[\w.-]{0,200}\.safetensors", re.ASCII)


def read_weights(files: Iterable[Path], config: ModelConfig, path: Path) -> Weights:
    """Read the weights of a model under the architecture's names.

    Names in the files may have or lack the architecture's prefix, as in transformers' models with
    and without a head. The copy of the embedding table that some files have as a tied head is
    dropped, and buffers are ignored.

    Args:
        files: files of weights.
        config: configuration of the model.
        path: file that describes the weights (their index or only file), for error messages.

    Returns:
        The weights by name; not yet in order, nor checked for completeness.

    Raises:
        AnexaError: if a file is missing or damaged, a weight occurs twice or has a dtype that is
            not supported, or a tied head differs from the embedding table.
    """
    architecture = get_architecture(config)
    head = architecture.untied_head
    weights: Weights = {}
    for file in files:
        for name, weight in read_tensors(file, architecture.is_buffer)[0].items():
            full = architecture.full_name(name) if name != head else name
            if full in weights:
                raise AnexaError(
                    f"{file} has the weight {one_line(name)} a second time: remove one"
                )
            weights[full] = weight
    if config.tie_word_embeddings and head in weights and architecture.embedding in weights:
        if not _equal(weights[head], weights[architecture.embedding]):
            raise AnexaError(
                f"{path} has an untied head, {head}, but config.json says "
                "tie_word_embeddings = true: they do not belong together"
            )
        del weights[head]
    return weights


def shard_files(index: dict[str, Any], path: Path) -> list[Path]:
    """List the weight files that an index names, each once, sorted by name.

    Args:
        index: content of `model.safetensors.index.json`.
        path: path of the index, in the same folder as the files.

    Raises:
        AnexaError: if the index has no `weight_map` or an empty one, or a file in it is missing or
            is not a safetensors file in the same folder.
    """
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise AnexaError(f"{path} is damaged: it has no weight_map")
    names = dict.fromkeys(map(str, weight_map.values()))
    for name in names:
        if not _SHARD.fullmatch(name):
            raise AnexaError(
                f"{path} names the file {one_line(name)}: only a safetensors file beside it can be "
                "opened"
            )
        if not (path.parent / name).exists():
            raise AnexaError(f"{path} names the file {one_line(name)}, which is not there")
    return [path.parent / name for name in sorted(names)]


def _equal(one: Weight, other: Weight) -> bool:
    import numpy as np

    return one.shape == other.shape and np.array_equal(one.data, other.data)

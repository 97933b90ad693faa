"""The weights of a Hugging Face repository, however it has named and divided them."""

from __future__ import annotations

import re
from pathlib import Path

from anexa.errors import AnexaError, one_line
from anexa.files import read_json
from anexa.model.architectures import Architecture, architecture
from anexa.model.config import ModelConfig
from anexa.model.tensors import read_tensors
from anexa.model.weights import Weight, Weights

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEAD = "lm_head.weight"

# Names of shards lead nowhere but into the folder, and are none that no file can have.
_SHARD = re.compile(r"\w[\w.-]{0,200}\.safetensors", re.ASCII)


def read_weights(folder: Path, config: ModelConfig) -> tuple[Weights, Path]:
    """The weights of a model under the architecture's names, and the file that they come from.

    They may lack the prefix that all these names have, as those of a model without a head do; a
    head that is the embedding table may be there once more; buffers are left out.

    Raises:
        AnexaError: a file is missing, damaged, or leads out of the folder; a weight is there
            twice.
    """
    its = architecture(config)
    path, files = weight_files(folder)
    weights: Weights = {}
    for file in files:
        for name, weight in read_tensors(file, lambda name: _is_buffer(name, its))[0].items():
            full = its.prefix + _short(name, its) if name != HEAD else name
            if full in weights:
                raise AnexaError(f"{file} has the weight {one_line(name)} once more: leave one out")
            weights[full] = weight
    tied = (
        config.tie_word_embeddings and config.model_type != "microgpt"
    )  # whose head is always its own
    if tied and HEAD in weights and its.table in weights:
        if not _equal(weights[HEAD], weights[its.table]):
            raise AnexaError(
                f"{path} has a head of its own, {HEAD}, but config.json says "
                "tie_word_embeddings = true: the two are not of one model"
            )
        del weights[HEAD]
    return weights, path


def weight_files(folder: Path) -> tuple[Path, list[Path]]:
    """The file that says where the weights are, and those that have them; it may be the only one.

    Raises:
        AnexaError: one is missing, damaged, or leads out of the folder.
    """
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        others = [*folder.glob("pytorch_model*.bin")]
        if others and not (folder / WEIGHTS).exists():
            raise AnexaError(
                f"{folder} has its weights as {one_line(others[0].name)}, a format that can hold "
                "programs: have transformers open it and write it again, as safetensors"
            )
        return folder / WEIGHTS, [folder / WEIGHTS]
    path = folder / INDEX
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise AnexaError(f"{path} is damaged: it has no weight_map")
    names = dict.fromkeys(map(str, places.values()))
    for name in names:
        if not _SHARD.fullmatch(name):
            raise AnexaError(
                f"{path} names the file {one_line(name)}: only a safetensors file beside it can be "
                "opened"
            )
        if not (folder / name).exists():
            raise AnexaError(f"{path} names the file {one_line(name)}, which is not there")
    return path, [folder / name for name in sorted(names)]


def _short(name: str, its: Architecture) -> str:
    return name.removeprefix(its.prefix)


def _is_buffer(name: str, its: Architecture) -> bool:
    return its.buffers is not None and its.buffers.fullmatch(_short(name, its)) is not None


def _equal(one: Weight, other: Weight) -> bool:
    import numpy as np

    return one.shape == other.shape and np.array_equal(one.data, other.data)

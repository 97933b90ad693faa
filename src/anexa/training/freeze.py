"""The weights that keep their values in a run (`--freeze`), named by groups."""

from __future__ import annotations

import re

from anexa.engines import OptimizerConfig
from anexa.engines.optimizers import PartialOptimizerConfig
from anexa.errors import UsageError
from anexa.model.architectures import get_architecture
from anexa.model.architectures.base import is_adapter
from anexa.model.config import ModelConfig
from anexa.names import quoted
from anexa.training.config import TrainConfig

# A group that is a layer or a range of layers, such as 0 or 0-3.
LAYER_RANGE_PATTERN = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
LAYER_PATTERN = re.compile(r"\.(\d+)\.")  # number of a layer in the name of a weight
# Name of a gain or bias of a normalization, such as h.0.ln_1.weight or model.norm.weight.
NORM_PATTERN = re.compile(r"(?:^|[._])(?:ln|\w*norm)(?:_\w+)?\.(?:weight|bias)$")
GROUPS = ("embeddings", "positions", "norms", "head")  # groups that are not layers


def frozen_weights(groups: str, config: ModelConfig) -> frozenset[str]:
    """Return the names of the weights in some groups, which a run is not to train.

    Args:
        groups: groups separated by commas: embeddings, positions, norms (gains and biases of all
            normalizations), head, a layer (3) or a range of layers (0-3), from 0; empty: none.
        config: configuration of the model.

    Returns:
        The names of all weights of the groups, their adapters among them.

    Raises:
        UsageError: if there is no such group or layer, the model has no weights of a group, a group
            has no adapters in a run that trains only adapters, or no weight is left to train.
    """
    names = [*get_architecture(config).parameters(config)]
    frozen: set[str] = set()
    for group in groups.split(",") if groups else ():
        found = _group(group.strip(), names, config)
        if config.lora_rank and not any(map(is_adapter, found)):
            raise UsageError(
                f"--freeze {group.strip()} has no effect: --lora trains adapters alone, and there "
                "are none beside these weights, leave it out"
            )
        frozen |= found
    trained = filter(is_adapter, names) if config.lora_rank else names
    if frozen.issuperset(trained):
        raise UsageError(f"--freeze {groups} leaves no weight to train: name fewer groups")
    return frozenset(frozen)


def run_optimizer_config(config: TrainConfig, model: ModelConfig) -> OptimizerConfig:
    """Return the optimizer configuration of a run: one that leaves its frozen weights as they are.

    Args:
        config: configuration of the run.
        model: configuration of the model, with its adapters.

    Raises:
        UsageError: if the run's `freeze` does not suit the model: see `frozen_weights`.
    """
    frozen = frozen_weights(config.finetune.freeze, model)
    if not frozen:
        return config.optimizer
    return PartialOptimizerConfig.freeze(config.optimizer, frozen)


def _group(group: str, names: list[str], config: ModelConfig) -> set[str]:
    architecture = get_architecture(config)
    layers = LAYER_RANGE_PATTERN.fullmatch(group)
    if layers:
        first, last = int(layers[1]), int(layers[2] or layers[1])
        if not first <= last < config.n_layer:
            raise UsageError(
                f"--freeze {group}: the layers of this model are 0 to {config.n_layer - 1}"
            )
        numbers = range(first, last + 1)
        return {name for name in names if _layer(name) in numbers}
    if group not in GROUPS:
        raise UsageError(
            f"--freeze has no group {quoted(group)}: name {', '.join(GROUPS)}, or layers such as "
            "0-3, separated by commas"
        )
    if group == "embeddings":
        return {architecture.embedding}
    if group == "norms":
        found = {name for name in names if NORM_PATTERN.search(name)}
    elif group == "positions":
        found = {architecture.positions} if architecture.positions else set()
    else:
        found = {architecture.head(config)} - {architecture.embedding}
    if not found:
        tied = group == "head" and config.tie_word_embeddings
        advice = (
            "its head is its table of embeddings, freeze embeddings" if tied else "leave it out"
        )
        raise UsageError(f"--freeze {group}: this model has no such weights: {advice}")
    return found


def _layer(name: str) -> int | None:
    found = LAYER_PATTERN.search(name)
    return int(found[1]) if found else None

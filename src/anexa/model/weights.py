"""Weights in flat buffers, which all engines exchange; their initialization and their hash."""

from __future__ import annotations

import hashlib
import random
from array import array
from math import prod
from typing import NamedTuple, TypeAlias

from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig

# Float32 or float64 numbers; a memoryview shows a part of a weight file.
Numbers: TypeAlias = "array[float] | memoryview[float]"


class Weight(NamedTuple):
    """An array in row-major order, which can be read without NumPy.

    Attributes:
        shape: shape of the array.
        data: its elements, float32 or float64. It supports the buffer protocol, so NumPy and
            PyTorch read it without a copy. A memoryview is never written to: it may be of a mapped
            file that several engines share.
    """

    shape: tuple[int, ...]
    data: Numbers

    @property
    def typecode(self) -> str:
        """Precision of the elements: "f" (float32) or "d" (float64)."""
        return memoryview(self.data).format


Weights = dict[str, Weight]  # by name, as the architecture names them in transformers


def initial_weights(config: ModelConfig, rng: random.Random) -> Weights:
    """Draw initial weights in float64; the same state of `rng` gives the same on every machine.

    Args:
        config: architecture and sizes of the model.
        rng: random number generator, which is advanced.

    Returns:
        The weights by name, in the architecture's order.
    """
    weights = {}
    for name, parameter in get_architecture(config).parameters(config).items():
        size = prod(parameter.shape)
        if parameter.std:
            data = array("d", (rng.gauss(parameter.mean, parameter.std) for _ in range(size)))
        else:
            data = array("d", [parameter.mean]) * size
        weights[name] = Weight(parameter.shape, data)
    return weights


def hash_weights(weights: Weights) -> str:
    """Hash the names, shapes and values of all weights to 16 hexadecimal digits.

    The order of the weights makes no difference.
    """
    # Not for security. Most processors have instructions for SHA-1: others take twice as long.
    found = hashlib.sha1(usedforsecurity=False)
    for name in sorted(weights):
        found.update(repr((name, *map(int, weights[name].shape))).encode())
        found.update(weights[name].data)
    return found.hexdigest()[:16]


def num_parameters(config: ModelConfig) -> int:
    """Count the elements of all weights of a model; a head tied to the embedding adds none."""
    return sum(prod(p.shape) for p in get_architecture(config).parameters(config).values())


def flops_per_token(config: ModelConfig) -> int:
    """Estimate the FLOPs of a training step per token (Chowdhery et al., 2022, appendix B).

    Every element of a matrix counts 6 (2 forward, 4 backward), even if LoRA freezes it (it costs
    4); those of embedding tables count 0, unless the head is tied to them. Attention counts
    12 n_layer x n_head x head_dim x block_size, although half of it is masked, or more by a window.
    """
    architecture = get_architecture(config)
    lookups = {architecture.positions}
    if not config.tie_word_embeddings:
        lookups.add(architecture.embedding)
    multiplied = sum(
        prod(parameter.shape)
        for name, parameter in architecture.parameters(config).items()
        if len(parameter.shape) == 2 and name not in lookups
    )
    attention_width = config.n_head * config.head_dim
    return 6 * multiplied + 12 * config.n_layer * attention_width * config.block_size

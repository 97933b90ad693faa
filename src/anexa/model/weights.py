"""Weights as every engine can take and give them, and as they are before any training."""

from __future__ import annotations

import random
from array import array
from math import prod
from typing import NamedTuple

from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig


class Weight(NamedTuple):
    """One array of numbers, row by row, in a form that needs no library.

    `data` speaks the buffer protocol, so NumPy and PyTorch read it without a copy. Its typecode
    is "f" (float32) or "d" (float64).
    """

    shape: tuple[int, ...]
    data: array[float]


Weights = dict[str, Weight]


def initial_weights(config: ModelConfig, rng: random.Random) -> Weights:
    """Weights before training, in float64, the same on every machine.

    The draws are taken in the architecture's order, row by row.
    """
    weights = {}
    for name, parameter in architecture(config).parameters(config).items():
        size = prod(parameter.shape)
        if parameter.std:
            data = array("d", (rng.gauss(parameter.mean, parameter.std) for _ in range(size)))
        else:
            data = array("d", [parameter.mean]) * size
        weights[name] = Weight(parameter.shape, data)
    return weights


def num_parameters(config: ModelConfig) -> int:
    """How many numbers the model learns."""
    return sum(prod(p.shape) for p in architecture(config).parameters(config).values())


def flops_per_token(config: ModelConfig) -> float:
    """Multiplications and additions of a training step, for each token.

    6 for every number in a matrix: 2 forwards, 4 backwards; and 12 n_layer x n_embd x block_size
    for attention (Chowdhery et al., 2022, appendix B), though half of it is masked.
    """
    shapes = {name: p.shape for name, p in architecture(config).parameters(config).items()}
    multiplied = sum(prod(shape) for shape in shapes.values() if len(shape) == 2)
    lookups = config.block_size * config.n_embd if config.model_type != "llama" else 0
    if (
        not config.tie_word_embeddings or config.model_type == "microgpt"
    ):  # the table is looked up only
        lookups += config.vocab_size * config.n_embd
    return 6 * (multiplied - lookups) + 12 * config.n_layer * config.n_embd * config.block_size

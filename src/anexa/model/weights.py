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


def count(config: ModelConfig) -> int:
    """How many numbers the model learns."""
    return sum(prod(p.shape) for p in architecture(config).parameters(config).values())

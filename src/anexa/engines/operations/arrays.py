"""The primitives of the operations on NumPy arrays: sums, means, softmax, the causal mask."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from anexa.engines.batch import TokenPositions
from anexa.model.weights import Weight, Weights

Array = npt.NDArray[np.floating[Any]]  # float32 or float64
Tokens = npt.NDArray[np.int64]  # token ids, or their positions


def flatten_batch(x: Array) -> Array:
    """Merge the leading axes, (B, T, C) into (B·T, C): one large matrix product instead of B."""
    return x.reshape(-1, x.shape[-1])


@lru_cache
def column(n: int, value: float, dtype: np.dtype[Any]) -> Array:
    """Return a column with the same number in each row, shape (n, 1).

    It is cached: callers must not change it.
    """
    return np.full((n, 1), value, dtype)


def total(x: Array) -> Array:
    """Sum x (…, N) along the last axis, (…, 1); trailing zeros do not change the rounding."""
    together: Array = x @ column(x.shape[-1], 1, x.dtype)
    return together


def mean(x: Array) -> Array:
    """Average x (…, N) along the last axis, (…, 1)."""
    average: Array = x @ column(x.shape[-1], 1 / x.shape[-1], x.dtype)
    return average


def causal_mask(n: int, num_cached: int, dtype: np.dtype[Any], window: int | None = None) -> Array:
    """Build the additive attention mask of n new tokens after cached tokens, (n, num_cached + n).

    Row t is 0 for the key at position num_cached + t and for the keys before it, −∞ for later keys.
    With a window (a number of tokens), it is 0 only for the last `window` of these keys.
    """
    masked = np.full((n, num_cached + n), -np.inf, dtype)
    later = np.triu(masked, k=num_cached + 1)
    return later if window is None else later + np.tril(masked, k=num_cached - window)


def softmax(logits: Array) -> Array:
    """Compute the softmax along the last axis, in the shape of the logits: e^z / Σ e^z.

    The logits z are shifted by the largest one, so that nothing overflows.
    """
    exps: Array = np.exp(logits - np.maximum.reduce(logits, -1, keepdims=True))
    exps /= total(exps)
    return exps


def positions_of(positions: TokenPositions, n: int) -> Tokens:
    """Return the positions of n tokens, (n,); if `positions` is a tuple for B sequences, (B, n)."""
    if isinstance(positions, int):
        return np.arange(n) + positions
    given = np.array(positions)
    return given if given.ndim == 2 else np.arange(n) + given[:, None]


def as_weights(arrays: Mapping[str, Array]) -> Weights:
    """Copy arrays into `Weight`s of the same precision, by the names of the weights."""
    return {
        name: Weight(x.shape, array("f" if x.dtype == np.float32 else "d", x.tobytes()))
        for name, x in arrays.items()
    }

"""Tiles: batches of a fixed size, so that no bit of a sequence depends on the other sequences.

Libraries add up the matrix product of few rows in another order than that of many, and some compute
the rows of one product by different kernels, according to their positions. Likewise some compute
the last elements of an array by other functions than the rest. All this depends on the library, the
processor and the number of threads. So a decoding step splits its batch into tiles of a height that
was checked on this computer, before the first product with a weight of a shape: a row has the same
bits at every position in a tile, and tiles of several heights are used only if they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HEIGHTS = (4, 8, 16, 24, 32)
# The heights by which the others are judged, best first. A single sequence is padded to the lowest
# height, and a weight is read least often in tiles of the largest: 8 is a compromise.
REFERENCES = (8, 4, 16, 32)
OVERHEAD = 8  # rows that take as long as what a tile costs at any height
MAX_SAMPLES = 8  # random rows to compare, for a small weight
SAMPLED = 2**21  # elements of a weight for which a single row is compared


def invariant_heights(
    compute: Callable[[Array, int], Array], width: int, num_samples: int, dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Find tile heights at which a computation gives a row the same bits in every batch.

    Args:
        compute: maps rows (B, 1, C) to (B, 1, O), in tiles of a height that divides B.
        width: C.
        num_samples: the number of random rows to compare.
        dtype: the precision of the rows.

    Returns:
        Some of `HEIGHTS`, ascending, at all of which a row has the same bits. (1,) if no height
        will do: then every row needs a tile of its own, which no other row can change.
    """
    samples_N11C = np.random.default_rng(0).standard_normal((num_samples, 1, 1, width))
    rows = [np.asarray(sample_11C, dtype) for sample_11C in samples_N11C]
    bits = {height: _bits(compute, rows, height) for height in HEIGHTS}
    for reference in REFERENCES:
        if bits[reference] is not None:
            return tuple(height for height in HEIGHTS if bits[height] == bits[reference])
    return (1,)


def _bits(compute: Callable[[Array, int], Array], rows: list[Array], height: int) -> bytes | None:
    """The results of rows as bytes, or None if these depend on the position in a tile."""
    bits = b""
    for row_11C in rows:
        # Two tiles, which may differ in their alignment in memory.
        y_BO = compute(np.repeat(row_11C, 2 * height, axis=0), height)
        if y_BO.tobytes() != y_BO[0].tobytes() * len(y_BO):
            return None
        bits += y_BO[0].tobytes()
    return bits


def num_samples(num_elements: int) -> int:
    """The number of rows to compare for a weight: fewer for a large weight, as it takes longer."""
    return max(1, min(MAX_SAMPLES, SAMPLED // num_elements))


def random_weight(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Make a weight for the check, of random numbers that repeat."""
    size = min(shape[0] * shape[1], 65_537)  # a prime number: rows differ
    return np.resize(np.random.default_rng(1).standard_normal(size).astype(dtype), shape)


def choose_height(batch: int, heights: Sequence[int]) -> int:
    """Choose the height that is probably the fastest for a number of sequences."""
    return min(heights, key=lambda height: -(-batch // height) * (height + OVERHEAD))

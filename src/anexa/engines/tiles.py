"""Batch-invariant decoding: a batch is computed in tiles of a fixed number of rows.

The logits of a sequence must not depend on the other sequences in the batch, down to the last bit.
But BLAS libraries choose the summation order of a matrix product by the number of its rows, some
compute the first and the last rows by different kernels, and some vectorized functions treat the
last elements of an array differently. What a library does depends on the processor and the number
of threads, too. So a decoding step splits its batch into tiles of `height` rows. Before the first
product with a weight of a new shape, candidate heights are checked on this computer: a height is
used only if a row has the same bits at every position in its tile, and several heights only if they
give the same bits; if no height passes, each sequence has a tile of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TILE_HEIGHTS = (4, 8, 16, 24, 32)  # candidates: rows in a tile
# Heights that the other ones have to agree with, in order of preference. In low tiles a single
# sequence needs less padding; in high tiles the weight is read less often. 8 is a compromise.
REFERENCE_TILE_HEIGHTS = (8, 4, 16, 32)
TILE_OVERHEAD = 8  # fixed cost of a tile, in rows
MAX_SAMPLE_ROWS = 8  # maximum number of random rows that a check compares
MAX_CHECK_WORK = 2**21  # maximum work of a check: compared rows x elements of the weight


def invariant_tile_heights(
    compute: Callable[[Array, int], Array], width: int, num_rows: int, dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Find tile heights at which the result for a row does not depend on the rest of the batch.

    Args:
        compute: function to check, `compute(rows, height)`: maps rows (B, 1, C) to (B, 1, O), in
            tiles of `height` rows; B is a multiple of `height`.
        width: width C of the rows.
        num_rows: number of random rows to compare.
        dtype: precision of the rows.

    Returns:
        The heights in `TILE_HEIGHTS`, ascending, that give every row the same bits as the first of
        `REFERENCE_TILE_HEIGHTS` that passes. (1,) if none does: every row is then computed alone.
    """
    samples_N11C = np.random.default_rng(0).standard_normal((num_rows, 1, 1, width))
    rows = [np.asarray(sample_11C, dtype) for sample_11C in samples_N11C]
    bits = {height: _bits(compute, rows, height) for height in TILE_HEIGHTS}
    for reference in REFERENCE_TILE_HEIGHTS:
        if bits[reference] is not None:
            return tuple(height for height in TILE_HEIGHTS if bits[height] == bits[reference])
    return (1,)


def _bits(compute: Callable[[Array, int], Array], rows: list[Array], height: int) -> bytes | None:
    """Compute each row as every row of two tiles, to compare their bits.

    Args:
        compute: function to check, as in `invariant_tile_heights`.
        rows: rows, (1, 1, C) each.
        height: tile height.

    Returns:
        The results of all rows as bytes; None if one of them depends on which row of a tile it is.
    """
    bits = b""
    for row_11C in rows:
        # Two tiles, which may differ in their alignment in memory.
        y_BO = compute(np.repeat(row_11C, 2 * height, axis=0), height)
        if y_BO.tobytes() != y_BO[0].tobytes() * len(y_BO):
            return None
        bits += y_BO[0].tobytes()
    return bits


def num_sample_rows(num_elements: int) -> int:
    """Return how many rows to compare for a weight: at least 1, at most `MAX_SAMPLE_ROWS`.

    Args:
        num_elements: number of elements of the weight; with more than one row, the work stays
            within `MAX_CHECK_WORK`.
    """
    return max(1, min(MAX_SAMPLE_ROWS, MAX_CHECK_WORK // num_elements))


def random_weight(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Draw a weight of a shape for the check, from the same seed each time.

    A large weight repeats the same 65,537 numbers.
    """
    size = min(shape[0] * shape[1], 65_537)  # a prime number, so that no two rows are equal
    return np.resize(np.random.default_rng(1).standard_normal(size).astype(dtype), shape)


def choose_tile_height(batch: int, heights: Sequence[int]) -> int:
    """Choose the tile height with the lowest estimated cost for a batch.

    The cost is the number of tiles times (height + `TILE_OVERHEAD`).

    Args:
        batch: number of sequences.
        heights: allowed heights, ascending.

    Returns:
        The height, in rows.
    """
    return min(heights, key=lambda height: -(-batch // height) * (height + TILE_OVERHEAD))

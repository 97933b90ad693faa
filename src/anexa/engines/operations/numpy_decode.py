"""Batch-invariant operations of a decoding step on NumPy arrays: one token for each of B sequences.

Arrays are (B, 1, C). The results for a sequence do not depend on the other sequences in the batch,
because every BLAS call has the same shape in all batches: linear layers multiply tiles of sequences
(`anexa.engines.tiles`), and attention multiplies blocks of `KEYS_PER_BLOCK` keys of one
sequence. Blocks are added from the first to the last, so blocks of padding only add zeros at the
end. All other operations compute element by element, or row by row.
"""

from __future__ import annotations

from functools import cache, lru_cache, reduce
from math import sqrt
from typing import Any

import numpy as np

from anexa.engines import tiles
from anexa.engines.kv_cache import KEYS_PER_BLOCK, AnyLayerCache, LayerDecodeCache
from anexa.engines.operations import numpy as operations
from anexa.engines.operations.arrays import Array, total


def matmul_in_tiles(x_TC: Array, weight_OC: Array, height: int) -> Array:
    """Compute x Wᵀ for rows (B, 1, C), with one BLAS call per tile; `height` must divide B.

    Args:
        x_TC: rows, one for each sequence.
        weight_OC: weight of a linear layer.
        height: number of rows in a tile.

    Returns:
        The products, (B, 1, O).
    """
    y_TO: Array = x_TC.reshape(-1, height, x_TC.shape[-1]) @ weight_OC.T
    return y_TO.reshape(-1, 1, len(weight_OC))


@cache
def linear_heights(
    n_out: int, n_in: int, dtype: np.dtype[Any], column_major: bool
) -> tuple[int, ...]:
    """Find the tile heights with which a linear layer does not depend on the batch.

    They are tried out on this computer with random numbers, at the first call.

    Args:
        n_out: rows of the weight.
        n_in: columns of the weight.
        dtype: precision.
        column_major: whether the weight is in column-major order.

    Returns:
        The heights, ascending, as `anexa.engines.tiles.invariant_tile_heights` finds them.
    """
    if column_major:
        weight_OC = tiles.random_weight((n_in, n_out), dtype).T
    else:
        weight_OC = tiles.random_weight((n_out, n_in), dtype)
    return tiles.invariant_tile_heights(
        lambda x_TC, height: matmul_in_tiles(x_TC, weight_OC, height),
        n_in,
        tiles.num_sample_rows(weight_OC.size),
        dtype,
    )


@lru_cache(maxsize=1024)
def tile_height(batch: int, n_out: int, n_in: int, dtype: np.dtype[Any], column_major: bool) -> int:
    """Choose the tile height, in rows, for `batch` sequences and a weight (n_out, n_in)."""
    return tiles.choose_tile_height(batch, linear_heights(n_out, n_in, dtype, column_major))


@lru_cache
def zero_rows(count: int, width: int, dtype: np.dtype[Any]) -> Array:
    """Return rows of zeros that fill the last tile, (count, 1, width).

    They are cached: callers must not change them.
    """
    return np.zeros((count, 1, width), dtype)


class Linear(operations.Linear):
    """Linear layer y = x Wᵀ + b, computed in tiles of sequences."""

    def forward(self, x_TC: Array, weight_OC: Array, bias_O: Array | None = None, /) -> Array:
        batch, (n_out, n_in) = len(x_TC), weight_OC.shape
        height = tile_height(batch, n_out, n_in, weight_OC.dtype, weight_OC.flags.f_contiguous)
        if batch % height:
            x_TC = np.concatenate((x_TC, zero_rows(-batch % height, n_in, x_TC.dtype)))
        y_TO = matmul_in_tiles(x_TC, weight_OC, height)[:batch]
        return y_TO if bias_O is None else y_TO + bias_O


class Attention(operations.Attention):
    """Causal attention, computed head by head in blocks of keys.

    y = P V with P = softmax(c Q Kᵀ + mask).
    """

    def forward(
        self,
        q_TC: Array,
        k_TC: Array,
        v_TC: Array,
        /,
        n_head: int,
        kv_cache: AnyLayerCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Array:
        assert isinstance(kv_cache, LayerDecodeCache)
        batch, self.head_dim = len(q_TC), q_TC.shape[-1] // n_head
        scale = 1 / sqrt(self.head_dim) if scale is None else scale
        k_BHSD, v_BHSD = kv_cache.append(self.heads(k_TC), self.heads(v_TC))
        mask_B11S = kv_cache.attn_mask
        if window is not None:
            before_BS = np.arange(mask_B11S.shape[-1]) <= kv_cache.starts[:, None] - window
            mask_B11S = np.where(before_BS[:, None, None], -np.inf, mask_B11S)
        # G heads of queries share one head of keys and values.
        q_BHGD = q_TC.reshape(batch, k_BHSD.shape[1], -1, self.head_dim)
        scores_NBHGS = (q_BHGD * scale) @ split_into_blocks(k_BHSD).swapaxes(-1, -2)
        scores_NBHGS += split_into_blocks(mask_B11S.swapaxes(-1, -2)).swapaxes(-1, -2)
        largest_NBHG1 = np.maximum.reduce(scores_NBHGS, -1, keepdims=True)
        scores_NBHGS -= np.maximum.reduce(largest_NBHG1, 0)
        exps_NBHGS = np.exp(scores_NBHGS, out=scores_NBHGS)
        y_BHGD = sum_blocks(exps_NBHGS @ split_into_blocks(v_BHSD)) / sum_blocks(total(exps_NBHGS))
        return y_BHGD.reshape(q_TC.shape)


def split_into_blocks(x_BHSD: Array) -> Array:
    """View (B, H, S, D) as N blocks, (N, B, H, S/N, D); S is a multiple of `KEYS_PER_BLOCK`."""
    batch, n_head, _, width = x_BHSD.shape
    return x_BHSD.reshape(batch, n_head, -1, KEYS_PER_BLOCK, width).transpose(2, 0, 1, 3, 4)


def sum_blocks(x_NBHGD: Array) -> Array:
    """Sum N blocks from the first to the last, (B, H, G, D); zeros at the end change no bit."""
    return reduce(np.add, x_NBHGD)

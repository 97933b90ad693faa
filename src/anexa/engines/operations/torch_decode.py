"""Batch-invariant operations of a decoding step on PyTorch tensors, on a CPU.

Tensors are (B, 1, C): one token for each of B sequences. The results for a sequence do not depend
on the other sequences in the batch: linear layers and activation functions compute tiles of
sequences (`anexa.engines.tiles`); attention computes the batch at once if a check on this computer
finds it independent of the batch, else one sequence at a time. All other operations compute element
by element, or row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from anexa.engines import tiles
from anexa.engines.kv_cache import (
    KEYS_PER_BLOCK,
    AnyLayerCache,
    LayerDecodeCache,
    round_up_to_block,
)
from anexa.engines.operations.torch import TorchOperations, windowed_mask

# Cases in which attention is checked: lengths and paddings in blocks of keys, and batch sizes.
# PyTorch's CPU kernel reads 512 keys at a time, which is 8 blocks.
CHECKED_LENGTHS = (1, 3, 9)
CHECKED_PADDINGS = (0, 1, 2, 5, 8, 9)
CHECKED_BATCH_SIZES = (1, 2, 3, 8, 33)


class TorchDecodeOperations(TorchOperations):
    """The operations of a decoding step on PyTorch tensors, independent of the batch.

    They are those of `anexa.model.operations.Operations`, on activations (B, 1, C).
    """

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        n_out, n_in = weight_OC.shape
        heights = linear_heights(
            n_out,
            n_in,
            weight_OC.is_contiguous(),
            bias_O is not None,
            x_TC.dtype,
            torch.get_num_threads(),
        )
        return apply_in_tiles(lambda tile_TC: F.linear(tile_TC, weight_OC, bias_O), x_TC, heights)

    def gelu(self, x: Tensor) -> Tensor:
        return apply_in_tiles(
            gelu, x, activation_heights(gelu, x.shape[-1], x.dtype, torch.get_num_threads())
        )

    def gelu_erf(self, x: Tensor) -> Tensor:
        heights = activation_heights(F.gelu, x.shape[-1], x.dtype, torch.get_num_threads())
        return apply_in_tiles(F.gelu, x, heights)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        heights = activation_heights(F.silu, gate.shape[-1], gate.dtype, torch.get_num_threads())
        return apply_in_tiles(F.silu, gate, heights) * up

    def attention(
        self,
        q_TC: Tensor,
        k_TC: Tensor,
        v_TC: Tensor,
        n_head: int,
        kv_cache: AnyLayerCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Tensor:
        assert isinstance(kv_cache, LayerDecodeCache)
        batch, _, width = q_TC.shape
        q_BHTD, k_BHTD, v_BHTD = (
            x.view(batch, 1, -1, width // n_head).transpose(1, 2) for x in (q_TC, k_TC, v_TC)
        )
        k_BHSD, v_BHSD = kv_cache.append(k_BHTD, v_BHTD)
        inputs = (q_BHTD, k_BHSD, v_BHSD, windowed_mask(kv_cache, window))
        n_kv_head, head_dim = k_BHSD.shape[1], k_BHSD.shape[3]
        if attention_is_invariant(n_head, n_kv_head, head_dim, q_TC.dtype, torch.get_num_threads()):
            y_BHTD = attend(*inputs, scale)
        else:
            rows = zip(*(torch.split(x, 1) for x in inputs))
            lengths: list[int] = (kv_cache.starts + 1).tolist()
            y_BHTD = torch.cat([attend_unbatched(row, n, scale) for row, n in zip(rows, lengths)])
        return y_BHTD.transpose(1, 2).reshape(batch, 1, width)


def gelu(x: Tensor) -> Tensor:
    """Apply the GELU in its tanh approximation to x of any shape, element by element."""
    return F.gelu(x, approximate="tanh")


def apply_in_tiles(
    function: Callable[[Tensor], Tensor], x_TC: Tensor, heights: Sequence[int]
) -> Tensor:
    """Apply a function to rows (B, 1, C), in tiles of a fixed number of rows.

    The last tile is padded with zeros, whose results are dropped.

    Args:
        function: function that maps rows (height, 1, C) to rows (height, 1, O).
        x_TC: rows, one for each sequence.
        heights: allowed tile heights, of which the cheapest for B rows is used.

    Returns:
        The results, (B, 1, O).
    """
    batch = len(x_TC)
    height = tiles.choose_tile_height(batch, heights)
    if batch % height:
        x_TC = F.pad(x_TC, (0, 0, 0, 0, 0, -batch % height))
    y_TO = [function(tile_TC) for tile_TC in torch.split(x_TC, height)]
    return (y_TO[0] if len(y_TO) == 1 else torch.cat(y_TO))[:batch]


@cache
def linear_heights(
    n_out: int,
    n_in: int,
    row_major: bool,
    has_bias: bool,
    dtype: torch.dtype,
    num_threads: int,  # noqa: ARG001 (a key of the cache: it may change the bits)
) -> tuple[int, ...]:
    """Find the tile heights with which a linear layer does not depend on the batch.

    They are tried out on this computer with random numbers, at the first call.

    Args:
        n_out: rows of the weight.
        n_in: columns of the weight.
        row_major: whether the weight is in row-major order.
        has_bias: whether the layer has a bias.
        dtype: precision.
        num_threads: PyTorch's number of threads, on which the results may depend.

    Returns:
        The heights, ascending, as `anexa.engines.tiles.invariant_tile_heights` finds them.
    """
    shape = (n_out, n_in) if row_major else (n_in, n_out)
    weight = torch.from_numpy(tiles.random_weight(shape, _as_numpy(dtype)))
    weight_OC = weight if row_major else weight.T
    bias_O = weight_OC[:, 0].clone() if has_bias else None
    return _heights(
        lambda tile_TC: F.linear(tile_TC, weight_OC, bias_O),
        n_in,
        tiles.num_sample_rows(weight.numel()),
        dtype,
    )


@cache
def activation_heights(
    function: Callable[[Tensor], Tensor],
    width: int,
    dtype: torch.dtype,
    num_threads: int,  # noqa: ARG001
) -> tuple[int, ...]:
    """Return the tile heights, ascending, for an activation function on rows of `width` columns."""
    return _heights(function, width, tiles.MAX_SAMPLE_ROWS, dtype)


def _heights(
    function: Callable[[Tensor], Tensor], width: int, num_sample_rows: int, dtype: torch.dtype
) -> tuple[int, ...]:
    def compute(x_TC: tiles.Array, height: int) -> tiles.Array:
        return apply_in_tiles(function, torch.tensor(x_TC), [height]).numpy()

    return tiles.invariant_tile_heights(compute, width, num_sample_rows, _as_numpy(dtype))


def _as_numpy(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype("float64" if dtype == torch.float64 else "float32")


def attend(
    q_BHTD: Tensor,
    k_BHSD: Tensor,
    v_BHSD: Tensor,
    mask_B11S: Tensor,
    scale: float | None = None,
) -> Tensor:
    """Compute attention in each head, (B, H, T, D): y = softmax(c Q Kᵀ + mask) V.

    c is `scale`, by default 1 / √D. Keys and values may have fewer heads than the queries.
    """
    return F.scaled_dot_product_attention(
        q_BHTD,
        k_BHSD,
        v_BHSD,
        attn_mask=mask_B11S,
        scale=scale,
        enable_gqa=q_BHTD.shape[1] != k_BHSD.shape[1],
    )


def attend_unbatched(inputs: Sequence[Tensor], length: int, scale: float | None = None) -> Tensor:
    """Compute attention for one sequence, on its own `length` keys rounded up to whole blocks.

    Args:
        inputs: queries, keys, values and mask, as the arguments of `attend`, with B = 1.
        length: number of keys that are not masked.
        scale: scale c of the scores; default: 1 / √D.

    Returns:
        The output y, (1, H, T, D).
    """
    q_BHTD, k_BHSD, v_BHSD, mask_B11S = inputs
    end = round_up_to_block(length)
    return attend(q_BHTD, k_BHSD[:, :, :end], v_BHSD[:, :, :end], mask_B11S[..., :end], scale)


@cache
def attention_is_invariant(
    n_head: int,
    n_kv_head: int,
    head_dim: int,
    dtype: torch.dtype,
    num_threads: int,  # noqa: ARG001
) -> bool:
    """Return whether attention of a sequence depends neither on the batch nor on padded keys.

    The check on this computer computes random sequences alone and together.
    """
    generator = torch.Generator().manual_seed(0)
    num_keys = (max(CHECKED_LENGTHS) + max(CHECKED_PADDINGS)) * KEYS_PER_BLOCK
    for length in CHECKED_LENGTHS:
        q_BHTD, k_BHSD, v_BHSD = (
            torch.randn(1, n, keys, head_dim, dtype=dtype, generator=generator)
            for n, keys in ((n_head, 1), (n_kv_head, num_keys), (n_kv_head, num_keys))
        )
        mask_B11S = torch.zeros(1, 1, 1, num_keys, dtype=dtype)
        num_seen = length * KEYS_PER_BLOCK - 3
        mask_B11S[..., num_seen:] = -torch.inf
        inputs = (q_BHTD, k_BHSD, v_BHSD, mask_B11S)
        alone_BHTD = attend_unbatched(inputs, num_seen)
        for batch in CHECKED_BATCH_SIZES:
            q, k, v, mask = (x.repeat(batch, 1, 1, 1) for x in inputs)
            for padding in CHECKED_PADDINGS:
                end = (length + padding) * KEYS_PER_BLOCK
                y_BHTD = attend(q, k[:, :, :end], v[:, :, :end], mask[..., :end])
                if not torch.equal(y_BHTD, alone_BHTD.expand_as(y_BHTD)):
                    return False
    return True

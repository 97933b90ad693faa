"""Kernels of attention over the cache of each row.

The cache of a sequence is a row of blocks of LANES tokens. A block has for each layer the keys,
head by head and column by column, (H, D, LANES), then the values, (H, LANES, D): a product with all
keys of a block reads it from the first number to the last, and so does a sum of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import exp
from anexa.engines.program.kernels.language import LANES, Pointer, numbers, tiles

if TYPE_CHECKING:
    from math import sqrt

    from anexa.engines.program.vectors import (
        at,
        first_lanes,
        fma,
        full,
        keep_separate,
        largest,
        load,
        maximum,
        store,
        total,
    )


def append_to_cache(
    k: Pointer,
    v: Pointer,
    caches: Pointer,
    positions: Pointer,
    rows: int,
    *,
    k_width: int,
    k_stride: int,
    v_stride: int,
    head_dim: int,
    layer: int,
    n_layer: int,
) -> None:
    """Write the key and the value of each row into the cache of its sequence."""
    keep_separate()
    for t in range(rows):
        block, lane = positions[t] // LANES, positions[t] % LANES
        keys = at(numbers(caches[t]), (block * n_layer + layer) * 2 * k_width * LANES)
        values = at(keys, k_width * LANES)
        for h in range(k_width // head_dim):
            for d in range(head_dim):
                keys[(h * head_dim + d) * LANES + lane] = k[t * k_stride + h * head_dim + d]
                values[(h * LANES + lane) * head_dim + d] = v[t * v_stride + h * head_dim + d]


def attend(
    q: Pointer,
    caches: Pointer,
    positions: Pointer,
    y: Pointer,
    scratch: Pointer,
    rows: int,
    *,
    q_width: int,
    q_stride: int,
    y_stride: int,
    kv_width: int,
    head_dim: int,
    layer: int,
    n_layer: int,
) -> None:
    """y = P V with P = softmax(q Kᵀ / √D), over the tokens up to the row's own position."""
    keep_separate()
    group = q_width // kv_width
    step = n_layer * 2 * kv_width * LANES
    scale = full(q, 1 / sqrt(head_dim), LANES)
    zeros = full(q, 0, LANES)
    for t in range(rows):
        length = positions[t] + 1
        cache = at(numbers(caches[t]), layer * 2 * kv_width * LANES)
        for h in range(q_width // head_dim):
            q_D = at(q, t * q_stride + h * head_dim)
            keys = at(cache, h // group * head_dim * LANES)
            values = at(keys, kv_width * LANES)
            top = full(q, -3e38, LANES)
            for s in range(0, length, LANES):
                block = at(keys, s // LANES * step)
                scores = zeros
                for d in range(head_dim):
                    scores = fma(
                        full(q, q_D[d], LANES), load(block, d * LANES, LANES, LANES), scores
                    )
                scores = scores * scale
                store(scratch, s, scores, LANES)
                top = maximum(top, first_lanes(scores, length - s, top))
            top = full(q, largest(top), LANES)
            sums = zeros
            for s in range(0, length, LANES):
                exps = exp(q, load(scratch, s, LANES, LANES) - top)
                exps = first_lanes(exps, length - s, zeros)
                store(scratch, s, exps, LANES)
                sums = sums + exps
            scaled = full(q, 1 / total(sums), LANES)
            for c, count in tiles(head_dim, LANES):
                y_c = zeros
                for s in range(length):
                    v_s = load(values, s // LANES * step + s % LANES * head_dim + c, count, LANES)
                    y_c = fma(full(q, scratch[s], LANES), v_s, y_c)
                store(y, t * y_stride + h * head_dim + c, y_c * scaled, count)

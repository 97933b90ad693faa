"""Kernels of attention over the cache of each row.

The cache of a sequence is a row of blocks of LANES tokens. A block has for each layer the keys,
head by head and column by column, (H, D, LANES), then the values, (H, LANES, D): a product with all
keys of a block reads it from the first number to the last, and so does a sum of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import exp, first_key
from anexa.engines.program.kernels.language import (
    LANES,
    WIDTH,
    Pointer,
    numbers,
    row_blocks,
    tiles,
)

if TYPE_CHECKING:
    from math import inf

    from anexa.engines.program.blocks import add_scaled_rows, repeat, row_of, store_rows
    from anexa.engines.program.vectors import (
        at,
        first_lanes,
        fma,
        full,
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
    for t in range(rows):
        block, lane = positions[t] // LANES, positions[t] % LANES
        keys = at(numbers(caches[t]), (block * n_layer + layer) * 2 * k_width * LANES)
        values = at(keys, k_width * LANES)
        for h in range(k_width // head_dim):
            k_D, v_D = at(k, t * k_stride + h * head_dim), at(v, t * v_stride + h * head_dim)
            keys_h = at(keys, h * head_dim * LANES + lane)
            for d in range(head_dim):
                keys_h[d * LANES] = k_D[d]
            values_h = at(values, (h * LANES + lane) * head_dim)
            for d, count in tiles(head_dim, LANES):
                store(values_h, d, load(v_D, d, count, LANES), count)


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
    scale: float,
    window: int,
    layer: int,
    n_layer: int,
) -> None:
    """Attention of each row to its KV cache: y = P V with P = softmax(c q Kᵀ).

    A row attends to the tokens up to its own position. The scale c is positive. With a `window`
    above 0, only the last `window` of these tokens count, and the blocks before them are not read.
    Every sum is added up in an order that depends on nothing but that position.
    """
    group = q_width // kv_width
    step = n_layer * 2 * kv_width * LANES
    factor = full(q, scale, LANES)
    zeros = full(q, 0, LANES)
    for t in range(rows):
        begin = first_key(positions[t], window)
        first = begin // LANES * LANES  # first token of the first block
        hidden = begin - first  # tokens of that block before the window
        length = positions[t] + 1 - first
        last = (length - 1) // LANES * LANES  # first token of the last block
        cache = at(numbers(caches[t]), first // LANES * step + layer * 2 * kv_width * LANES)
        for h in range(q_width // head_dim):
            q_D = at(q, t * q_stride + h * head_dim)
            keys = at(cache, h // group * head_dim * LANES)
            values = at(keys, kv_width * LANES)
            for b, ROWS in row_blocks(last // LANES + 1):
                scores = repeat(zeros, ROWS)
                for d in range(head_dim):
                    keys_d = at(keys, b * step + d * LANES)
                    scores = add_scaled_rows(scores, at(q_D, d), 0, keys_d, step, LANES)
                store_rows(at(scratch, b * LANES), LANES, scores, LANES)
            if last == 0:
                score = zeros
                for d in range(head_dim):
                    score = fma(full(q, q_D[d], LANES), load(keys, d * LANES, LANES, LANES), score)
                store(scratch, 0, score, LANES)
            for s in range(hidden):
                scratch[s] = -inf
            top = full(q, -inf, LANES)
            for s in range(0, last, LANES):
                top = maximum(top, load(scratch, s, LANES, LANES))
            top = maximum(top, first_lanes(load(scratch, last, LANES, LANES), length - last, top))
            top = full(q, largest(top), LANES)
            sums = zeros
            for s in range(0, last, LANES):
                exps = exp(q, (load(scratch, s, LANES, LANES) - top) * factor)
                store(scratch, s, exps, LANES)
                sums = sums + exps
            exps = exp(q, (load(scratch, last, LANES, LANES) - top) * factor)
            store(scratch, last, exps, LANES)
            sums = sums + first_lanes(exps, length - last, zeros)
            for s in range(hidden):
                scratch[s] = 0
            share = full(q, 1 / total(sums), WIDTH)
            for c, count in tiles(head_dim, WIDTH):
                y_c = full(q, 0, WIDTH)
                four = repeat(y_c, 4)  # sums of every fourth token
                for s in range(0, length - 3, 4):
                    v_s = at(values, s // LANES * step + s % LANES * head_dim + c)
                    four = add_scaled_rows(four, at(scratch, s), 1, v_s, head_dim, count)
                for s in range(length // 4 * 4, length):
                    v_s = load(values, s // LANES * step + s % LANES * head_dim + c, count, WIDTH)
                    y_c = fma(full(q, scratch[s], WIDTH), v_s, y_c)
                y_c = y_c + (row_of(four, 0) + row_of(four, 1))
                y_c = y_c + (row_of(four, 2) + row_of(four, 3))
                store(y, t * y_stride + h * head_dim + c, y_c * share, count)

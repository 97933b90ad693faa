"""Kernels of attention within the sequences of a batch, and of its gradient.

A batch has B sequences of T tokens (`length`), so B T rows. Four rows of queries are computed side
by side; if fewer are left in a sequence, its last row is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import exp, first_key, four_products
from anexa.engines.program.kernels.language import LANES, Pointer, tiles

if TYPE_CHECKING:
    from math import inf, log

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


def attention(
    q: Pointer,
    k: Pointer,
    v: Pointer,
    y: Pointer,
    lse: Pointer,
    scratch: Pointer,
    rows: int,
    length: int,
    *,
    q_width: int,
    q_stride: int,
    k_width: int,
    k_stride: int,
    v_stride: int,
    y_stride: int,
    lse_width: int,
    head_dim: int,
    scale: float,
    window: int,
    tile: int,
) -> None:
    """Causal attention in sequences: y = P V with P = softmax(c q Kᵀ + mask).

    `lse` keeps log Σ e^score of each row and head, for the gradient. With a `window` above 0, a row
    attends to the last `window` tokens only. `scratch` has room for (D + 4) T numbers, with T
    rounded up to a multiple of LANES.
    """
    group = q_width // k_width
    padded = (length + LANES - 1) // LANES * LANES
    p = at(scratch, head_dim * padded)
    factor = full(q, scale, LANES)
    zeros = full(q, 0, LANES)
    for first in range(0, rows, length):
        for head in range(q_width // head_dim):
            column, kv_column = head * head_dim, head // group * head_dim
            if head % group == 0:
                for s in range(length):
                    for d in range(head_dim):
                        scratch[d * padded + s] = k[(first + s) * k_stride + kv_column + d]
            for t in range(0, length, 4):
                t1, t2 = min(t + 1, length - 1), min(t + 2, length - 1)
                t3 = min(t + 3, length - 1)
                first_s = first_key(t, window) // LANES * LANES
                q0, q1 = (
                    at(q, (first + t) * q_stride + column),
                    at(q, (first + t1) * q_stride + column),
                )
                q2 = at(q, (first + t2) * q_stride + column)
                q3 = at(q, (first + t3) * q_stride + column)
                for s in range(first_s, t3 + 1, LANES):
                    keys = at(scratch, s)
                    four_products(q0, q1, q2, q3, keys, at(p, s), head_dim, padded, factor)
                for i in range(4):
                    row = min(t + i, length - 1)
                    p_i = at(p, i * padded)
                    begin = first_key(row, window)
                    for s in range(first_s, begin):
                        p_i[s] = -inf
                    tops = full(q, -inf, LANES)
                    for s in range(first_s, row + 1, LANES):
                        tops = maximum(
                            tops, first_lanes(load(p_i, s, LANES, LANES), row + 1 - s, tops)
                        )
                    top = largest(tops)
                    sums = zeros
                    for s in range(first_s, t3 + 1, LANES):
                        exps = exp(q, load(p_i, s, LANES, LANES) - full(q, top, LANES))
                        exps = first_lanes(exps, row + 1 - s, zeros)
                        store(p_i, s, exps, LANES)
                        sums = sums + exps
                    for s in range(first_s, begin):
                        p_i[s] = 0
                    sum_i = total(sums)
                    lse[(first + row) * lse_width + head] = top + log(sum_i)
                    for s in range(first_s, t3 + 1, LANES):
                        p_s = load(p_i, s, LANES, LANES) * full(q, 1 / sum_i, LANES)
                        store(p_i, s, p_s, LANES)
                for c, count in tiles(head_dim, tile):
                    y0 = full(q, 0, tile)
                    y1 = y0
                    y2 = y0
                    y3 = y0
                    for s in range(first_s, t3 + 1):
                        v_s = load(v, (first + s) * v_stride + kv_column + c, count, tile)
                        y0 = fma(full(q, p[s], tile), v_s, y0)
                        y1 = fma(full(q, p[padded + s], tile), v_s, y1)
                        y2 = fma(full(q, p[2 * padded + s], tile), v_s, y2)
                        y3 = fma(full(q, p[3 * padded + s], tile), v_s, y3)
                    out = at(y, first * y_stride + column + c)
                    store(out, t * y_stride, y0, count)
                    store(out, t1 * y_stride, y1, count)
                    store(out, t2 * y_stride, y2, count)
                    store(out, t3 * y_stride, y3, count)


def attention_gradient(
    g: Pointer,
    q: Pointer,
    k: Pointer,
    v: Pointer,
    y: Pointer,
    lse: Pointer,
    dq: Pointer,
    dk: Pointer,
    dv: Pointer,
    scratch: Pointer,
    rows: int,
    length: int,
    *,
    g_stride: int,
    q_width: int,
    q_stride: int,
    k_width: int,
    k_stride: int,
    v_stride: int,
    y_stride: int,
    lse_width: int,
    dq_stride: int,
    dk_stride: int,
    dv_stride: int,
    head_dim: int,
    scale: float,
    window: int,
    tile: int,
) -> None:
    """Gradient of attention: dV = Pᵀ g,  dS = P (g Vᵀ − Σ_d g y),  dQ = c dS K,  dK = c dSᵀ Q.

    P is computed again: e^(score − lse). The gradient of a head of keys and values is the sum over
    the heads of queries that share it. `scratch` has room for (2 D + 8) T numbers, with T rounded
    up to a multiple of LANES.
    """
    group = q_width // k_width
    padded = (length + LANES - 1) // LANES * LANES
    values, p = at(scratch, head_dim * padded), at(scratch, 2 * head_dim * padded)
    ds = at(p, 4 * padded)
    factor = full(q, scale, LANES)
    one = full(q, 1, LANES)
    zeros = full(q, 0, LANES)
    for first in range(0, rows, length):
        for head in range(q_width // head_dim):
            column, kv_column = head * head_dim, head // group * head_dim
            if head % group == 0:
                for s in range(length):
                    for d in range(head_dim):
                        scratch[d * padded + s] = k[(first + s) * k_stride + kv_column + d]
                        values[d * padded + s] = v[(first + s) * v_stride + kv_column + d]
                    for c, count in tiles(head_dim, LANES):
                        none = full(q, 0, LANES)
                        store(dk, (first + s) * dk_stride + kv_column + c, none, count)
                        store(dv, (first + s) * dv_stride + kv_column + c, none, count)
            for t in range(0, length, 4):
                t1, t2 = min(t + 1, length - 1), min(t + 2, length - 1)
                t3 = min(t + 3, length - 1)
                first_s = first_key(t, window) // LANES * LANES
                q_t, g_t = at(q, first * q_stride + column), at(g, first * g_stride + column)
                q0, q1 = at(q_t, t * q_stride), at(q_t, t1 * q_stride)
                q2, q3 = at(q_t, t2 * q_stride), at(q_t, t3 * q_stride)
                g0, g1 = at(g_t, t * g_stride), at(g_t, t1 * g_stride)
                g2, g3 = at(g_t, t2 * g_stride), at(g_t, t3 * g_stride)
                for s in range(first_s, t3 + 1, LANES):
                    keys = at(scratch, s)
                    four_products(q0, q1, q2, q3, keys, at(p, s), head_dim, padded, factor)
                    four_products(g0, g1, g2, g3, at(values, s), at(ds, s), head_dim, padded, one)
                for i in range(4):
                    row = first + min(t + i, length - 1)
                    end = t + i + 1 if t + i < length else 0  # a missing row adds nothing
                    products = zeros
                    for c, count in tiles(head_dim, LANES):
                        g_c = load(g, row * g_stride + column + c, count, LANES)
                        y_c = load(y, row * y_stride + column + c, count, LANES)
                        products = fma(g_c, y_c, products)
                    delta = full(q, total(products), LANES)
                    lse_i = full(q, lse[row * lse_width + head], LANES)
                    for s in range(first_s, t3 + 1, LANES):
                        at_s = i * padded + s
                        p_s = exp(q, load(p, at_s, LANES, LANES) - lse_i)
                        p_s = first_lanes(p_s, end - s, zeros)
                        ds_s = p_s * (load(ds, at_s, LANES, LANES) - delta) * factor
                        store(p, at_s, p_s, LANES)
                        store(ds, at_s, first_lanes(ds_s, end - s, zeros), LANES)
                    for s in range(first_s, first_key(row - first, window)):
                        p[i * padded + s] = 0
                        ds[i * padded + s] = 0
                for c, count in tiles(head_dim, tile):
                    dq0 = full(q, 0, tile)
                    dq1 = dq0
                    dq2 = dq0
                    dq3 = dq0
                    for s in range(first_s, t3 + 1):
                        k_s = load(k, (first + s) * k_stride + kv_column + c, count, tile)
                        at_k = (first + s) * dk_stride + kv_column + c
                        at_v = (first + s) * dv_stride + kv_column + c
                        dk_s, dv_s = load(dk, at_k, count, tile), load(dv, at_v, count, tile)
                        ds0, ds1 = full(q, ds[s], tile), full(q, ds[padded + s], tile)
                        ds2 = full(q, ds[2 * padded + s], tile)
                        ds3 = full(q, ds[3 * padded + s], tile)
                        dq0 = fma(ds0, k_s, dq0)
                        dq1 = fma(ds1, k_s, dq1)
                        dq2 = fma(ds2, k_s, dq2)
                        dq3 = fma(ds3, k_s, dq3)
                        dk_s = fma(ds0, load(q0, c, count, tile), dk_s)
                        dk_s = fma(ds1, load(q1, c, count, tile), dk_s)
                        dk_s = fma(ds2, load(q2, c, count, tile), dk_s)
                        dk_s = fma(ds3, load(q3, c, count, tile), dk_s)
                        dv_s = fma(full(q, p[s], tile), load(g0, c, count, tile), dv_s)
                        dv_s = fma(full(q, p[padded + s], tile), load(g1, c, count, tile), dv_s)
                        p2, p3 = p[2 * padded + s], p[3 * padded + s]
                        dv_s = fma(full(q, p2, tile), load(g2, c, count, tile), dv_s)
                        dv_s = fma(full(q, p3, tile), load(g3, c, count, tile), dv_s)
                        store(dk, at_k, dk_s, count)
                        store(dv, at_v, dv_s, count)
                    out = at(dq, first * dq_stride + column + c)
                    # the last row is the first of those in its place: it is written at the end
                    store(out, t3 * dq_stride, dq3, count)
                    store(out, t2 * dq_stride, dq2, count)
                    store(out, t1 * dq_stride, dq1, count)
                    store(out, t * dq_stride, dq0, count)

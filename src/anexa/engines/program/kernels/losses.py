"""Kernels of the loss: its denominators, cross-entropy, and the gradient of the logits.

The docstring of the package explains the arguments. Row t has the logits z_t, a target, which is
`IGNORE_INDEX` if there is none, and the loss denominator D_t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import exp
from anexa.engines.program.kernels.language import IGNORE_INDEX, LANES, Pointer, tiles

if TYPE_CHECKING:
    from math import inf, log

    from anexa.engines.program.vectors import (
        at,
        first_lanes,
        full,
        largest,
        load,
        maximum,
        store,
        total,
    )


def loss_denominators(
    targets: Pointer, sequence_weights: Pointer, y: Pointer, rows: int, length: int
) -> None:
    """Loss denominators: D_t = number of targets in the batch / weight of the sequence of row t."""
    num_targets = 0
    for t in range(rows):
        if targets[t] != IGNORE_INDEX:
            num_targets += 1
    for t in range(rows):
        y[t] = num_targets / sequence_weights[t // length]


def cross_entropy(
    logits: Pointer,
    targets: Pointer,
    denominators: Pointer,
    loss: Pointer,
    lse: Pointer,
    rows: int,
    *,
    logits_width: int,
    logits_stride: int,
) -> None:
    """Cross-entropy loss: L = Σ_t (lse_t − z_t,target) / D_t with lse_t = log Σ_v e^(z_tv).

    It writes L and lse_t, for the gradient; rows without a target add nothing and have no lse_t.
    """
    loss_sum = 0.0
    for t in range(rows):
        if targets[t] != IGNORE_INDEX:
            z = at(logits, t * logits_stride)
            tops = full(z, -inf, LANES)
            for c, count in tiles(logits_width, LANES):
                tops = maximum(tops, first_lanes(load(z, c, count, LANES), count, tops))
            top = largest(tops)
            zeros = full(z, 0, LANES)
            sums = zeros
            for c, count in tiles(logits_width, LANES):
                exps = exp(z, load(z, c, count, LANES) - full(z, top, LANES))
                sums = sums + first_lanes(exps, count, zeros)
            log_sum = log(total(sums))
            lse[t] = top + log_sum
            loss_sum += (log_sum - (z[targets[t]] - top)) / denominators[t]
    loss[0] = loss_sum


def cross_entropy_gradient(
    logits: Pointer,
    targets: Pointer,
    denominators: Pointer,
    lse: Pointer,
    y: Pointer,
    rows: int,
    *,
    logits_width: int,
    logits_stride: int,
    y_stride: int,
) -> None:
    """Gradient of the loss: dz_t = (softmax(z_t) − onehot(target)) / D_t; 0 without a target."""
    for t in range(rows):
        z, y_V = at(logits, t * logits_stride), at(y, t * y_stride)
        if targets[t] == IGNORE_INDEX:
            for c, count in tiles(logits_width, LANES):
                store(y_V, c, full(z, 0, LANES), count)
        else:
            lse_t, scale = full(z, lse[t], LANES), full(z, 1 / denominators[t], LANES)
            for c, count in tiles(logits_width, LANES):
                store(y_V, c, exp(z, load(z, c, count, LANES) - lse_t) * scale, count)
            y_V[targets[t]] -= 1 / denominators[t]

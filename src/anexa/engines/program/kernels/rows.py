"""Kernels that compute row by row: lookups, sums, norms, rotary positions and activations.

The docstring of the package explains the arguments; `tokens` and `positions` are int64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import gelu_sigmoid, normal_cdf, sigmoid
from anexa.engines.program.kernels.language import LANES, Pointer, tiles

if TYPE_CHECKING:
    from math import sqrt

    from anexa.engines.program.vectors import (
        at,
        first_lanes,
        fma,
        full,
        load,
        maximum,
        store,
        total,
    )


def embedding(
    table: Pointer, tokens: Pointer, y: Pointer, rows: int, *, y_width: int, y_stride: int
) -> None:
    """Embedding lookup: y_t = E[token_t]."""
    for t in range(rows):
        row = at(table, tokens[t] * y_width)
        for c, count in tiles(y_width, LANES):
            store(y, t * y_stride + c, load(row, c, count, LANES), count)


def embedding_gradient(
    g: Pointer, tokens: Pointer, y: Pointer, rows: int, *, g_width: int, g_stride: int, y_rows: int
) -> None:
    """Gradient of an embedding table: dE[i] = Σ g_t over the t whose token is i."""
    for i, count in tiles(y_rows * g_width, LANES):
        store(y, i, full(g, 0, LANES), count)
    for t in range(rows):
        row = at(y, tokens[t] * g_width)
        for c, count in tiles(g_width, LANES):
            added = load(row, c, count, LANES) + load(g, t * g_stride + c, count, LANES)
            store(row, c, added, count)


def add(
    x: Pointer,
    y: Pointer,
    z: Pointer,
    rows: int,
    *,
    z_rows: int,
    z_width: int,
    x_stride: int,
    y_stride: int,
    z_stride: int,
) -> None:
    """Sum of two arrays: z = x + y.

    `z_rows` is the number of rows if they are not tokens, else 0.
    """
    if z_rows:
        rows = z_rows
    for t in range(rows):
        for c, count in tiles(z_width, LANES):
            sum_c = load(x, t * x_stride + c, count, LANES) + load(
                y, t * y_stride + c, count, LANES
            )
            store(z, t * z_stride + c, sum_c, count)


def copy(
    x: Pointer, y: Pointer, rows: int, *, x_rows: int, x_width: int, x_stride: int, y_stride: int
) -> None:
    """Copy of an array: y = x.

    `x_rows` is the number of rows if they are not tokens, else 0.
    """
    if x_rows:
        rows = x_rows
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            store(y, t * y_stride + c, load(x, t * x_stride + c, count, LANES), count)


def layer_norm(
    x: Pointer,
    gain: Pointer,
    bias: Pointer,
    y: Pointer,
    mean: Pointer,
    sigma: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    y_stride: int,
    eps: float,
) -> None:
    """Layer normalization (Ba et al., 2016): y = n γ + β with n = (x − mean(x)) / σ.

    σ = √(var(x) + ε).
    """
    for t in range(rows):
        x_C = at(x, t * x_stride)
        sums = full(x, 0, LANES)
        for c, count in tiles(x_width, LANES):
            sums = sums + load(x_C, c, count, LANES)
        mean[t] = total(sums) / x_width
        zeros = full(x, 0, LANES)
        mean_t = full(x, mean[t], LANES)
        squares = zeros
        for c, count in tiles(x_width, LANES):
            centered = first_lanes(load(x_C, c, count, LANES) - mean_t, count, zeros)
            squares = fma(centered, centered, squares)
        sigma[t] = sqrt(total(squares) / x_width + eps)
        scale = full(x, 1 / sigma[t], LANES)
        for c, count in tiles(x_width, LANES):
            n = (load(x_C, c, count, LANES) - mean_t) * scale
            scaled = fma(n, load(gain, c, count, LANES), load(bias, c, count, LANES))
            store(y, t * y_stride + c, scaled, count)


def rms_norm(
    x: Pointer,
    gain: Pointer,
    y: Pointer,
    rho: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    gain_width: int,
    y_stride: int,
    rho_width: int,
    eps: float,
) -> None:
    """RMS normalization (Zhang and Sennrich, 2019): y = n γ with n = x / ρ.

    ρ = √(mean(x²) + ε). A row has `rho_width` groups of columns, each with its own ρ.
    """
    width = x_width // rho_width
    for t in range(rows):
        for group in range(rho_width):
            x_C, y_C = at(x, t * x_stride + group * width), at(y, t * y_stride + group * width)
            squares = full(x, 0, LANES)
            for c, count in tiles(width, LANES):
                x_c = load(x_C, c, count, LANES)
                squares = fma(x_c, x_c, squares)
            rho[t * rho_width + group] = sqrt(total(squares) / width + eps)
            scale = full(x, 1 / rho[t * rho_width + group], LANES)
            for c, count in tiles(width, LANES):
                n = load(x_C, c, count, LANES) * scale
                if gain_width:
                    n = n * load(gain, c, count, LANES)
                store(y_C, c, n, count)


def rotary(
    x: Pointer,
    cos: Pointer,
    sin: Pointer,
    positions: Pointer,
    y: Pointer,
    rows: int,
    *,
    cos_width: int,
    x_width: int,
    x_stride: int,
    y_stride: int,
    head_dim: int,
    sign: int,
) -> None:
    """Rotary position embedding: rotation of pairs of columns (i, i + R) of each head.

    y_i = x_i cos α − x_(i+R) sin α,  y_(i+R) = x_(i+R) cos α + x_i sin α (Su et al., 2021).

    The angle α is that of the position. R is the width of the tables; the columns of a head from 2R
    on are copied. With `sign` −1 the angle is −α, as for the gradient.
    """
    for t in range(rows):
        angles = positions[t] * cos_width
        for h in range(x_width // head_dim):
            x_D, y_D = at(x, t * x_stride + h * head_dim), at(y, t * y_stride + h * head_dim)
            for i, count in tiles(cos_width, LANES):
                cos_i = load(cos, angles + i, count, LANES)
                sin_i = load(sin, angles + i, count, LANES) * full(x, sign, LANES)
                a, b = load(x_D, i, count, LANES), load(x_D, cos_width + i, count, LANES)
                store(y_D, i, a * cos_i - b * sin_i, count)
                store(y_D, cos_width + i, fma(b, cos_i, a * sin_i), count)
            for c, count in tiles(head_dim - 2 * cos_width, LANES):
                x_c = load(x_D, 2 * cos_width + c, count, LANES)
                store(y_D, 2 * cos_width + c, x_c, count)


def relu(x: Pointer, y: Pointer, rows: int, *, x_width: int, x_stride: int, y_stride: int) -> None:
    """ReLU: y = max(0, x)."""
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            x_c = load(x, t * x_stride + c, count, LANES)
            store(y, t * y_stride + c, maximum(x_c, full(x, 0, LANES)), count)


def gelu(x: Pointer, y: Pointer, rows: int, *, x_width: int, x_stride: int, y_stride: int) -> None:
    """GELU, tanh form: y = x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³)."""
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            x_c = load(x, t * x_stride + c, count, LANES)
            store(y, t * y_stride + c, x_c * gelu_sigmoid(x, x_c), count)


def gelu_erf(
    x: Pointer, y: Pointer, rows: int, *, x_width: int, x_stride: int, y_stride: int
) -> None:
    """Exact GELU: y = x Φ(x) (Hendrycks and Gimpel, 2016)."""
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            x_c = load(x, t * x_stride + c, count, LANES)
            store(y, t * y_stride + c, x_c * normal_cdf(x, x_c), count)


def swiglu(
    gate: Pointer,
    up: Pointer,
    y: Pointer,
    rows: int,
    *,
    gate_width: int,
    gate_stride: int,
    up_stride: int,
    y_stride: int,
) -> None:
    """SwiGLU: y = a σ(a) b (Shazeer, 2020)."""
    for t in range(rows):
        for c, count in tiles(gate_width, LANES):
            a, b = (
                load(gate, t * gate_stride + c, count, LANES),
                load(up, t * up_stride + c, count, LANES),
            )
            store(y, t * y_stride + c, a * sigmoid(gate, a) * b, count)

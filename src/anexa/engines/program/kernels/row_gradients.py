"""Kernels of the gradients of operations that compute row by row: norms and activations.

A gradient of gains or biases adds up the rows in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.functions import exp, gelu_sigmoid, normal_cdf, sigmoid
from anexa.engines.program.kernels.language import LANES, Pointer, tiles

if TYPE_CHECKING:
    from anexa.engines.program.vectors import (
        at,
        fma,
        full,
        load,
        store,
        total,
        where_positive,
    )


def layer_norm_gradient(
    g: Pointer,
    x: Pointer,
    gain: Pointer,
    mean: Pointer,
    sigma: Pointer,
    dx: Pointer,
    d_gain: Pointer,
    d_bias: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    dx_stride: int,
) -> None:
    """Gradient of layer normalization: dx = (d − mean(d) − n mean(d n)) / σ with d = g γ.

    dγ = Σ_t g n,  dβ = Σ_t g.
    """
    for c, count in tiles(x_width, LANES):
        store(d_gain, c, full(g, 0, LANES), count)
        store(d_bias, c, full(g, 0, LANES), count)
    for t in range(rows):
        g_C, x_C, dx_C = at(g, t * g_stride), at(x, t * x_stride), at(dx, t * dx_stride)
        mean_t, scale = full(g, mean[t], LANES), full(g, 1 / sigma[t], LANES)
        sums = full(g, 0, LANES)
        products = sums
        for c, count in tiles(x_width, LANES):
            g_c = load(g_C, c, count, LANES)
            n_c = (load(x_C, c, count, LANES) - mean_t) * scale
            d_c = g_c * load(gain, c, count, LANES)
            sums = sums + d_c
            products = fma(d_c, n_c, products)
            store(d_gain, c, fma(g_c, n_c, load(d_gain, c, count, LANES)), count)
            store(d_bias, c, load(d_bias, c, count, LANES) + g_c, count)
        mean_d = full(g, total(sums) / x_width, LANES)
        mean_dn = full(g, total(products) / x_width, LANES)
        for c, count in tiles(x_width, LANES):
            n_c = (load(x_C, c, count, LANES) - mean_t) * scale
            d_c = load(g_C, c, count, LANES) * load(gain, c, count, LANES)
            store(dx_C, c, (d_c - mean_d - n_c * mean_dn) * scale, count)


def rms_norm_gradient(
    g: Pointer,
    x: Pointer,
    gain: Pointer,
    rho: Pointer,
    dx: Pointer,
    d_gain: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    rho_width: int,
    dx_stride: int,
) -> None:
    """Gradient of RMS normalization: dx = (d − n mean(d n)) / ρ with d = g γ;  dγ = Σ_t g n.

    Each group of columns is computed on its own.
    """
    width = x_width // rho_width
    for c, count in tiles(width, LANES):
        store(d_gain, c, full(g, 0, LANES), count)
    for t in range(rows):
        for group in range(rho_width):
            column = group * width
            g_C, x_C = at(g, t * g_stride + column), at(x, t * x_stride + column)
            dx_C = at(dx, t * dx_stride + column)
            scale = full(g, 1 / rho[t * rho_width + group], LANES)
            products = full(g, 0, LANES)
            for c, count in tiles(width, LANES):
                gn_c = load(g_C, c, count, LANES) * (load(x_C, c, count, LANES) * scale)
                products = fma(gn_c, load(gain, c, count, LANES), products)
                store(d_gain, c, load(d_gain, c, count, LANES) + gn_c, count)
            mean_dn = full(g, total(products) / width, LANES)
            for c, count in tiles(width, LANES):
                n_c = load(x_C, c, count, LANES) * scale
                d_c = load(g_C, c, count, LANES) * load(gain, c, count, LANES)
                store(dx_C, c, (d_c - n_c * mean_dn) * scale, count)


def rms_norm_gradient_without_gain(
    g: Pointer,
    x: Pointer,
    rho: Pointer,
    dx: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    dx_stride: int,
) -> None:
    """Gradient of RMS normalization without gains: dx = (g − n mean(g n)) / ρ."""
    for t in range(rows):
        g_C, x_C, dx_C = at(g, t * g_stride), at(x, t * x_stride), at(dx, t * dx_stride)
        scale = full(g, 1 / rho[t], LANES)
        products = full(g, 0, LANES)
        for c, count in tiles(x_width, LANES):
            n_c = load(x_C, c, count, LANES) * scale
            products = fma(load(g_C, c, count, LANES), n_c, products)
        mean_gn = full(g, total(products) / x_width, LANES)
        for c, count in tiles(x_width, LANES):
            n_c = load(x_C, c, count, LANES) * scale
            store(dx_C, c, (load(g_C, c, count, LANES) - n_c * mean_gn) * scale, count)


def relu_gradient(
    g: Pointer,
    x: Pointer,
    dx: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    dx_stride: int,
) -> None:
    """Gradient of ReLU: dx = g where x > 0, else 0."""
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            g_c = load(g, t * g_stride + c, count, LANES)
            x_c = load(x, t * x_stride + c, count, LANES)
            store(dx, t * dx_stride + c, where_positive(x_c, g_c), count)


def gelu_gradient(
    g: Pointer,
    x: Pointer,
    dx: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    dx_stride: int,
) -> None:
    """Gradient of GELU, tanh form: dx = g (s + 2 x s (1 − s) u') with s = σ(2 u).

    u' = √(2/π) (1 + 3 · 0.044715 x²).
    """
    one = full(g, 1, LANES)
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            x_c = load(x, t * x_stride + c, count, LANES)
            s = gelu_sigmoid(x, x_c)
            slope = fma(x_c * x_c, full(g, 0.134145, LANES), one)
            slope = slope * full(g, 1.5957691216057308, LANES)  # 2 u'
            slope = fma(x_c * s * (one - s), slope, s)
            store(dx, t * dx_stride + c, load(g, t * g_stride + c, count, LANES) * slope, count)


def gelu_erf_gradient(
    g: Pointer,
    x: Pointer,
    dx: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    g_stride: int,
    dx_stride: int,
) -> None:
    """Gradient of exact GELU: dx = g (Φ(x) + x φ(x)) with φ(x) = e^(−x² / 2) / √(2π)."""
    for t in range(rows):
        for c, count in tiles(x_width, LANES):
            x_c = load(x, t * x_stride + c, count, LANES)
            density = exp(x, x_c * x_c * full(x, -0.5, LANES))
            density = density * full(x, 0.3989422804014327, LANES)  # 1 / √(2π)
            slope = fma(x_c, density, normal_cdf(x, x_c))
            store(dx, t * dx_stride + c, load(g, t * g_stride + c, count, LANES) * slope, count)


def swiglu_gradient(
    g: Pointer,
    gate: Pointer,
    up: Pointer,
    d_gate: Pointer,
    d_up: Pointer,
    rows: int,
    *,
    g_stride: int,
    gate_width: int,
    gate_stride: int,
    up_stride: int,
    d_gate_stride: int,
    d_up_stride: int,
) -> None:
    """Gradient of SwiGLU: da = g b σ(a) (1 + a (1 − σ(a))),  db = g a σ(a)."""
    one = full(g, 1, LANES)
    for t in range(rows):
        for c, count in tiles(gate_width, LANES):
            g_c = load(g, t * g_stride + c, count, LANES)
            a = load(gate, t * gate_stride + c, count, LANES)
            b = load(up, t * up_stride + c, count, LANES)
            s = sigmoid(gate, a)
            slope = s * fma(a, one - s, one)
            store(d_gate, t * d_gate_stride + c, g_c * b * slope, count)
            store(d_up, t * d_up_stride + c, g_c * (a * s), count)

"""Kernels of the optimizer, on the vector of all weights: `OptimizerConfig` has the equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.language import LANES, Pointer, tiles

if TYPE_CHECKING:
    from math import sqrt

    from anexa.engines.program.vectors import (
        fma,
        full,
        load,
        square_roots,
        store,
        total,
    )


def gradient_norm(gradients: Pointer, norm: Pointer, *, gradients_width: int) -> None:
    """Global gradient norm: √(Σ g²).

    The sums of blocks of 4096 squares are accumulated in float64.
    """
    squares = 0.0
    for begin in range(0, gradients_width, 4096):
        end = min(begin + 4096, gradients_width)
        whole = end - (end - begin) % (4 * LANES)
        s0 = full(gradients, 0, LANES)
        s1 = s0
        s2 = s0
        s3 = s0
        for i in range(begin, whole, 4 * LANES):
            g0, g1 = load(gradients, i, LANES, LANES), load(gradients, i + LANES, LANES, LANES)
            g2 = load(gradients, i + 2 * LANES, LANES, LANES)
            g3 = load(gradients, i + 3 * LANES, LANES, LANES)
            s0 = fma(g0, g0, s0)
            s1 = fma(g1, g1, s1)
            s2 = fma(g2, g2, s2)
            s3 = fma(g3, g3, s3)
        squares += total((s0 + s1) + (s2 + s3))
        for i in range(whole, end):
            squares += gradients[i] * gradients[i]
    norm[0] = sqrt(squares)


def adamw(
    weights: Pointer,
    gradients: Pointer,
    m: Pointer,
    v: Pointer,
    segments: Pointer,
    scalars: Pointer,
    norm: Pointer,
) -> None:
    """Update segments of the weights and their moments by AdamW, bit for bit as the numpy engine.

    To round like NumPy, no product is fused with a sum, and no division is replaced by a product
    with the inverse: the glass box shows the numbers of a step to the last bit. If the gradient
    norm is NaN, the gradients are not clipped, so that the NaN stays visible in the weights.

    Args:
        weights: all weights as one vector, which is updated in place.
        gradients: gradients of the weights, before clipping.
        m: mean of the gradients, which is updated in place.
        v: mean of the squared gradients, which is updated in place.
        segments: number of segments; then for each segment its start and end in the vector, and
            whether its weights decay.
        scalars: r, 1−β₁, 1−β₂, ε, 1−β₁ᵗ, 1−β₂ᵗ, factor of weight decay, `max_grad_norm` (0: no
            clipping), and `CLIP_EPS`, which is added to the norm.
        norm: global gradient norm, (1,).
    """
    factor = 1.0
    if scalars[7] > 0 and scalars[7] < norm[0] + scalars[8]:
        factor = scalars[7] / (norm[0] + scalars[8])
    scale = full(m, factor, LANES)
    rate, eps = full(m, scalars[0], LANES), full(m, scalars[3], LANES)
    m_rate, v_rate = full(m, scalars[1], LANES), full(m, scalars[2], LANES)
    m_bias, v_bias = full(m, scalars[4], LANES), full(m, scalars[5], LANES)
    for segment in range(segments[0]):
        begin, end = segments[1 + 3 * segment], segments[2 + 3 * segment]
        decay = full(m, scalars[6] if segments[3 + 3 * segment] else 1.0, LANES)
        for offset, count in tiles(end - begin, LANES):
            i = begin + offset
            g_i = scale * load(gradients, i, count, LANES)
            m_i, v_i = load(m, i, count, LANES), load(v, i, count, LANES)
            m_i = m_i + m_rate * (g_i - m_i)
            v_i = v_i + v_rate * (g_i * g_i - v_i)
            store(m, i, m_i, count)
            store(v, i, v_i, count)
            update = (m_i / m_bias) / (square_roots(v_i / v_bias) + eps)
            w_i = load(weights, i, count, LANES) * decay
            store(weights, i, w_i - rate * update, count)

"""Functions that kernels call: elementwise functions of vectors, and products of four rows.

`p` is any pointer to numbers of the program's precision: only its type is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.language import (
    CDF_COEFFICIENTS,
    FLOAT64,
    LANES,
    Pointer,
    VectorLike,
)

if TYPE_CHECKING:
    from anexa.engines.program.vectors import (
        fma,
        full,
        load,
        maximum,
        minimum,
        power_of_two,
        round_even,
        store,
        where_positive,
    )


def exp(p: Pointer, x: VectorLike) -> VectorLike:
    """Compute e^x, lane by lane: 2^n e^r with n = round(x / log 2) and r = x − n log 2.

    So |r| ≤ log 2 / 2. e^r is computed by its Taylor polynomial, whose remainder is below the
    precision. x is clamped to a range in which 2^n is neither 0 nor infinite.
    """
    if FLOAT64:
        x = minimum(maximum(x, full(p, -708.0, LANES)), full(p, 709.0, LANES))
    else:
        x = minimum(maximum(x, full(p, -87.0, LANES)), full(p, 88.0, LANES))
    n = round_even(x * full(p, 1.4426950408889634, LANES))
    # log 2 in two parts; the first has few digits, so that n times it is exact
    r = fma(n, full(p, -0.693145751953125, LANES), x)
    r = fma(n, full(p, -1.428606820309417e-06, LANES), r)
    y = full(p, 1 / 5040, LANES)
    if FLOAT64:
        y = full(p, 1 / 6227020800, LANES)
        y = fma(y, r, full(p, 1 / 479001600, LANES))
        y = fma(y, r, full(p, 1 / 39916800, LANES))
        y = fma(y, r, full(p, 1 / 3628800, LANES))
        y = fma(y, r, full(p, 1 / 362880, LANES))
        y = fma(y, r, full(p, 1 / 40320, LANES))
        y = fma(y, r, full(p, 1 / 5040, LANES))
    y = fma(y, r, full(p, 1 / 720, LANES))
    y = fma(y, r, full(p, 1 / 120, LANES))
    y = fma(y, r, full(p, 1 / 24, LANES))
    y = fma(y, r, full(p, 1 / 6, LANES))
    y = fma(y, r, full(p, 1 / 2, LANES))
    y = fma(y, r, full(p, 1, LANES))
    y = fma(y, r, full(p, 1, LANES))
    return y * power_of_two(n)


def sigmoid(p: Pointer, x: VectorLike) -> VectorLike:
    """Compute the logistic function, lane by lane: σ(x) = 1 / (1 + e^−x)."""
    one = full(p, 1, LANES)
    return one / (one + exp(p, full(p, 0, LANES) - x))


def gelu_sigmoid(p: Pointer, x: VectorLike) -> VectorLike:
    """Compute the factor of x in the tanh form of GELU, lane by lane.

    (1 + tanh u) / 2 = σ(2 u) with u = √(2/π) (x + 0.044715 x³).
    """
    cubic = fma(x * x, full(p, 0.044715, LANES), full(p, 1, LANES))
    return sigmoid(p, x * cubic * full(p, 1.5957691216057308, LANES))  # 2 √(2/π)


def normal_cdf(p: Pointer, x: VectorLike) -> VectorLike:
    """Compute the standard normal distribution function Φ, lane by lane.

    The formula is that of `anexa.engines.operations.normal_distribution`.
    """
    zero, one = full(p, 0, LANES), full(p, 1, LANES)
    z = maximum(x, zero - x) * full(p, 0.7071067811865476, LANES)  # √(1/2)
    t = full(p, 2.5, LANES) / (full(p, 2.5, LANES) + z)
    u = t + t - one
    y = zero
    for coefficient in CDF_COEFFICIENTS:
        y = fma(y, u, full(p, coefficient, LANES))
    tail = exp(p, y - z * z) * t * full(p, 0.5, LANES)
    return tail + where_positive(x, one - tail - tail)


def first_key(position: int, window: int) -> int:
    """Return the position of the first key that a query attends to.

    Args:
        position: position of the query.
        window: number of last keys that it attends to, its own included; 0: all keys up to its own.
    """
    return max(position + 1 - window, 0) if window > 0 else 0


def four_products(
    x0: Pointer,
    x1: Pointer,
    x2: Pointer,
    x3: Pointer,
    w: Pointer,
    y: Pointer,
    width: int,
    stride: int,
    scale: VectorLike,
) -> None:
    """Compute the products of four rows x with a matrix w: y_i = `scale` Σ_d x_i,d w_d.

    Each row x_i has `width` numbers; w_d is row d of w, and has LANES numbers, as y_i has. The rows
    of w are `stride` numbers apart, and so are the rows of y, which is overwritten.
    """
    s0 = full(w, 0, LANES)
    s1 = s0
    s2 = s0
    s3 = s0
    for d in range(width):
        w_d = load(w, d * stride, LANES, LANES)
        s0 = fma(full(w, x0[d], LANES), w_d, s0)
        s1 = fma(full(w, x1[d], LANES), w_d, s1)
        s2 = fma(full(w, x2[d], LANES), w_d, s2)
        s3 = fma(full(w, x3[d], LANES), w_d, s3)
    store(y, 0, s0 * scale, LANES)
    store(y, stride, s1 * scale, LANES)
    store(y, 2 * stride, s2 * scale, LANES)
    store(y, 3 * stride, s3 * scale, LANES)

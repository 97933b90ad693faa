"""Frequencies of rotary positions: the angles between neighboring positions, in radians."""

from __future__ import annotations


def rotary_frequencies(dim: int, theta: float) -> tuple[float, ...]:
    """Return the frequencies f_i = θ^(−2i/R) for 0 ≤ i < R/2 (Su et al., 2021, section 3.2.2).

    Args:
        dim: number of columns of each head that are rotated, R.
        theta: base of the wavelengths, θ.
    """
    half = dim // 2
    return tuple([theta ** (-i / half) for i in range(half)])

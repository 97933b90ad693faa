"""Frequencies of rotary positions: the angles between neighboring positions, in radians."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TypeAlias


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by a factor, f' = f / s (Chen et al., 2023, "Position Interpolation").

    Attributes:
        factor: the factor, s, at least 1.
    """

    factor: float

    def scale(self, frequency: float) -> float:
        """Return a frequency of rotary positions, divided by the factor.

        Args:
            frequency: angle between neighboring positions, in radians.
        """
        return frequency / self.factor


@dataclass(frozen=True)
class Llama3Scaling:
    """Scaled positions of Llama 3.1 and later (`apply_scaling` in Meta's `llama_models`).

    A wave that turns at least `high_freq_factor` times in the original context keeps its frequency;
    one that turns at most `low_freq_factor` times is divided by the factor s; between them,
    f' = (1 − w) f / s + w f with w = (turns − low) / (high − low), where turns = L f / 2π.

    Attributes:
        factor: the factor, s.
        low_freq_factor: turns up to which a frequency is divided by the factor.
        high_freq_factor: turns from which a frequency is unchanged.
        original_max_position_embeddings: context of the model before it was scaled, L, in tokens.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def scale(self, frequency: float) -> float:
        """Return a frequency of rotary positions: a low one divided by the factor, a high one kept.

        Args:
            frequency: angle between neighboring positions, in radians.
        """
        turns = self.original_max_position_embeddings * frequency / (2 * pi)
        low, high = self.low_freq_factor, self.high_freq_factor
        weight = min(max((turns - low) / (high - low), 0.0), 1.0)
        return (1 - weight) * frequency / self.factor + weight * frequency


RopeScaling: TypeAlias = LinearScaling | Llama3Scaling


def rotary_frequencies(
    dim: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[float, ...]:
    """Compute the frequencies of rotary positions: f_i = θ^(−2i/R) for 0 ≤ i < R/2.

    Source: Su et al., 2021, section 3.2.2.

    Args:
        dim: number of columns of each head that are rotated, R.
        theta: base of the wavelengths, θ.
        scaling: scaling that is applied to each frequency; default: none.

    Returns:
        The R/2 frequencies, in radians per position.
    """
    half = dim // 2
    frequencies = [theta ** (-i / half) for i in range(half)]
    return tuple(map(scaling.scale, frequencies) if scaling else frequencies)

"""From logits to a token: temperature, top-k, top-p, and a draw. The same for every engine."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError, UsageError


@dataclass(frozen=True)
class SamplingParams:
    """How to choose the next token.

    Attributes:
        temperature: what logits are divided by; 0 takes the likeliest token every time.
        top_k: only the k likeliest tokens can be drawn; None: all.
        top_p: only the likeliest tokens that together have this probability; 1: all.
        seed: of the draws.

    Raises:
        UsageError: a value that means nothing.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 42

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UsageError(f"the temperature must be 0 or more, not {self.temperature}")
        if self.seed < 0:  # Python's generator would take it for its opposite
            raise UsageError(f"the seed must be 0 or more, not {self.seed}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k must be at least 1, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")


def finite(logits: Sequence[float]) -> npt.NDArray[np.float64]:
    """The V logits as an array.

    Raises:
        AnexaError: they are not numbers.
    """
    z = np.asarray(logits, np.float64)
    if not np.isfinite(z).all():
        raise AnexaError("the model's output is not a number: its weights are damaged")
    return z


def probabilities(logits: Sequence[float], sampling: SamplingParams) -> npt.NDArray[np.float64]:
    """The probability with which each of the V tokens is drawn.

    Temperature first, then top-k, then top-p on what is left, as in transformers. Among equals
    the lower id counts as likelier.

    Raises:
        AnexaError: the logits are not numbers.
    """
    z = finite(logits)
    if sampling.temperature == 0:
        certain: npt.NDArray[np.float64] = np.eye(1, len(z), int(z.argmax()))[0]
        return certain
    # The shift keeps exp() in range; a tiny temperature may still take the others to −∞, rightly.
    with np.errstate(over="ignore"):
        p: npt.NDArray[np.float64] = np.exp((z - z.max()) / sampling.temperature)
    if sampling.top_k is not None or sampling.top_p < 1:
        order = np.argsort(-p, kind="stable")[: sampling.top_k]
        before = np.cumsum(p[order]) - p[order]  # the mass of the likelier ones
        order = order[before < sampling.top_p * p[order].sum()]
        kept = np.zeros_like(p)
        kept[order] = p[order]
        p = kept
    p /= p.sum()
    return p


class Sampler:
    """Draws tokens, one after another, with a random state of its own."""

    def __init__(self, sampling: SamplingParams) -> None:
        self.sampling = sampling
        self._rng = random.Random(sampling.seed)

    def draw(self, logits: Sequence[float]) -> int:
        """A token id.

        Raises:
            AnexaError: the logits are not numbers.
        """
        if self.sampling.temperature == 0:
            return int(finite(logits).argmax())
        cumulative = np.cumsum(probabilities(logits, self.sampling))
        # The last sum may fall short of 1 by rounding: a draw is below it, and so never past the
        # last token that has any probability.
        return int(np.searchsorted(cumulative, self._rng.random() * cumulative[-1], side="right"))

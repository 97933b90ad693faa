"""Sampling of tokens from logits: greedy, or by temperature, top-k and top-p; for all engines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError
from anexa.ranges import Range

Floats = npt.NDArray[np.float64]

MAX_COUNT = 10**9  # of tokens, more than any model generates or has
RANGES = {
    "temperature": Range(float, ge=0),
    "top_k": Range(int, ge=1, le=MAX_COUNT),
    "top_p": Range(float, gt=0, le=1),
    "seed": Range(int, ge=0, lt=2**64),  # Python's generator takes -1 for 1
    "max_tokens": Range(int, ge=1, le=MAX_COUNT),
    "n": Range(int, ge=1),
}


@dataclass(frozen=True)
class SamplingParams:
    """Parameters that say how the next token of a sequence is chosen; `RANGES` has their ranges.

    Attributes:
        temperature: number that logits are divided by; 0 means greedy decoding: always the
            likeliest token.
        top_k: sample from the k likeliest tokens only; None means from all.
        top_p: sample from the fewest likeliest tokens whose probabilities add up to at least this
            number, above 0 and at most 1; 1 means from all.
        seed: seed of the sequence's random state.

    Raises:
        UsageError: if a value is not in its range.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 42

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (name == "top_k" and value is None):
                RANGES[name].check(name, value)


GREEDY = SamplingParams(temperature=0.0)


class Sampler:
    """The sampling parameters and the random state of one sequence.

    Args:
        params: sampling parameters; their seed initializes the random state.

    Attributes:
        params: sampling parameters.
        rng: random state; every token that is not chosen greedily draws one number.
    """

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self.rng = random.Random(int(params.seed))

    def sample(self, logits_V: Sequence[float]) -> int:
        """Choose the next token.

        Args:
            logits_V: V logits.

        Raises:
            AnexaError: if a logit is infinite or not a number.
        """
        (token,) = sample_batch(np.asarray(logits_V)[None], [self])
        if token is None:
            raise non_finite_logits()
        return token


def sample_batch(
    logits_BV: npt.NDArray[np.floating], samplers: Sequence[Sampler]
) -> list[int | None]:
    """Choose the next token of each of B sequences.

    A token depends on the logits and the random state of its own sequence alone.

    Args:
        logits_BV: logits, shape (B, V).
        samplers: B samplers, one per sequence.

    Returns:
        B token ids; None for a sequence with a logit that is infinite or not a number.
    """
    z_BV = np.asarray(logits_BV, np.float64)
    finite_B = np.asarray(np.isfinite(z_BV).all(axis=-1)).tolist()
    tokens: list[int] = z_BV.argmax(axis=-1).tolist()
    sampled = [b for b, s in enumerate(samplers) if finite_B[b] and s.params.temperature > 0]
    if sampled:
        p_BV = probabilities(z_BV[sampled], [samplers[b].params for b in sampled])
        for b, cumulative_V in zip(sampled, p_BV.cumsum(axis=-1)):
            # Scaled by the last sum, which rounding may leave below 1: so a draw never falls behind
            # the last token with a probability above 0.
            draw = samplers[b].rng.random() * cumulative_V[-1]
            tokens[b] = int(cumulative_V.searchsorted(draw, side="right"))
    return [token if finite else None for token, finite in zip(tokens, finite_B)]


def probabilities(logits_BV: npt.NDArray[np.floating], params: Sequence[SamplingParams]) -> Floats:
    """Compute the probability with which each token is sampled.

    Applies temperature, then top-k, then top-p, in this order, as in transformers. Of tokens with
    equal logits, the one with the lower id is kept first.

    Args:
        logits_BV: finite logits, shape (B, V).
        params: B sampling parameters, one per sequence.

    Returns:
        Probabilities, shape (B, V); every row adds up to 1.
    """
    z_BV = np.asarray(logits_BV, np.float64)
    temperature_B1 = np.array([[p.temperature or 1.0] for p in params])
    # The largest logit becomes 0, so exp() cannot overflow; a tiny temperature may make others −∞.
    with np.errstate(over="ignore"):
        p_BV: Floats = np.exp((z_BV - z_BV.max(axis=-1, keepdims=True)) / temperature_B1)
    for p_V, z_V, param in zip(p_BV, z_BV, params):
        if param.temperature == 0:
            p_V[:] = 0.0
            p_V[z_V.argmax()] = 1.0
        elif param.top_k is not None or param.top_p < 1:
            order = np.argsort(-p_V, kind="stable")[: param.top_k]
            likelier = np.cumsum(p_V[order]) - p_V[order]  # total probability of likelier tokens
            order = order[likelier < param.top_p * p_V[order].sum()]
            kept = p_V[order]
            p_V[:] = 0.0
            p_V[order] = kept
    p_BV /= p_BV.sum(axis=-1, keepdims=True)
    return p_BV


def non_finite_logits() -> AnexaError:
    """Make the error about logits that are infinite or NaN."""
    return AnexaError("the model's output is not a number: its weights are damaged")

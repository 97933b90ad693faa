"""Sampling of tokens from logits, for all engines.

The order is that of transformers: bias, repetition penalty, frequency and presence penalties,
tokens that are not allowed; then temperature, top-k, top-p and min-p.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError
from anexa.generation import logits_processors
from anexa.generation.logits_processors import Floats
from anexa.generation.sampling_params import SamplingParams


class Constraint(Protocol):
    """A rule about the tokens of one sequence, such as that they are a JSON object.

    An `AnexaError` raised by a method ends the sequence, and no other.
    """

    def mask(self) -> npt.NDArray[np.bool_]:
        """Return the mask of allowed next tokens, shape (V,); at least one is allowed."""

    def advance(self, token: int) -> None:
        """Append a generated token to the sequence; `mask` is then about the token after it."""


class TokenHistory(Protocol):
    """The tokens of a sequence so far."""

    @property
    def tokens(self) -> Sequence[int]:
        """Token ids of the prompt and the generated tokens."""

    @property
    def num_prompt_tokens(self) -> int:
        """Number of tokens in the prompt."""


class SequenceTokens(NamedTuple):
    """Tokens of a sequence that is not in a scheduler; implements `TokenHistory`.

    Attributes:
        tokens: token ids of the prompt and the generated tokens.
        num_prompt_tokens: number of tokens in the prompt.
    """

    tokens: Sequence[int]
    num_prompt_tokens: int


class Sampler:
    """The sampling parameters and the random state of one sequence.

    Args:
        params: sampling parameters; their seed initializes the random state.
        constraint: rule about the generated tokens; None means that all are allowed.
        eos_token_ids: ids of the model's end-of-sequence tokens, which `min_tokens` forbids.

    Attributes:
        params: sampling parameters.
        rng: random state; every token that is not chosen greedily draws one number.
        constraint: rule about the generated tokens; None means that all are allowed.
        changes_logits: whether `process_logits` changes the logits.
    """

    def __init__(
        self,
        params: SamplingParams,
        constraint: Constraint | None = None,
        eos_token_ids: Collection[int] = (),
    ) -> None:
        self.params, self.constraint = params, constraint
        self.rng = random.Random(int(params.seed))
        self.changes_logits = params.changes_logits or constraint is not None
        self._end_token_ids = params.end_token_ids(eos_token_ids)

    def sample(
        self, logits_V: Sequence[float], tokens: Sequence[int] = (), num_prompt_tokens: int = 0
    ) -> int:
        """Sample the next token of the sequence; advances the random state and the constraint.

        Args:
            logits_V: logits of the next token, V numbers.
            tokens: token ids of the prompt and the generated tokens.
            num_prompt_tokens: number of tokens in the prompt.

        Returns:
            Id of the token.

        Raises:
            AnexaError: if a logit is infinite or not a number, or the constraint fails.
        """
        sequence = SequenceTokens(tokens, num_prompt_tokens)
        (token,) = sample_batch(np.asarray(logits_V)[None], [self], [sequence])
        if isinstance(token, AnexaError):
            raise token
        return token

    def process_logits(self, logits_V: Floats, sequence: TokenHistory) -> Floats:
        """Apply bias, penalties, `min_tokens` and the constraint.

        Args:
            logits_V: finite logits, shape (V,).
            sequence: tokens so far.

        Returns:
            New logits, shape (V,); −∞ for a token that is not allowed.

        Raises:
            AnexaError: if the constraint fails.
        """
        params, z_V = self.params, logits_V.copy()
        generated = sequence.tokens[sequence.num_prompt_tokens :]
        with np.errstate(over="ignore"):
            if params.logit_bias:
                logits_processors.add_bias(z_V, params.logit_bias)
            if params.repetition_penalty != 1:
                logits_processors.penalize_repetition(
                    z_V, sequence.tokens, params.repetition_penalty
                )
            if params.frequency_penalty or params.presence_penalty:
                logits_processors.penalize_frequency(
                    z_V, generated, params.frequency_penalty, params.presence_penalty
                )
        np.nan_to_num(z_V, copy=False)  # an infinite logit becomes the largest number
        forbidden = self._end_token_ids if len(generated) < params.min_tokens else ()
        if forbidden or self.constraint:
            mask_V = self.constraint.mask() if self.constraint else None
            logits_processors.mask_disallowed(z_V, mask_V, forbidden)
        return z_V


def sample_batch(
    logits_BV: npt.NDArray[np.floating],
    samplers: Sequence[Sampler],
    sequences: Sequence[TokenHistory],
) -> list[int | AnexaError]:
    """Choose the next token of each of B sequences, and append it to their constraints.

    The random states of the samplers advance; the tokens are not appended to `sequences`. A token
    depends on the logits, the tokens and the random state of its own sequence alone.

    Args:
        logits_BV: logits, shape (B, V).
        samplers: B samplers, one per sequence.
        sequences: tokens of the B sequences so far.

    Returns:
        B token ids; instead of an id the error, if a logit of the sequence is infinite or not a
        number, or if its constraint fails.
    """
    z_BV = np.asarray(logits_BV, np.float64)
    finite_B = np.asarray(np.isfinite(z_BV).all(axis=-1)).tolist()
    errors = {b: non_finite_logits_error() for b, finite in enumerate(finite_B) if not finite}
    changed = [b for b, s in enumerate(samplers) if s.changes_logits and b not in errors]
    if changed:
        z_BV = z_BV.copy()
    for b in changed:
        try:
            z_BV[b] = samplers[b].process_logits(z_BV[b], sequences[b])
        except AnexaError as error:
            errors[b] = error
    tokens: list[int] = z_BV.argmax(axis=-1).tolist()
    sampled = [b for b, s in enumerate(samplers) if s.params.temperature > 0 and b not in errors]
    if sampled:
        p_BV = probabilities(z_BV[sampled], [samplers[b].params for b in sampled])
        for b, cumulative_V in zip(sampled, p_BV.cumsum(axis=-1)):
            # Scaled by the last sum, which rounding may leave below 1: so a draw never falls behind
            # the last token with a probability above 0.
            draw = samplers[b].rng.random() * cumulative_V[-1]
            tokens[b] = int(cumulative_V.searchsorted(draw, side="right"))
    for b in changed:
        constraint = samplers[b].constraint
        if constraint and b not in errors:
            try:
                constraint.advance(tokens[b])
            except AnexaError as error:
                errors[b] = error
    return [errors.get(b, token) for b, token in enumerate(tokens)]


def probabilities(logits_BV: npt.NDArray[np.floating], params: Sequence[SamplingParams]) -> Floats:
    """Compute the probability with which each token is sampled.

    Applies temperature, then top-k, then top-p, then min-p, in this order, as in transformers. Of
    tokens with equal logits, the one with the lower id is kept first.

    Args:
        logits_BV: logits, shape (B, V): finite, or −∞ for a token that is not allowed.
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
            is_kept = likelier < param.top_p * p_V[order].sum()
            is_kept[0] = True  # even if top_p is 0
            order = order[is_kept]
            kept = p_V[order]
            p_V[:] = 0.0
            p_V[order] = kept
        if param.min_p > 0:
            p_V[p_V < param.min_p * p_V.max()] = 0.0
    p_BV /= p_BV.sum(axis=-1, keepdims=True)
    return p_BV


def non_finite_logits_error() -> AnexaError:
    """Create the error about logits that are infinite or NaN."""
    return AnexaError("the model's output is not a number: its weights are damaged")

"""Log probabilities of the tokens of a generated text or of a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from anexa.generation.sampling import non_finite_logits_error


class TokenLogprob(NamedTuple):
    """Log probability of a token, and of the most likely tokens at its position.

    Attributes:
        token: token id.
        logprob: natural logarithm of the token's probability at temperature 1.
        rank: 1 plus the number of tokens that are more likely.
        top: ids and log probabilities of the most likely tokens, the most likely one first.
        offset: index, in the text, of the character that the token begins in; 0 for a token of a
            prompt.
    """

    token: int
    logprob: float
    rank: int
    top: Sequence[tuple[int, float]]
    offset: int = 0


def token_logprob(
    logits: Sequence[float], token: int, num_top: int, offset: int = 0
) -> TokenLogprob:
    """Compute the log probability of a token, and the most likely tokens at its position.

    Args:
        logits: logits of the position that the token stands at, shape (V,); finite or −∞, which is
            not checked.
        token: id of the token at the position.
        num_top: number of most likely tokens, 0 for none; of equally likely tokens, the ones with
            lower ids are chosen, and come first.
        offset: index, in the text, of the character that the token begins in.

    Returns:
        The log probability and the rank of the token, and the most likely tokens.
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max() - math.log(np.exp(z - z.max()).sum())
    rest = min(max(0, len(z) - num_top), len(z) - 1)
    likely = np.flatnonzero(z >= np.partition(z, rest)[rest])  # with ties, more than `num_top`
    top = likely[np.argsort(-z[likely], kind="stable")][:num_top].tolist()
    rank = 1 + int(np.count_nonzero(z > z[token]))
    return TokenLogprob(token, float(z[token]), rank, tuple((n, float(z[n])) for n in top), offset)


def prompt_logprobs(
    logits_TV: Sequence[Sequence[float]], next_tokens: Sequence[int], num_top: int
) -> list[TokenLogprob]:
    """Compute the log probability of each token of a prompt, given the tokens before it.

    Args:
        logits_TV: logits of the next token after each of T tokens.
        next_tokens: ids of the token after each of the T tokens; T − 1 ids if the last of the T
            tokens ends the prompt.
        num_top: number of most likely tokens at each position, 0 for none.

    Returns:
        A result for each of the next tokens.

    Raises:
        AnexaError: if a logit is infinite or not a number.
    """
    logprobs = []
    for logits_V, token in zip(logits_TV, next_tokens):
        if not np.isfinite(logits_V).all():
            raise non_finite_logits_error()
        logprobs.append(token_logprob(logits_V, token, num_top))
    return logprobs

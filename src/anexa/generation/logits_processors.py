"""Changes of the logits of one sequence before its next token is sampled.

Each function changes an array of logits, shape (V,), in place. The definitions are those of
transformers (`LogitsProcessor`) and, for the frequency and presence penalties, OpenAI's and vLLM's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]  # logits or probabilities


def add_bias(z_V: Floats, logit_bias: Mapping[int, float]) -> None:
    """Add a number to the logits of some tokens.

    Args:
        z_V: logits, shape (V,), changed in place.
        logit_bias: number to add, by token id.
    """
    z_V[[*logit_bias]] += [*logit_bias.values()]


def penalize_repetition(z_V: Floats, tokens: Collection[int], penalty: float) -> None:
    """Divide positive logits by a penalty, and multiply negative ones, as CTRL does.

    Args:
        z_V: logits, shape (V,), changed in place.
        tokens: tokens of the prompt and the generated tokens; each counts once.
        penalty: number above 0; above 1, the tokens become less likely.
    """
    seen = [*set(tokens)]
    z_V[seen] = np.where(z_V[seen] < 0, z_V[seen] * penalty, z_V[seen] / penalty)


def penalize_frequency(
    z_V: Floats, generated: Sequence[int], frequency: float, presence: float
) -> None:
    """Lower the logits of generated tokens, by how often they occur.

    Args:
        z_V: logits, shape (V,), changed in place.
        generated: generated tokens, without the prompt.
        frequency: number that is subtracted for each occurrence of a token.
        presence: number that is subtracted once from each token that occurs.
    """
    counts_V = np.bincount(np.asarray(generated, np.int64), minlength=len(z_V))
    z_V -= frequency * counts_V + presence * (counts_V > 0)


def mask_disallowed(
    z_V: Floats, mask_V: npt.NDArray[np.bool_] | None, forbidden: Collection[int]
) -> None:
    """Set the logits of tokens that are not allowed to −∞.

    Args:
        z_V: logits, shape (V,), changed in place.
        mask_V: whether each token is allowed, shape (V,); at least one is. None: all are.
        forbidden: tokens that are not allowed, unless there are no others.
    """
    allowed_V = np.ones(len(z_V), bool) if mask_V is None else mask_V.copy()
    allowed_V[[*forbidden]] = False
    if allowed_V.any():
        z_V[~allowed_V] = -np.inf
    elif mask_V is not None:
        z_V[~mask_V] = -np.inf

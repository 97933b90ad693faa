"""Embeddings of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anexa.engines import Engine
from anexa.generation.sampling import non_finite_logits_error


def embed(engine: Engine, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """Compute the embedding of a text: the mean of its last hidden states, scaled to length 1.

    Args:
        engine: engine with the model's weights.
        tokens: token ids of the text, from 1 to `block_size`.

    Returns:
        Embedding, shape (C,). It is 0 if the mean is.

    Raises:
        AnexaError: if a hidden state is infinite or not a number.
        MemoryError: if the memory is too small.
    """
    mean_C = np.asarray(engine.hidden_states(tokens), np.float64).mean(axis=0)
    norm = np.linalg.norm(mean_C)
    if not np.isfinite(norm):
        raise non_finite_logits_error()
    embedding_C: npt.NDArray[np.float32] = (mean_C / (norm or 1.0)).astype(np.float32)
    return embedding_C

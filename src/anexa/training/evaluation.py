"""Validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.data.batches import Dataset, TokenSequence
from anexa.engines import Batch, Engine

EVALUATION_SEQUENCES = 128  # validation sequences of an evaluation


def to_batch(dataset: Dataset, sequences: Sequence[TokenSequence]) -> Batch:
    """Collate sequences into a batch in which prompt tokens have no loss."""
    return Batch.from_sequences(sequences, [dataset.num_prompt_tokens(ids) for ids in sequences])


def mean_loss(engine: Engine, dataset: Dataset, batch_size: int) -> float:
    """Compute the mean loss over sequences that are spread evenly over a dataset.

    Args:
        engine: engine with the weights.
        dataset: validation dataset.
        batch_size: number of sequences in a batch.

    Returns:
        The loss in nats a token.
    """
    sample = dataset.sample(EVALUATION_SEQUENCES)
    total, count = 0.0, 0
    for start in range(0, len(sample), batch_size):
        batch = to_batch(dataset, sample[start : start + batch_size])
        total += engine.loss(batch) * batch.num_targets
        count += batch.num_targets
    return total / count

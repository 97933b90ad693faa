"""Validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.data.batches import Dataset, LabeledSequence
from anexa.engines import Batch, Engine

EVALUATION_SEQUENCES = 128  # validation sequences of an evaluation


def to_batch(sequences: Sequence[LabeledSequence]) -> Batch:
    """Collate sequences into a batch."""
    return Batch.from_labels([s.ids for s in sequences], [s.labels for s in sequences])


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
        batch = to_batch(sample[start : start + batch_size])
        total += engine.loss(batch) * batch.num_targets
        count += batch.num_targets
    return total / count

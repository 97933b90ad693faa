"""Computation of the validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.data.batches import Dataset, LabeledSequence
from anexa.data.mixture import Mixture
from anexa.engines import Batch, Engine

MAX_EVALUATION_SEQUENCES = 128  # maximum number of validation sequences of an evaluation


def to_batch(sequences: Sequence[LabeledSequence]) -> Batch:
    """Collate labeled sequences into a batch, with padding at the end of shorter ones."""
    ids, labels, positions = zip(*sequences)
    return Batch.from_labels(ids, labels, positions=positions)


def num_tokens(sequences: Sequence[LabeledSequence]) -> int:
    """Count the tokens of sequences, with and without a loss, and without padding."""
    return sum(len(sequence.ids) for sequence in sequences)


def mean_loss(engine: Engine, dataset: Dataset, batch_size: int) -> float:
    """Compute the mean loss over at most `MAX_EVALUATION_SEQUENCES`, spread evenly over a dataset.

    Args:
        engine: engine with the weights.
        dataset: validation dataset.
        batch_size: number of sequences in a batch.

    Returns:
        The loss in nats per token.

    Raises:
        MemoryError: if the memory is too small, as in `Engine.loss`.
    """
    return mean_losses(engine, dataset, batch_size)[0]


def mean_losses(
    engine: Engine, dataset: Dataset, batch_size: int
) -> tuple[float, list[float | None]]:
    """Compute the mean loss as `mean_loss` does, and, of a mixture, that of each of its datasets.

    Args:
        engine: engine with the weights.
        dataset: validation dataset.
        batch_size: number of sequences in a batch.

    Returns:
        The loss in nats per token, and a list with the loss of each dataset of a `Mixture`: None
        for a dataset without a sequence in the sample. For any other dataset, the list is empty.

    Raises:
        MemoryError: if the memory is too small, as in `Engine.loss`.
    """
    is_mixture = isinstance(dataset, Mixture)
    samples = (
        dataset.eval_sequences_by_dataset(MAX_EVALUATION_SEQUENCES)
        if isinstance(dataset, Mixture)
        else [dataset.eval_sequences(MAX_EVALUATION_SEQUENCES)]
    )
    sums = [_sum_losses(engine, sample, batch_size) for sample in samples]
    total, count = (sum(column) for column in zip(*sums))
    parts = [total / count if count else None for total, count in sums]
    return total / count, parts if is_mixture else []


def _sum_losses(
    engine: Engine, sample: Sequence[LabeledSequence], batch_size: int
) -> tuple[float, int]:
    """Compute the sum of the losses of all targets in sequences, in nats, and their number."""
    total, count = 0.0, 0
    for start in range(0, len(sample), batch_size):
        batch = to_batch(sample[start : start + batch_size])
        total += engine.loss(batch) * batch.num_targets
        count += batch.num_targets
    return total, count

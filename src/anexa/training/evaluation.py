"""The loss over rows that no step has seen."""

from __future__ import annotations

from anexa.data.batches import Dataset, Row
from anexa.engines import Batch, Engine

EVALUATION_ROWS = 128


def as_batch(source: Dataset, rows: list[Row]) -> Batch:
    """Rows in which what is given is not to be learned."""
    return Batch.from_sequences(rows, [source.given(row) for row in rows])


def mean_loss(engine: Engine, rows: Dataset, batch_size: int) -> float:
    """The loss in nats a token over rows that are spread evenly over a text."""
    sample = rows.sample(EVALUATION_ROWS)
    total, count = 0.0, 0
    for start in range(0, len(sample), batch_size):
        batch = as_batch(rows, sample[start : start + batch_size])
        total += engine.loss(batch) * batch.num_targets
        count += batch.num_targets
    return total / count

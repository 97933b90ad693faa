"""Invented metrics records and samples."""

from __future__ import annotations

import math
import random
from pathlib import Path

from anexa.training.metrics import MetricsLog, MetricsRecord, Sample


def record(step: int, **changes: float | None) -> MetricsRecord:
    figures = {
        "step": step,
        "tokens": 1024 * step,
        "seconds": 0.5 * step,
        "loss": 1.5 + 1 / max(step, 1),
        "validation_loss": None,
        "general_loss": None,
        "learning_rate": 0.004,
        "gradient_norm": 0.25,
        "tokens_per_second": 2048.0,
        "mfu": None,
    }
    return MetricsRecord(**figures | changes)  # type: ignore[arg-type]


def history(
    count: int, floor: float = 1.45, noise: float = 0.12, seed: int = 0
) -> tuple[list[MetricsRecord], list[Sample]]:
    """Make the records of a run of 2,000 steps, with ten evaluations and samples."""
    rng = random.Random(seed)
    records, samples = [record(0, loss=math.nan, validation_loss=4.2)], []
    for i in range(1, count + 1):
        step, share = 2000 * i // count, i / count
        loss = floor + 2.7 * math.exp(-8 * share) + 0.35 * (1 - share)
        validation = None
        if 10 * i // count > 10 * (i - 1) // count:
            validation = loss + 0.12 * share**2
            samples.append(Sample(step, f"what is written\nafter {step}"))
        records.append(record(step, loss=loss + rng.gauss(0, noise), validation_loss=validation))
    return records, samples


def write_metrics(folder: Path, records: list[MetricsRecord], samples: list[Sample]) -> None:
    """Write `training/metrics.jsonl` in a folder."""
    (folder / "training").mkdir(parents=True, exist_ok=True)
    metrics = MetricsLog(folder)
    for one in records:
        metrics.add(one)
    for sample in samples:
        metrics.add(sample)
    metrics.close()

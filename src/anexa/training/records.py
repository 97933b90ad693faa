"""What a run has measured since it last wrote of it."""

from __future__ import annotations

from anexa.model.config import ModelConfig
from anexa.model.weights import flops_per_token
from anexa.training.checkpoint import Evaluation, TrainerState
from anexa.training.metrics import MetricsRecord
from anexa.training.schedule import Clock


class MetricsAccumulator:
    """The figures of the steps between two records.

    Args:
        config: of the model.
        history: of the run, with its losses that no record has yet.
        clock: of the run.
        peak: how many operations a second one of its processes could do, or None.
        processes: how many of them do it.
    """

    def __init__(
        self,
        config: ModelConfig,
        history: TrainerState,
        clock: Clock,
        peak: float | None,
        processes: int = 1,
    ) -> None:
        self._flops_per_token = flops_per_token(config)
        self._peak = peak * processes if peak else None
        self._history, self._clock = history, clock
        self._before = clock.busy, history.tokens  # at the record before

    def next(
        self, rate: float, gradient_norm: float, evaluation: Evaluation | None
    ) -> MetricsRecord:
        """The record that ends with the last step, of which these are."""
        history, clock = self._history, self._clock
        seconds, tokens = self._before
        speed = (history.tokens - tokens) / (clock.busy - seconds)
        losses = history.unrecorded
        self._before, history.unrecorded = (clock.busy, history.tokens), []
        return MetricsRecord(
            step=history.step,
            tokens=history.tokens,
            seconds=clock.seconds,
            loss=sum(losses) / len(losses),
            validation_loss=evaluation.validation_loss if evaluation else None,
            learning_rate=rate,
            gradient_norm=gradient_norm,
            tokens_per_second=speed,
            mfu=speed * self._flops_per_token / self._peak if self._peak else None,
        )

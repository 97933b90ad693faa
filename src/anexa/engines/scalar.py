"""Rung 1: a graph of `Value` scalars, in which every number and its gradient can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anexa.engines.batch import Batch
from anexa.engines.nested import nest
from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.operations.scalar import ScalarOperations, total
from anexa.engines.optimizers.lists import Numbers
from anexa.engines.pure_python import PurePythonEngine
from microgpt import Value, gradients


class ScalarEngine(PurePythonEngine):
    """Engine on a graph of `Value` scalars; `Engine` documents its methods."""

    name = "scalar"

    def graph(self, batch: Batch, recording: bool = True) -> Value:
        """Compute the loss of a batch, in nats per token, as the root of the graph of all numbers.

        Args:
            batch: token sequences and targets.
            recording: whether the graph is recorded, for gradients; default: True.

        Returns:
            The loss. Without a recording it has no graph, and no gradients can be computed from it.
        """
        ops, losses = ScalarOperations(recording), []
        for inputs, targets, loss_denominator, positions in batch.sequences():
            logits_TV = self._forward(ops, self.config, self._nested, inputs, positions)
            losses.append(ops.cross_entropy(logits_TV, targets, loss_denominator))
        loss = total(losses)
        return loss if recording else Value(loss.data)

    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        ops = HeadlessOperations(ScalarOperations(recording=False), self._nested[self._head]).ops
        x_TC = self._forward(ops, self.config, self._nested, tokens)
        return [[x.data for x in row] for row in x_TC]

    def loss(self, batch: Batch) -> float:
        return self.graph(batch, recording=False).data

    def _set_numbers(self, numbers: Numbers) -> None:
        super()._set_numbers(numbers)
        self._values = {name: list(map(Value, data)) for name, data in numbers.items()}
        self._nested = {
            name: nest(values, self._shapes[name]) for name, values in self._values.items()
        }

    def _logits(
        self, tokens: Sequence[int], start: int = 0, kv_cache: Sequence[Any] | None = None
    ) -> list[list[float]]:
        ops = ScalarOperations(recording=False)
        logits_TV = self._forward(ops, self.config, self._nested, tokens, start, kv_cache)
        return [[logit.data for logit in row] for row in logits_TV]

    def _backward(self, batch: Batch) -> tuple[float, Numbers]:
        loss = self.graph(batch)
        grads = gradients(loss)  # a weight that the batch does not use has none
        return loss.data, {
            name: [grads.get(value, 0.0) for value in self._values[name]]
            for name in self._trainable
        }

"""Rung 1: a graph of `Value` scalars, in which every number and its gradient can be seen."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.engines.nested import NestedLayerKVCache, nest, to_weight
from anexa.engines.operations.scalar import ScalarOperations, total
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.lists import ListsOptimizer
from anexa.engines.protocol import Batch, KVCache, TrainStepOutput
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights
from microgpt import Value, gradients


class ScalarEngine:
    """Implements `Engine` in pure Python, in float64, on a graph of scalars."""

    name = "scalar"
    dtype = "float64"

    def __init__(self, config: ModelConfig, weights: Weights, optimizer: OptimizerConfig) -> None:
        self.config = config
        self._forward = architecture(config).forward
        self._optimizer = ListsOptimizer(optimizer, config)
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._values = {name: list(map(Value, weight.data)) for name, weight in weights.items()}
        self._nested = {name: nest(self._values[name], self._shapes[name]) for name in weights}

    def graph(self, batch: Batch) -> Value:
        """Compute the loss of a batch, as the root of the graph of all numbers."""
        return self._graph(ScalarOperations(), batch)

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        ops = ScalarOperations(recording=False)
        logits_TV = self._forward(ops, self.config, self._nested, tokens)
        return [[logit.data for logit in row] for row in logits_TV]

    def loss(self, batch: Batch) -> float:
        return self._graph(ScalarOperations(recording=False), batch).data

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, {name: to_weight(grads[name], self._shapes[name]) for name in grads}

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        loss, grads = self._backward(batch)
        numbers = {name: [v.data for v in values] for name, values in self._values.items()}
        numbers, norm = self._optimizer.update(numbers, grads, learning_rate)
        for name, values in self._values.items():
            for value, number in zip(values, numbers[name]):
                value.data = number
        return TrainStepOutput(loss, norm)

    def new_kv_cache(self) -> KVCache:
        return KVCache([NestedLayerKVCache() for _ in range(self.config.n_layer)])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> list[float]:
        ops = ScalarOperations(recording=False)
        logits_TV = self._forward(
            ops, self.config, self._nested, tokens, cache.length, cache.layers
        )
        cache.length += len(tokens)
        return [logit.data for logit in logits_TV[-1]]

    def weights(self) -> Weights:
        return {
            name: to_weight((value.data for value in values), self._shapes[name])
            for name, values in self._values.items()
        }

    def optimizer_state(self) -> Weights:
        return self._optimizer.state()

    def resume(self, state: Weights, step: int) -> None:
        self._optimizer.resume(state, step)

    def _graph(self, ops: ScalarOperations, batch: Batch) -> Value:
        losses = []
        for inputs, targets, loss_denominator in batch.sequences():
            logits_TV = self._forward(ops, self.config, self._nested, inputs)
            losses.append(ops.cross_entropy(logits_TV, targets, loss_denominator))
        return total(losses)

    def _backward(self, batch: Batch) -> tuple[float, dict[str, list[float]]]:
        """Compute the loss, and its gradient with respect to every number of every weight."""
        loss = self.graph(batch)
        grads = gradients(loss)  # a weight that the batch does not use has none
        return loss.data, {
            name: [grads.get(value, 0.0) for value in values]
            for name, values in self._values.items()
        }

"""Rung 2: nested lists of floats: what a tensor library does, with every loop written out."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.engines.nested import NestedLayerKVCache, flatten, nest, to_weight
from anexa.engines.operations import lists as operations
from anexa.engines.operations.matrices import Nested, add
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.lists import ListsOptimizer
from anexa.engines.protocol import Batch, KVCache, TrainStepOutput
from anexa.engines.tape import Tape, operations_of
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights


class ListsTape(Tape[Nested], operations=operations_of(operations)):
    """A tape of operations on nested lists."""


class ListsEngine:
    """Implements `Engine` in pure Python, in float64, one sequence at a time."""

    name = "lists"
    dtype = "float64"

    def __init__(self, config: ModelConfig, weights: Weights, optimizer: OptimizerConfig) -> None:
        self.config = config
        self._forward = architecture(config).forward
        self._optimizer = ListsOptimizer(optimizer, config)
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._weights: dict[str, Nested] = {
            name: nest(weight.data, weight.shape) for name, weight in weights.items()
        }

    def tape(
        self, inputs: Sequence[int], targets: Sequence[int], loss_denominator: float
    ) -> ListsTape:
        """Compute the loss of one sequence: the last output on the tape."""
        tape = ListsTape()
        logits_TV = self._forward(tape.ops, self.config, self._weights, inputs)
        tape.ops.cross_entropy(logits_TV, targets, loss_denominator)
        return tape

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        tape = ListsTape(recording=False)
        logits_TV: list[list[float]] = self._forward(tape.ops, self.config, self._weights, tokens)
        return logits_TV

    def loss(self, batch: Batch) -> float:
        tape, loss = ListsTape(recording=False), 0.0
        for inputs, targets, loss_denominator in batch.sequences():
            logits_TV = self._forward(tape.ops, self.config, self._weights, inputs)
            loss += tape.ops.cross_entropy(logits_TV, targets, loss_denominator)[0]
        return loss

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, {
            name: to_weight(flatten(grad), self._shapes[name]) for name, grad in grads.items()
        }

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        loss, gradients = self._backward(batch)
        numbers = {name: flatten(weight) for name, weight in self._weights.items()}
        grads = {name: flatten(gradient) for name, gradient in gradients.items()}
        numbers, norm = self._optimizer.update(numbers, grads, learning_rate)
        self._weights = {name: nest(numbers[name], shape) for name, shape in self._shapes.items()}
        return TrainStepOutput(loss, norm)

    def new_kv_cache(self) -> KVCache:
        return KVCache([NestedLayerKVCache() for _ in range(self.config.n_layer)])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> list[float]:
        tape = ListsTape(recording=False)
        logits_TV: list[list[float]] = self._forward(
            tape.ops, self.config, self._weights, tokens, cache.length, cache.layers
        )
        cache.length += len(tokens)
        return logits_TV[-1]

    def weights(self) -> Weights:
        return {
            name: to_weight(flatten(values), self._shapes[name])
            for name, values in self._weights.items()
        }

    def optimizer_state(self) -> Weights:
        return self._optimizer.state()

    def resume(self, state: Weights, step: int) -> None:
        self._optimizer.resume(state, step)

    def _backward(self, batch: Batch) -> tuple[float, dict[str, Nested]]:
        """Compute the loss and its derivative with respect to every weight, over all sequences."""
        loss = 0.0
        sums: dict[str, Nested] = {}
        for inputs, targets, loss_denominator in batch.sequences():
            tape = self.tape(inputs, targets, loss_denominator)
            (output,) = tape.records[-1].outputs
            loss += output[0]
            grads = tape.backward(output, [1.0])
            for name, weight in self._weights.items():
                grad = grads[id(weight)]
                sums[name] = add(sums[name], grad) if name in sums else grad
        return loss, sums

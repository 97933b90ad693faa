"""Base class of the engines `scalar` and `lists`, which compute on nested lists in pure Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from anexa.engines.batch import Batch
from anexa.engines.nested import NestedLayerKVCache, to_weight
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.lists import ListsOptimizer, Numbers
from anexa.engines.protocol import KVBlock, KVCache, TrainStepOutput
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

NUMBER_BYTES = 104  # bytes of a `Value` in a list, for `KVBlock.num_bytes`; a float takes a third


class PurePythonEngine(ABC):
    """Base class of the engines in pure Python: float64, one sequence at a time.

    `Engine` documents its methods and attributes.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name, which are copied.
        optimizer: configuration of the optimizer.
    """

    name: str
    dtype = "float64"

    def __init__(self, config: ModelConfig, weights: Weights, optimizer: OptimizerConfig) -> None:
        self.config = config
        self._forward = get_architecture(config).forward
        self._optimizer = ListsOptimizer(optimizer, config)
        self._trainable = [*optimizer.trainable(config)]
        self._head = get_architecture(config).head(config)
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._set_numbers({name: list(weight.data) for name, weight in weights.items()})

    @abstractmethod
    def _set_numbers(self, numbers: Numbers) -> None:
        """Replace the numbers of all weights."""
        self._numbers = numbers

    @abstractmethod
    def _logits(
        self, tokens: Sequence[int], start: int = 0, kv_cache: Sequence[Any] | None = None
    ) -> list[list[float]]:
        """Compute the logits after each of T tokens, (T, V).

        Args:
            tokens: token ids.
            start: position of the first token.
            kv_cache: KV cache of each layer, to which the new keys and values are appended; None:
                no cache.
        """

    @abstractmethod
    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]: ...

    @abstractmethod
    def loss(self, batch: Batch) -> float: ...

    @abstractmethod
    def _backward(self, batch: Batch) -> tuple[float, Numbers]:
        """Compute the loss of a batch, and the gradients of all trainable weights."""

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        return self._logits(tokens)

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, self._as_weights(grads)

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        loss, grads = self._backward(batch)
        numbers, norm = self._optimizer.update(self._numbers, grads, learning_rate)
        self._set_numbers(numbers)
        return TrainStepOutput(loss, norm)

    def new_kv_cache(self) -> KVCache:
        return KVCache([NestedLayerKVCache() for _ in range(self.config.n_layer)])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> list[float]:
        return self.prompt_logits(tokens, cache)[-1]

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> list[list[float]]:
        logits_TV = self._logits(tokens, cache.length, cache.layers)
        cache.length += len(tokens)
        return logits_TV

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        layers = [layer.copy(start, end) for layer in cache.layers]
        num_numbers = sum(len(row) for layer in layers for rows in layer for row in rows)
        return KVBlock(layers, end - start, num_numbers * NUMBER_BYTES)

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        for layer, (keys, values) in zip(cache.layers, block.layers):
            layer.append(keys, values)
        cache.length += block.length

    def weights(self) -> Weights:
        return self._as_weights(self._numbers)

    def optimizer_state(self) -> Weights:
        return self._optimizer.state()

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        self._optimizer.load_state(state, step)

    def _as_weights(self, numbers: Numbers) -> Weights:
        return {name: to_weight(data, self._shapes[name]) for name, data in numbers.items()}

"""Rung 3: NumPy arrays and batches, for inference and small training runs without PyTorch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from anexa.engines import kv_cache as caches
from anexa.engines.kv_cache import BLOCK, LayerDecodeCache, LayerKVCache
from anexa.engines.operations import numpy as operations
from anexa.engines.operations import numpy_decode
from anexa.engines.operations.numpy import Array, StartPosition, Tokens
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.numpy import NumpyOptimizer
from anexa.engines.protocol import Batch, BatchKVCache, KVCache, Logits, TrainStepOutput
from anexa.engines.tape import Tape, operations_of
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights

# Diverged weights overflow. The results then have infinities and NaNs, so no warning is needed.
_quietly = np.errstate(over="ignore", invalid="ignore")


class ArrayTape(Tape[Array], operations=operations_of(operations)):
    """A tape of operations on arrays."""


class DecodeTape(ArrayTape, operations=operations_of(numpy_decode)):
    """A tape whose results for a sequence do not depend on the other sequences in the batch."""


class NumpyEngine:
    """Implements `Engine` and `BatchEngine` on arrays, in float32 or float64, batch by batch.

    Args:
        config: the architecture and its sizes.
        weights: the weights by name.
        optimizer: the optimizer and its settings.
        dtype: "float32" or "float64".
    """

    name = "numpy"

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        optimizer: OptimizerConfig,
        dtype: str = "float32",
    ) -> None:
        self.config = config
        self.dtype = dtype
        self._forward = architecture(config).forward
        self._weights = {name: self._array(weight) for name, weight in weights.items()}
        self._optimizer = NumpyOptimizer(optimizer, config, self._weights)

    def tape(self, batch: Batch, recording: bool = True) -> tuple[ArrayTape, Array]:
        """Compute the loss of a batch; returns the tape, and the loss, its last output."""
        tape = ArrayTape(recording)
        inputs_BT = np.frombuffer(batch.inputs, np.int64).reshape(batch.shape)
        targets_BT = np.frombuffer(batch.targets, np.int64).reshape(batch.shape)
        logits_BTV = self._forward(tape.ops, self.config, self._weights, inputs_BT)
        denominators_B1 = np.array(batch.loss_denominators, self.dtype)[:, None]
        return tape, tape.ops.cross_entropy(logits_BTV, targets_BT, denominators_B1)

    @_quietly
    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        tape = ArrayTape(recording=False)
        tokens_BT = np.array([tokens], np.int64)
        logits_BTV = self._forward(tape.ops, self.config, self._weights, tokens_BT)
        return cast("list[list[float]]", logits_BTV[0].tolist())

    @_quietly
    def loss(self, batch: Batch) -> float:
        return float(self.tape(batch, recording=False)[1])

    @_quietly
    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, _as_weights(grads)

    @_quietly
    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        loss, grads = self._backward(batch)
        return TrainStepOutput(loss, self._optimizer.step(grads, learning_rate))

    def new_kv_cache(self) -> KVCache:
        return KVCache(
            [LayerKVCache(*layer, np.concatenate) for layer in self._new_buffers(1, BLOCK)]
        )

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        logits_TV = self._next(np.array([tokens], np.int64), cache.length, cache.layers)[0]
        cache.length += len(tokens)
        return cast("Sequence[float]", logits_TV[-1])

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:
        num_positions = caches.round_up_to_block(self.config.block_size)
        return BatchKVCache(self._new_buffers(max_num_seqs, num_positions))

    def add_sequence(self, batch_cache: BatchKVCache, cache: KVCache) -> None:
        caches.add_sequence(batch_cache, cache)

    def remove_sequence(self, batch_cache: BatchKVCache, index: int) -> None:
        caches.remove_sequence(batch_cache, index)

    def batch_next_logits(self, tokens: Sequence[int], batch_cache: BatchKVCache) -> Logits:
        starts = np.array(batch_cache.lengths)
        later = np.arange(caches.num_keys(batch_cache)) > starts[:, None]
        mask_B11S = np.where(later, -np.inf, 0).astype(self.dtype)[:, None, None]
        kv_cache = [
            LayerDecodeCache(buffers, np.arange(len(tokens)), starts, mask_B11S)
            for buffers in batch_cache.layers
        ]
        tokens_BT = np.array(tokens, np.int64)[:, None]
        logits_BTV = self._next(tokens_BT, tuple(batch_cache.lengths), kv_cache, DecodeTape)
        batch_cache.lengths = [length + 1 for length in batch_cache.lengths]
        return logits_BTV[:, -1]

    def weights(self) -> Weights:
        return _as_weights(self._weights)

    def optimizer_state(self) -> Weights:
        return _as_weights(self._optimizer.state())

    def resume(self, state: Weights, step: int) -> None:
        self._optimizer.resume({key: self._array(weight) for key, weight in state.items()}, step)

    @_quietly
    def _next(
        self,
        tokens_BT: Tokens,
        start: StartPosition,
        kv_cache: Sequence[Any],
        tape_type: type[ArrayTape] = ArrayTape,
    ) -> Array:
        """Compute the logits after each token, (B, T, V), with the caches of the layers."""
        tape = tape_type(recording=False)
        return self._forward(tape.ops, self.config, self._weights, tokens_BT, start, kv_cache)

    def _new_buffers(self, num_sequences: int, num_positions: int) -> list[tuple[Array, Array]]:
        """Create buffers for the keys and values of each layer, (B, H, S, D) each."""
        buffers = np.zeros(
            caches.buffer_shape(self.config, num_sequences, num_positions), self.dtype
        )
        return [(keys, values) for keys, values in buffers]

    def _backward(self, batch: Batch) -> tuple[float, dict[str, Array]]:
        """Compute the loss, and its derivative with respect to every weight."""
        tape, loss = self.tape(batch)
        grads = tape.backward(loss, np.ones_like(loss))
        return float(loss), {name: grads[id(weight)] for name, weight in self._weights.items()}

    def _array(self, weight: Weight) -> Array:
        """Copy a weight, in the engine's precision.

        In column-major order, so that Wᵀ is row-major: a product of few rows takes half the time.
        """
        rows = np.array(weight.data, self.dtype).reshape(weight.shape)
        return np.asfortranarray(rows)


def _as_weights(arrays: dict[str, Array]) -> Weights:
    """Copy arrays into `Weight`s."""
    return {
        name: Weight(x.shape, array("f" if x.dtype == np.float32 else "d", x.tobytes()))
        for name, x in arrays.items()
    }

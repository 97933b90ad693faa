"""Rung 3: NumPy arrays and batches. The light engine: no PyTorch, and fast enough to use."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import prod
from typing import cast

import numpy as np

from anexa.engines.adam import Adam
from anexa.engines.operations import numpy as operations
from anexa.engines.operations.numpy import Array, LayerCache
from anexa.engines.protocol import Batch, Cache
from anexa.engines.tape import Tape
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights

# Weights that have grown without bound overflow. Whoever gets the numbers sees that they are none.
_quietly = np.errstate(over="ignore", invalid="ignore")


class NumpyEngine:
    """An `anexa.engines.protocol.Engine` on arrays, float32 or float64, whole batches at once.

    All weights are views into one vector, and so are their moments: Adam is a few operations on
    vectors, however many weights there are.
    """

    name = "numpy"

    def __init__(
        self, config: ModelConfig, weights: Weights, adam: Adam, dtype: str = "float32"
    ) -> None:
        self.config = config
        self.dtype = dtype
        self._adam = adam
        self._step = 0
        self._forward = architecture(config).forward
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._vector = self._pack(weights)
        self._weights = self._views(self._vector)
        self._m = np.zeros_like(self._vector)
        self._v = np.zeros_like(self._vector)

    def tape(self, batch: Batch, recording: bool = True) -> tuple[Tape[Array], Array]:
        """The computation of a batch's loss, and the loss, which is the last output on it."""
        tape = Tape(operations, np.add, recording)
        inputs_BT = np.frombuffer(batch.inputs, np.int64).reshape(batch.shape)
        targets_BT = np.frombuffer(batch.targets, np.int64).reshape(batch.shape)
        logits_BTV = self._forward(tape, self.config, self._weights, inputs_BT)
        return tape, tape.cross_entropy(logits_BTV, targets_BT, batch.count)

    @_quietly
    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        """See `Engine`, here and below."""
        tape: Tape[Array] = Tape(operations, np.add, recording=False)
        tokens_BT = np.array([tokens], np.int64)
        logits_BTV = self._forward(tape, self.config, self._weights, tokens_BT)
        return cast("list[list[float]]", logits_BTV[0].tolist())

    @_quietly
    def loss(self, batch: Batch) -> float:
        return float(self.tape(batch, recording=False)[1])

    @_quietly
    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, self._unpack(grads)

    @_quietly
    def train_step(self, batch: Batch, learning_rate: float) -> float:
        loss, g = self._backward(batch)
        self._step += 1
        m_bias, v_bias = self._adam.corrections(self._step)
        self._m += (1 - self._adam.beta1) * (g - self._m)
        self._v += (1 - self._adam.beta2) * (g * g - self._v)
        self._vector -= (
            (learning_rate / m_bias) * self._m / (np.sqrt(self._v / v_bias) + self._adam.eps)
        )
        return loss

    def new_cache(self) -> Cache:
        config, dtype = self.config, self._vector.dtype
        shape = (1, config.n_kv_head, config.block_size, config.head_dim)
        return Cache([LayerCache(shape, dtype) for _ in range(config.n_layer)])

    @_quietly
    def next_logits(self, tokens: Sequence[int], cache: Cache) -> Sequence[float]:
        tape: Tape[Array] = Tape(operations, np.add, recording=False)
        tokens_BT = np.array([tokens], np.int64)
        logits_BTV = self._forward(
            tape, self.config, self._weights, tokens_BT, cache.length, cache.layers
        )
        cache.length += len(tokens)
        return cast("Sequence[float]", logits_BTV[0, -1])

    def weights(self) -> Weights:
        return self._unpack(self._vector)

    def optimizer_state(self) -> Weights:
        if not self._step:
            return {}
        m, v = self._unpack(self._m), self._unpack(self._v)
        return {f"m.{name}": w for name, w in m.items()} | {f"v.{name}": w for name, w in v.items()}

    def resume(self, state: Weights, step: int) -> None:
        self._step = step
        self._m = self._pack({name: state[f"m.{name}"] for name in self._shapes})
        self._v = self._pack({name: state[f"v.{name}"] for name in self._shapes})

    def _backward(self, batch: Batch) -> tuple[float, Array]:
        """The loss, and its derivative in every weight, as one vector."""
        tape, loss = self.tape(batch)
        grads = tape.backward(loss, np.ones_like(loss))
        return float(loss), np.concatenate([grads[id(w)].ravel() for w in self._weights.values()])

    def _pack(self, weights: Weights) -> Array:
        """All numbers of all weights, in order, in the engine's precision."""
        return np.concatenate([np.asarray(weights[name].data, self.dtype) for name in self._shapes])

    def _views(self, vector: Array) -> dict[str, Array]:
        """The inverse of `_pack`, without a copy."""
        sizes = [prod(shape) for shape in self._shapes.values()]
        pieces = np.split(vector, np.cumsum(sizes[:-1]))
        return {
            name: piece.reshape(shape) for (name, shape), piece in zip(self._shapes.items(), pieces)
        }

    def _unpack(self, vector: Array) -> Weights:
        """The numbers of a vector as weights: copies that speak to any engine."""
        code = "f" if self.dtype == "float32" else "d"
        return {
            name: Weight(view.shape, array(code, view.tobytes()))
            for name, view in self._views(vector).items()
        }

"""Rung 3: NumPy arrays and batches, for inference and small training runs without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from anexa.engines.batch import Batch, TokenPositions
from anexa.engines.kv_cache import AnyLayerCache, ArrayDecoder
from anexa.engines.operations import numpy as operations
from anexa.engines.operations import numpy_decode
from anexa.engines.operations.arrays import Array, Tokens, as_weights
from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.optimizers.numpy import NumpyOptimizer
from anexa.engines.protocol import TrainStepOutput
from anexa.engines.tape import Tape, operations_of
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights, num_parameters

# Number of parameters above which weights stay in the file's own order and in its mapped memory:
# with 124 million, reordering took 2 s and as much memory again, and products gained nothing.
MAX_COPIED_PARAMETERS = 30_000_000

# Diverged weights overflow. The results then have infinities and NaNs, so no warning is needed.
# The tails of a normal distribution underflow to 0, which is right.
_quietly = partial(np.errstate, over="ignore", invalid="ignore", under="ignore")


class ArrayTape(Tape[Array], operations=operations_of(operations)):
    """A tape of operations on arrays."""


class DecodeTape(ArrayTape, operations=operations_of(numpy_decode)):
    """A tape of batch-invariant operations, for a decoding step on activations (B, 1, C)."""


class NumpyEngine(ArrayDecoder):
    """Engine and batch engine on NumPy arrays, in float32 or float64.

    `Engine` and `BatchEngine` document the methods.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name, which are copied; with more than `MAX_COPIED_PARAMETERS`, only in
            the first training step, or if their precision is another one.
        optimizer: configuration of the optimizer.
        dtype: precision, "float32" or "float64".
    """

    name = "numpy"
    _concatenate = staticmethod(np.concatenate)

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        optimizer: OptimizerConfig,
        dtype: str = "float32",
    ) -> None:
        self.config = config
        self.dtype = dtype
        self._forward = get_architecture(config).forward
        # Until the first training step.
        self._shares_memory = num_parameters(config) > MAX_COPIED_PARAMETERS
        convert = self._view if self._shares_memory else self._array
        self._weights = {name: convert(weight) for name, weight in weights.items()}
        self._trainable = [*optimizer.trainable(config)]
        self._optimizer = NumpyOptimizer(optimizer, config, self._weights)

    @property
    def arrays(self) -> dict[str, Array]:
        """The weights by name: the same arrays that operations on a tape have as inputs."""
        return self._weights

    def tape(self, batch: Batch, recording: bool = True) -> tuple[ArrayTape, Array]:
        """Compute the loss of a batch, and record its operations.

        Args:
            batch: token sequences and targets.
            recording: whether operations are recorded for `Tape.backward`; default: they are.

        Returns:
            The tape, and the loss, its last output, a scalar.
        """
        tape = ArrayTape(recording)
        inputs_BT = np.frombuffer(batch.inputs, np.int64).reshape(batch.shape)
        targets_BT = np.frombuffer(batch.targets, np.int64).reshape(batch.shape)
        logits_BTV = self._forward(
            tape.ops, self.config, self._weights, inputs_BT, batch.token_positions
        )
        denominators_B1 = np.array(batch.loss_denominators, self.dtype)[:, None]
        return tape, tape.ops.cross_entropy(logits_BTV, targets_BT, denominators_B1)

    @_quietly()
    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        tape = ArrayTape(recording=False)
        tokens_BT = np.array([tokens], np.int64)
        logits_BTV = self._forward(tape.ops, self.config, self._weights, tokens_BT)
        return cast("list[list[float]]", logits_BTV[0].tolist())

    @_quietly()
    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        head_VC = self._weights[get_architecture(self.config).head(self.config)]
        ops = HeadlessOperations(ArrayTape(recording=False).ops, head_VC).ops
        x_BTC = self._forward(ops, self.config, self._weights, np.array([tokens], np.int64))
        return cast("list[list[float]]", x_BTC[0].tolist())

    @_quietly()
    def loss(self, batch: Batch) -> float:
        return float(self.tape(batch, recording=False)[1])

    @_quietly()
    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, grads = self._backward(batch)
        return loss, as_weights(grads)

    @_quietly()
    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        if self._shares_memory:
            for name in self._trainable:
                self._weights[name] = self._weights[name].copy()
            self._shares_memory = False
        loss, grads = self._backward(batch)
        return TrainStepOutput(loss, self._optimizer.step(grads, learning_rate))

    def weights(self) -> Weights:
        return as_weights(self._weights)

    def optimizer_state(self) -> Weights:
        return as_weights(self._optimizer.state())

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        self._optimizer.load_state(
            {key: self._array(weight) for key, weight in state.items()}, step
        )

    def _cached_logits(
        self,
        tokens_BT: Tokens,
        positions: TokenPositions,
        kv_cache: Sequence[AnyLayerCache],
        in_batch: bool,
    ) -> Array:
        tape = (DecodeTape if in_batch else ArrayTape)(recording=False)
        return self._forward(tape.ops, self.config, self._weights, tokens_BT, positions, kv_cache)

    def _inference(self) -> AbstractContextManager[object]:
        return _quietly()

    def _zeros(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, self.dtype)

    def _from_numpy(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return x

    def _to_numpy(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return x

    def _backward(self, batch: Batch) -> tuple[float, dict[str, Array]]:
        """Compute the loss, and its derivative with respect to every trainable weight."""
        tape, loss = self.tape(batch)
        grads = tape.backward(loss, np.ones_like(loss))
        return float(loss), {name: grads[id(self._weights[name])] for name in self._trainable}

    def _array(self, weight: Weight) -> Array:
        """Copy a weight into an array of the engine's precision, in column-major order.

        Then Wᵀ is row-major, with which a product of few rows takes half the time.
        """
        return np.array(self._view(weight), order="F")

    def _view(self, weight: Weight) -> Array:
        """Return a weight in row-major order, without a copy if it has the engine's precision."""
        return np.asarray(weight.data, self.dtype).reshape(weight.shape)

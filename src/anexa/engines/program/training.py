"""Training with compiled programs: loss, gradients, and steps of the optimizer."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import cast

import numpy as np

from anexa.engines.batch import Batch
from anexa.engines.optimizers import CLIP_EPS, OptimizerConfig
from anexa.engines.optimizers.numpy import muon_update
from anexa.engines.program.build import CompiledStep
from anexa.engines.program.inference import rotary_tables
from anexa.engines.program.kernels.language import LANES
from anexa.engines.program.passes import weight_shapes, write_batch_program
from anexa.engines.program.program import Program, Value
from anexa.engines.program.runner import Array, CompiledProgram, Runner, aligned_zeros
from anexa.engines.program.trace import loss_program, partial_training, training_program
from anexa.engines.program.writer import weight_offsets
from anexa.engines.protocol import TrainStepOutput
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights


@dataclass(frozen=True)
class BatchProgram:
    """A compiled program whose rows are the tokens of a batch.

    Attributes:
        compiled: compiled program; its gradients are written into the array "gradients".
        results: results that are one number, by name: "loss", and the "norm" of the gradients.
        frequencies: rotary angles between neighboring positions, in radians; empty if there are no
            rotary positions.
    """

    compiled: CompiledProgram
    results: dict[str, Value]
    frequencies: tuple[float, ...]


@cache
def compile_batch_program(
    config: ModelConfig, dtype: str, trace: Callable[[ModelConfig], Program]
) -> BatchProgram:
    """Trace, write and compile the program that `trace` makes; equal arguments share it.

    The compilation continues in the background: see `CompiledStep`.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        trace: function that makes the program: `loss_program`, `training_program` or the result of
            `partial_training`.

    Returns:
        The compiled program.
    """
    written, shapes = write_batch_program(config, dtype, trace), weight_shapes(config)
    results = {name: x for name, x in written.program.results.items() if name not in shapes}
    compiled = CompiledProgram(written.source, CompiledStep(written.source), written.plan)
    return BatchProgram(compiled, results, written.program.frequencies)


class BatchRunner:
    """Execution context of a program whose rows are the tokens of a batch.

    Args:
        program: compiled program.
        config: architecture and sizes of the model.
        dtype: precision, "float32" or "float64".
        arrays: arrays by the name of their word in the frame: "weights"; and for a training step
            "gradients", "m", "v" and "scalars". They are not copied, and a step changes them.
    """

    def __init__(
        self, program: BatchProgram, config: ModelConfig, dtype: str, arrays: dict[str, Array]
    ) -> None:
        padded = -(-config.block_size // LANES) * LANES
        scratch = aligned_zeros((2 * config.head_dim + 8) * padded, dtype)
        tables = rotary_tables(program.frequencies, config.block_size, dtype)
        arrays = arrays | tables | {"scratch": scratch}
        self._runner = Runner(program.compiled, dtype, arrays)
        self._results = program.results
        self._frame = self._runner.frame
        words = "length", "tokens", "positions", "targets", "sequence_weights"
        self._words = [self._runner.slots[name] for name in words]
        self._context, self._shape = config.block_size, (0, 0)

    def run(self, batch: Batch) -> None:
        """Execute the program for a batch; its token ids must be in the vocabulary (not checked).

        Raises:
            AnexaError: if the program cannot be compiled.
            IndexError: if a sequence is longer than the context, or a position is outside of it.
            MemoryError: if the memory is too small.
        """
        shape, positions = batch.shape, batch.positions
        if positions is not None and not 0 <= min(positions) <= max(positions) < self._context:
            raise IndexError(f"a position is outside of the context of {self._context:,} tokens")
        if shape != self._shape:
            self._reshape(shape)
        frame, weights = self._frame, batch.sequence_weights
        length, tokens, places, targets, sequence_weights = self._words
        frame[length] = shape[1]
        frame[tokens] = batch.inputs.buffer_info()[0]
        frame[places] = (positions or self._positions).buffer_info()[0]
        frame[targets] = batch.targets.buffer_info()[0]
        frame[sequence_weights] = (weights or self._ones).buffer_info()[0]
        self._runner.run(shape[0] * shape[1])

    def set_array(self, name: str, numbers: array[int]) -> None:
        """Set the address of an array of int64 in the frame; the array must outlive the runs.

        Args:
            name: name of the word, such as "segments".
            numbers: the array.
        """
        self._runner.set_word(name, numbers.buffer_info()[0])

    def result(self, name: str) -> float:
        """Return a result of the last `run`: "loss", in nats per token, or "norm", if computed."""
        return self._numbers[name][0]

    def _reshape(self, shape: tuple[int, int]) -> None:
        """Allocate memory for batches of another shape, (B, T).

        Raises:
            IndexError: if the sequences are longer than the context.
            MemoryError: if the memory is too small.
        """
        (before, _), self._shape = self._shape, (0, 0)  # until all arrays have their new size
        num_sequences, length = shape
        if length > self._context:
            raise IndexError(f"a sequence is longer than the context of {self._context:,} tokens")
        if num_sequences * length > self._runner.capacity:
            longest = self._context if num_sequences == 1 else length
            self._runner.reserve(num_sequences * longest)
            self._numbers = {
                name: self._runner.result(value)[:1].data for name, value in self._results.items()
            }
        if num_sequences != before or num_sequences > 1:
            rows = self._context if num_sequences == 1 else length
            self._positions = array("q", range(rows)) * num_sequences
            self._ones = array("d", [1.0]) * num_sequences
        self._shape = shape


class TrainingStep:
    """Loss, gradients and training steps of a model, on one vector of all its weights.

    The programs are compiled when they are first needed. The methods that take a batch raise what
    `BatchRunner.run` raises.

    Args:
        config: architecture and sizes of the model.
        dtype: precision, "float32" or "float64".
        weights: all weights as one vector, in the order of the architecture; steps change it.
        optimizer: configuration of the optimizer.

    Attributes:
        weights: views of the vector of weights, by the name of the weight.
    """

    def __init__(
        self, config: ModelConfig, dtype: str, weights: Array, optimizer: OptimizerConfig
    ) -> None:
        self._config, self._dtype, self._optimizer = config, dtype, optimizer
        self._shapes, self._num_fused = weight_shapes(config), optimizer.muon_weights(config)
        names = "gradients", "m", "v"
        moments = {name: aligned_zeros(len(weights), dtype) for name in names}
        self._vectors = {"weights": weights, **moments}
        self.weights, self._gradients, self._m, self._v = map(self._views, self._vectors.values())
        self._trainable = tuple(optimizer.trainable(config))
        by_adam = {name for name in self._trainable if name not in self._num_fused}
        self._segments = segments(self._shapes, by_adam)
        self._no_segments = array("q", [0])
        rates = 1 - optimizer.beta1, 1 - optimizer.beta2, optimizer.eps
        self._scalars = np.array([0, *rates, 1, 1, 1, optimizer.max_grad_norm, CLIP_EPS])
        self._rates = cast("memoryview[float]", self._scalars.data)
        self._step = 0

    def loss(self, batch: Batch) -> float:
        """Compute the mean loss of a batch, in nats per token."""
        self._loss_runner.run(batch)
        return self._loss_runner.result("loss")

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Array]]:
        """Compute the mean loss of a batch, and its gradients.

        Returns:
            The loss, and the gradient of each trainable weight by name; the next call changes these
            arrays.
        """
        runner = self._runner
        runner.set_array("segments", self._no_segments)
        try:
            runner.run(batch)
        finally:  # else the next training step would update nothing
            runner.set_array("segments", self._segments)
        return runner.result("loss"), {name: self._gradients[name] for name in self._trainable}

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        """Update the weights, in place, and the moments by one step of the optimizer."""
        optimizer, runner, rates = self._optimizer, self._runner, self._rates
        rates[0] = learning_rate
        rates[4], rates[5] = optimizer.bias_corrections(self._step + 1)
        rates[6] = 1 - learning_rate * optimizer.weight_decay
        runner.run(batch)
        self._step += 1
        output = TrainStepOutput(runner.result("loss"), runner.result("norm"))
        if self._num_fused:
            self._muon_step(output.gradient_norm, learning_rate)
        return output

    def state(self) -> dict[str, Array]:
        """Return the moments, named as in `Engine.optimizer_state`; empty before the first step.

        They are views, which the next step changes.
        """
        return self._named_moments() if self._step else {}

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        """Restore the moments and the number of steps.

        Args:
            state: copy of the moments that `state` returned, of all trainable weights.
            step: number of steps that the optimizer had taken.
        """
        self._step = step
        for name, moment in self._named_moments().items():
            moment[...] = np.asarray(state[name].data).reshape(moment.shape)

    def _muon_step(self, norm: float, learning_rate: float) -> None:
        optimizer = self._optimizer
        factor = optimizer.clip_factor(norm)
        for name, num_fused in self._num_fused.items():
            gradient, w = factor * self._gradients[name], self.weights[name]
            w *= optimizer.decay_factor(w.shape, learning_rate)
            w -= learning_rate * muon_update(self._m[name], gradient, optimizer.momentum, num_fused)

    def _named_moments(self) -> dict[str, Array]:
        by_adam = [name for name in self._trainable if name not in self._num_fused]
        v = {f"v.{name}": self._v[name] for name in by_adam}
        return {f"m.{name}": self._m[name] for name in self._trainable} | v

    def _views(self, vector: Array) -> dict[str, Array]:
        """Return the parts of a vector as arrays by the name of their weight, without a copy."""
        offsets = weight_offsets(self._shapes)
        return {
            name: vector[offsets[name] : offsets[name] + prod(shape)].reshape(shape)
            for name, shape in self._shapes.items()
        }

    @cached_property
    def _runner(self) -> BatchRunner:
        is_partial = len(self._trainable) < len(self._shapes)
        trace = partial_training(self._trainable) if is_partial else training_program
        program = compile_batch_program(self._config, self._dtype, trace)
        arrays = self._vectors | {"scalars": self._scalars}
        runner = BatchRunner(program, self._config, self._dtype, arrays)
        runner.set_array("segments", self._segments)
        return runner

    @cached_property
    def _loss_runner(self) -> BatchRunner:
        arrays = {"weights": self._vectors["weights"]}
        program = compile_batch_program(self._config, self._dtype, loss_program)
        return BatchRunner(program, self._config, self._dtype, arrays)


def segments(shapes: dict[str, tuple[int, ...]], by_adam: Container[str]) -> array[int]:
    """List the ranges of the vector of weights that AdamW updates, for the kernel `adamw`.

    Neighbors of one kind are joined: matrices, whose weights decay, and vectors.

    Args:
        shapes: shapes of all weights, by name, in the order of the vector.
        by_adam: names of the weights that AdamW updates.

    Returns:
        The number of ranges; then for each its start, its end, and 1 if its weights decay, else 0.
    """
    found: list[tuple[int, int, bool]] = []
    for name, begin in weight_offsets(shapes).items():
        end, decays = begin + prod(shapes[name]), len(shapes[name]) == 2
        if name not in by_adam:
            continue
        if found and found[-1][1:] == (begin, decays):
            found[-1] = found[-1][0], end, decays
        else:
            found.append((begin, end, decays))
    return array("q", [len(found), *(number for segment in found for number in segment)])

"""The compiled inference program of a model, and its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock

import numpy as np

from anexa.engines.program.build import CompiledStep
from anexa.engines.program.kernels.language import LANES
from anexa.engines.program.passes import (
    WrittenInference,
    WrittenProgram,
    write_inference,
)
from anexa.engines.program.program import Value
from anexa.engines.program.runner import Array, CompiledProgram, Runner, aligned_zeros
from anexa.engines.program.threads import num_threads, run_together
from anexa.model.config import ModelConfig

MAX_ROWS_PER_CALL = 64  # maximum rows (tokens) in a call: more would take memory, and gain no speed
# Least work of a thread, in parameters times rows: about a tenth of a millisecond.
MIN_WORK_PER_THREAD = 2_000_000


@dataclass(frozen=True)
class InferenceProgram:
    """The compiled programs of a model's inference, for one model configuration and precision.

    Attributes:
        preparation: program that computes the arrays that depend on the weights alone.
        inference: program that appends tokens to KV caches and computes the result.
        prepared_size: total size of the arrays that `preparation` computes, in numbers.
        result: array of the result of `inference`: logits, or last hidden states.
        frequencies: rotary angles between neighboring positions, in radians; empty if there are no
            rotary positions.
    """

    preparation: CompiledProgram
    inference: CompiledProgram
    prepared_size: int
    result: Value
    frequencies: tuple[float, ...]


@cache
def compile_inference(config: ModelConfig, dtype: str, headless: bool) -> InferenceProgram:
    """Trace, write and compile the programs of a model's inference; equal arguments share them.

    The compilation continues in the background: see `CompiledStep`.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        headless: whether to leave out the output head; the result is the last hidden states, not
            the logits.

    Returns:
        The compiled programs.
    """
    return compile_written(write_inference(config, dtype, headless=headless))


def compile_written(written: WrittenInference) -> InferenceProgram:
    """Start to compile programs whose source is already written: see `CompiledStep`."""

    def compiled(part: WrittenProgram) -> CompiledProgram:
        return CompiledProgram(part.source, CompiledStep(part.source), part.plan)

    program = written.inference.program
    return InferenceProgram(
        compiled(written.preparation),
        compiled(written.inference),
        written.prepared_size,
        next(iter(program.results.values())),
        program.frequencies,
    )


class Inference:
    """Inference of a model: computes logits, or last hidden states, for the rows of a call.

    A row is a token, with the KV cache of its sequence. The result of a row does not depend, to
    the last bit, on the other rows of the call and on the number of threads. The methods are
    thread-safe.

    Args:
        program: compiled programs of the model.
        config: architecture and sizes of the model.
        dtype: precision, "float32" or "float64".
        weights: all weights as one vector, in the order of the architecture; it is read in place.
    """

    def __init__(
        self, program: InferenceProgram, config: ModelConfig, dtype: str, weights: Array
    ) -> None:
        self._work_of_a_row = len(weights)
        self._vocab_size, self._context = config.vocab_size, config.block_size
        self._progress = np.zeros(config.n_layer + 1, np.int64)
        arrays = {
            "weights": weights,
            "prepared": aligned_zeros(program.prepared_size, dtype),
            "progress": self._progress,
            **rotary_tables(program.frequencies, config.block_size, dtype),
        }
        self._preparation = Runner(program.preparation, dtype, arrays)
        self._threads = [
            _Thread(program, config, dtype, arrays)
            for _ in range(min(num_threads(), MAX_ROWS_PER_CALL))
        ]
        self._lock = Lock()

    def prepare(self) -> None:
        """Compute the arrays that depend on the weights alone.

        Call this method before the first `run`, and after every change of the weights. The first
        call waits for the machine code.

        Raises:
            AnexaError: if the programs cannot be compiled.
        """
        with self._lock:
            self._preparation.run(0)
            self._threads[0].load()  # one thread says why it cannot be compiled, not several

    def run(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        caches: Sequence[int],
        *,
        first_wanted: int = 0,
        one_sequence: bool = False,
    ) -> Array:
        """Append each row's token to the KV cache of its sequence, and compute the results.

        Args:
            tokens: token id of each row, from one to `MAX_ROWS_PER_CALL` rows.
            positions: position of each row's token in its sequence.
            caches: memory address of the KV cache of each row's sequence, `SequenceCache.address`,
                with room for the token; the caller updates its `length`.
            first_wanted: index of the first row whose result is wanted.
            one_sequence: whether the rows are successive tokens of one sequence (prefill), which
                attend to the rows before; else each row is of a sequence of its own (decode).

        Returns:
            A copy of the logits, (rows, V), or last hidden states, (rows, C), of the rows from
            `first_wanted` on.

        Raises:
            IndexError: if a token is not in the vocabulary, or a position is beyond the context.
            MemoryError: if the memory is too small.
        """
        rows = len(tokens)
        if not 0 <= min(tokens) <= max(tokens) < self._vocab_size:
            raise IndexError(f"a token is not in the vocabulary of {self._vocab_size:,} tokens")
        if max(positions) >= self._context:
            raise IndexError(f"a sequence is longer than the context of {self._context:,} tokens")
        most = rows * self._work_of_a_row // MIN_WORK_PER_THREAD
        count = min(len(self._threads), rows, most) or 1
        bounds = [rows * i // count for i in range(count + 1)]
        with self._lock:
            self._progress[:] = 0
            self._progress[-1] = count if one_sequence else 1
            parts = []
            for thread, begin, end in zip(self._threads, bounds, bounds[1:]):
                part = slice(begin, end)
                thread.set_rows(tokens[part], positions[part], caches[part], first_wanted - begin)
                parts.append(thread.run)
            if count == 1:
                parts[0]()
            else:
                run_together(parts, self._stop_waiting)
            results = [thread.results() for thread in self._threads[:count]]
            return np.concatenate(results) if count > 1 else results[0].copy()

    def _stop_waiting(self) -> None:
        """Release the threads that wait for rows of another thread, when a thread has failed."""
        self._progress[:-1] = len(self._threads)


class _Thread:
    """A thread's part of a call, with memory of its own."""

    def __init__(
        self, program: InferenceProgram, config: ModelConfig, dtype: str, arrays: dict[str, Array]
    ) -> None:
        self._inputs = np.zeros((3, MAX_ROWS_PER_CALL), np.int64)
        own = dict(zip(("tokens", "positions", "caches"), self._inputs))
        own["scratch"] = aligned_zeros(-(-config.block_size // LANES) * LANES, dtype)
        self._runner = Runner(program.inference, dtype, arrays | own)
        self._result, self._rows, self._first = program.result, 0, 0

    def load(self) -> None:
        """Load the machine code now, so that the first `run` does not."""
        self._runner.load()

    def set_rows(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        caches: Sequence[int],
        first_wanted: int,
    ) -> None:
        """Set the rows of the next call.

        Args:
            tokens: token id of each row.
            positions: position of each row's token in its sequence.
            caches: memory address of the KV cache of each row's sequence.
            first_wanted: index of the first row whose result is wanted.
        """
        rows = self._rows = len(tokens)
        self._first = min(max(first_wanted, 0), rows)
        self._runner.reserve(rows)
        self._inputs[0, :rows], self._inputs[1, :rows] = tokens, positions
        self._inputs[2, :rows] = caches

    def run(self) -> None:
        """Execute the program for the rows that `set_rows` has set."""
        self._runner.run(self._rows, self._first)

    def results(self) -> Array:
        """View the results of the wanted rows, which the next call changes."""
        return self._runner.result(self._result)[self._first : self._rows]


def rotary_tables(frequencies: Sequence[float], context: int, dtype: str) -> dict[str, Array]:
    """Compute the tables of rotary positions: cos α and sin α, (context, R) each.

    The angle is α = position · f_i, with the R frequencies f.

    Args:
        frequencies: frequencies f, in radians per position; empty without rotary positions.
        context: context length in tokens.
        dtype: precision, "float32" or "float64".

    Returns:
        The tables by the names "cos" and "sin".
    """
    angles_TR = np.arange(context)[:, None] * np.array(frequencies)
    return {
        name: np.ascontiguousarray(function(angles_TR).astype(dtype))
        for name, function in (("cos", np.cos), ("sin", np.sin))
    }

"""Calls of a compiled program: its memory, and its frame, the arguments of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anexa.engines.program.build import CompiledStep
from anexa.engines.program.memory import MemoryPlan
from anexa.engines.program.program import Value
from anexa.engines.program.writer import Source

ALIGNMENT = 64  # bytes; a line of the processor's cache

Array = npt.NDArray[Any]


def aligned_zeros(size: int, dtype: str) -> Array:
    """Allocate zeros of shape (size,), aligned to a cache line of the processor."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT // itemsize, dtype)
    shift = -raw.ctypes.data % ALIGNMENT // itemsize
    return raw[shift : shift + size]


@dataclass(frozen=True)
class CompiledProgram:
    """A compiled program, with the plan of its memory; it can be executed by several `Runner`s.

    Attributes:
        source: source of the program.
        step: compiled function of the program.
        plan: positions of the program's arrays in memory.
    """

    source: Source
    step: CompiledStep
    plan: MemoryPlan


class Runner:
    """Execution context of a compiled program: its frame and memory. Each thread needs its own.

    The frame is an array of int64 words, which are the arguments of a call: numbers, and addresses
    of arrays. A row is the row of one token in the arrays of the program.

    Args:
        program: compiled program.
        dtype: precision of the numbers, "float32" or "float64".
        arrays: arrays that are the same in every call, by the name of the frame's word for their
            address; they are not copied.

    Attributes:
        frame: the words of the next call.
        slots: index of each word in the frame, by its name.
        capacity: number of rows that the memory has room for.
    """

    def __init__(self, program: CompiledProgram, dtype: str, arrays: dict[str, Array]) -> None:
        self._step, self._plan, self._dtype = program.step, program.plan, dtype
        self._arrays = arrays  # they must outlive the addresses
        self.slots = program.source.frame.slots
        words = np.zeros(len(self.slots), np.int64)
        self.frame, self._address = words.data, words.ctypes.data  # a view is set faster
        for name, array in arrays.items():
            self.set_word(name, array.ctypes.data)
        self.capacity = 0
        self._memory = aligned_zeros(0, dtype)

    def set_word(self, name: str, value: int) -> None:
        """Set a word of the frame; a word that the program does not read is ignored."""
        if name in self.slots:
            self.frame[self.slots[name]] = value

    def reserve(self, rows: int) -> None:
        """Allocate memory for calls of up to `rows` rows, unless `capacity` suffices.

        New memory is filled with zeros, without the results of earlier calls.

        Raises:
            MemoryError: if there is not enough memory; the runner is then unchanged.
        """
        if rows > self.capacity:
            self._memory = aligned_zeros(self._plan.size(rows), self._dtype)
            self.capacity = rows
            self.set_word("capacity", rows)
            self.set_word("memory", self._memory.ctypes.data)

    def load(self) -> None:
        """Wait for the machine code and load it now, so that the first `run` does not.

        Raises:
            AnexaError: if the program cannot be compiled.
        """
        _ = self._step.call

    def run(self, rows: int, first_wanted: int = 0) -> None:
        """Execute the program for the words that the frame has now; see `load` for the first call.

        Args:
            rows: number of rows, at most `capacity`: call `reserve` before.
            first_wanted: index of the first row whose result is wanted; the results of the rows
                before it are undefined.
        """
        frame = self.frame
        frame[0], frame[1] = rows, first_wanted
        self._step.call(self._address)

    def result(self, value: Value) -> Array:
        """Return a view of a result; the next `run` changes it, unless `reserve` moves the memory.

        Args:
            value: result of the program.

        Returns:
            Array of shape (capacity, width) if the result has a row for each token, of which a call
            sets the first `rows`; else a flat array that begins with the numbers of the result.
        """
        allocation = self._plan.allocations[value.root]
        if not allocation.has_rows:
            return self._memory[allocation.offset :]
        begin = self._plan.fixed_size + allocation.offset * self.capacity
        return self._memory[begin : begin + self.capacity * value.width].reshape(-1, value.width)

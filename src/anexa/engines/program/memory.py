"""The memory of a program: arrays that are not needed at the same time share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from anexa.engines.program.program import Program, Value

ALIGNMENT = 16  # numbers; a row of 16 float32 is a line of the processor's cache


@dataclass(frozen=True)
class Allocation:
    """Position of an array in the memory of a program.

    Attributes:
        offset: offset of the array in its part of the memory, in numbers. In the part of arrays
            with a row for each token it counts numbers per row: the array begins at `offset` times
            the number of rows for which memory was allocated.
        has_rows: whether the array has a row for each token.
    """

    offset: int
    has_rows: bool


@dataclass
class MemoryPlan:
    """Where the arrays that a program computes are in its memory.

    Weights, inputs and other arrays with memory of their own are not in it. The memory begins with
    the arrays of fixed size; behind them are the arrays with a row for each token.

    Attributes:
        allocations: position of each array that has memory of its own: a root, as `value.root`.
        fixed_size: size of the first part, of fixed size, in numbers.
        row_size: size of the second part, in numbers for each row.
        unshared: sizes of the two parts if no arrays shared memory, in the same units.
    """

    allocations: dict[Value, Allocation] = field(default_factory=dict)
    fixed_size: int = 0
    row_size: int = 0
    unshared: tuple[int, int] = (0, 0)

    def size(self, rows: int) -> int:
        """Return the size of the memory for a number of rows, in numbers."""
        return self.fixed_size + rows * self.row_size


def plan_memory(program: Program, pinned: Sequence[Value] = ()) -> MemoryPlan:
    """Choose the position of each computed array in memory, first fit, in the order of the writes.

    An array keeps its memory from the instruction that writes it to the last one that reads it; a
    result of the program keeps it to the end.

    Args:
        program: program whose arrays need memory.
        pinned: computed arrays that have memory of their own, and get none here, nor do the arrays
            that they are columns of.

    Returns:
        The positions, and the size of the memory.
    """
    # Values are equal if they are the same object: two arrays may have the same shape and kind.
    last_use: dict[Value, int] = {}
    first_use: dict[Value, int] = {}
    elsewhere = {value.root for value in pinned}
    for index, instruction in enumerate(program.instructions):
        for value in (*instruction.reads, *instruction.outputs):
            root = value.root
            if root.kind == "computed" and root not in elsewhere:
                first_use.setdefault(root, index)
                last_use[root] = index
    for result in program.results.values():
        last_use[result.root] = len(program.instructions)
    plan = MemoryPlan()
    taken: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}  # offset, end, last use
    sizes = {True: 0, False: 0}
    totals = {True: 0, False: 0}
    for value, index in first_use.items():
        numbers = value.width if value.has_rows else prod(int(size) for size in value.shape)
        size = -(-numbers // ALIGNMENT) * ALIGNMENT
        living = sorted(space for space in taken[value.has_rows] if space[2] >= index)
        offset = 0
        for begin, end, _ in living:
            if offset + size <= begin:
                break
            offset = max(offset, end)
        taken[value.has_rows] = [*living, (offset, offset + size, last_use[value])]
        plan.allocations[value] = Allocation(offset, value.has_rows)
        sizes[value.has_rows] = max(sizes[value.has_rows], offset + size)
        totals[value.has_rows] += size
    plan.fixed_size, plan.row_size = sizes[False], sizes[True]
    plan.unshared = totals[False], totals[True]
    return plan

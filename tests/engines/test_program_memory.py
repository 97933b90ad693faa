"""Which arrays of a compiled program share memory."""

from __future__ import annotations

from anexa.engines.program.memory import ALIGNMENT, plan_memory
from anexa.engines.program.program import ROWS, Program


def chain(length: int) -> Program:
    """Return a program in which each array is computed from the one before it."""
    program = Program()
    value = program.input("x", (ROWS, ALIGNMENT))
    for _ in range(length):
        (value,) = program.emit("gelu", [value], (ROWS, ALIGNMENT))
    program.results["y"] = value
    return program


def test_arrays_that_are_not_needed_at_the_same_time_share_memory() -> None:
    program = chain(6)
    plan = plan_memory(program)
    outputs = [instruction.outputs[0] for instruction in program.instructions]
    assert [plan.allocations[value].offset // ALIGNMENT for value in outputs] == [0, 1] * 3
    assert (plan.row_size, plan.unshared) == (2 * ALIGNMENT, (0, 6 * ALIGNMENT))


def test_array_with_pinned_columns_gets_no_memory() -> None:
    program = chain(3)
    first, second, third = (instruction.outputs[0] for instruction in program.instructions)
    for pinned in (second, second.columns(4, 8), second.columns(4, 8).columns(0, 2)):
        plan = plan_memory(program, [pinned])
        assert plan.allocations.keys() == {first, third}

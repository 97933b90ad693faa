"""Passes that save work in a call: on arrays that depend on weights alone, and on unused rows."""

from __future__ import annotations

from math import prod

from anexa.engines.program.memory import ALIGNMENT
from anexa.engines.program.program import Program


def hoist(program: Program) -> tuple[Program, dict[str, int]]:
    """Move the instructions that depend on weights alone out of a program, into a new one.

    The new program runs once, after the weights are set. The arrays that it computes become
    arrays of the kind "prepared", which keep their memory from call to call.

    Args:
        program: program to change.

    Returns:
        The new program, and the offsets of its arrays in the prepared memory, in numbers, by the
        name of the array; under the name "" the total size of that memory, in numbers.
    """
    preparation = Program()
    offsets, end = {}, 0
    fixed = ("weight", "table", "prepared")
    remaining = []
    for instruction in program.instructions:
        if not all(value.root.kind in fixed for value in instruction.reads):
            remaining.append(instruction)
            continue
        preparation.instructions.append(instruction)
        for output in instruction.outputs:
            if output.root.kind == "prepared":  # an instruction before has written a part of it
                continue
            output.root.kind = "prepared"
            offsets[output.root.name] = end
            size = prod(int(size) for size in output.root.shape)
            end += -(-size // ALIGNMENT) * ALIGNMENT
    program.instructions = remaining
    return preparation, offsets | {"": end}


def narrow(program: Program) -> None:
    """Set `only_wanted` of each instruction that needs to compute only the wanted rows.

    Wanted are the rows whose results the caller of the program reads. A row depends on other rows
    only through the KV cache. So in a prefill, all rows but the last can be skipped after the last
    attention, and in the queries of that attention.
    """
    needed: set[int] = set()  # arrays of which all rows are needed
    for instruction in reversed(program.instructions):
        outputs = instruction.outputs
        if outputs and not any(id(output.root) in needed for output in outputs):
            instruction.only_wanted = True
        else:
            needed.update(id(value.root) for value in instruction.reads)

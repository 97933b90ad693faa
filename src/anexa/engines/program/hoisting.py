"""Work that a call need not repeat: arrays made of weights alone, and rows that nobody asks for."""

from __future__ import annotations

from math import prod

from anexa.engines.program.memory import ALIGNMENT
from anexa.engines.program.program import Program


def hoist(program: Program) -> tuple[Program, dict[str, int]]:
    """Move the instructions that depend on nothing but weights into a program of their own.

    It runs once, when the weights are there; the arrays that it computes become the kind
    "prepared" and keep their memory.

    Returns:
        The program that prepares, and where each array that it computes begins, in numbers, by
        the name of the array; the total size is that of "".
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
    """Have instructions compute only the rows whose results are wanted, where no other is needed.

    A row depends on other rows through the cache alone. So behind the last attention, and in the
    queries of that attention, the tokens of a prompt are not needed but for the last.
    """
    needed: set[int] = set()  # arrays of which all rows are needed
    for instruction in reversed(program.instructions):
        outputs = instruction.outputs
        if outputs and not any(id(output.root) in needed for output in outputs):
            instruction.only_wanted = True
        else:
            needed.update(id(value.root) for value in instruction.reads)

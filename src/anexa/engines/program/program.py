"""A program: the flat list of instructions that a function over named operations becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

# See `Value.kind`.
ValueKind: TypeAlias = Literal["weight", "table", "input", "prepared", "computed"]
Size: TypeAlias = int | Literal["N"]  # size of an axis; "N" is the number of rows of a call

ROWS: Literal["N"] = "N"  # number of rows: the tokens of all sequences together


@dataclass(eq=False)
class Value:
    """An array that instructions read or write, without its numbers.

    The number of rows is "N" (`ROWS`) if there is a row for each token, as a call determines it.

    Attributes:
        program: the program that the array belongs to.
        shape: sizes of the array, (N, C) for activations; 0 for a size that no kernel needs.
        kind: weight; table (constants of the model); input of a call; prepared (computed once from
            weights); or computed.
        name: name of a weight, table or input; of a computed or prepared array its number, "%1";
            empty for columns of another array.
        base: array of which this one is a range of columns; None for an array of its own.
        column: index of its first column in `base`.
    """

    program: Program = field(repr=False)
    shape: tuple[Size, ...]
    kind: ValueKind
    name: str
    base: Value | None = None
    column: int = 0

    @property
    def width(self) -> int:
        """Number of columns: the last size; 1 for an array of shape (N,)."""
        return 1 if self.shape == (ROWS,) else int(self.shape[-1])

    @property
    def root(self) -> Value:
        """The array that holds the numbers: this one, or the array that it is columns of."""
        return self if self.base is None else self.base.root

    @property
    def first_column(self) -> int:
        """Index of the first column in `root`."""
        return 0 if self.base is None else self.column + self.base.first_column

    @property
    def has_rows(self) -> bool:
        """Whether the array has a row for each token."""
        return self.shape[:1] == (ROWS,)

    def columns(self, column: int, width: int) -> Value:
        """Return `width` columns from `column` on, as a view: it has this array as its `base`."""
        return Value(self.program, (*self.shape[:-1], width), "computed", "", self, column)

    def move_into(self, base: Value, column: int) -> None:
        """Make this array columns of `base` from `column` on, in all instructions that use it."""
        self.base, self.column = base, column

    def __str__(self) -> str:
        if self.base is None:
            return self.name
        return f"{self.root}[{self.first_column}:{self.first_column + self.width}]"


@dataclass(eq=False)
class Instruction:
    """An instruction of a program: one kernel, applied to arrays.

    Attributes:
        kernel: name of a function in `anexa.engines.program.kernels`.
        inputs: arrays that it reads; None for an optional one that is absent.
        outputs: arrays that it writes.
        settings: constants of the instruction, by the name of the kernel's setting.
        only_wanted: whether it computes only the rows whose results are wanted.
    """

    kernel: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    settings: dict[str, int | float] = field(default_factory=dict)
    only_wanted: bool = False

    @property
    def reads(self) -> list[Value]:
        """The arrays that the instruction reads, without optional ones that are absent."""
        return [value for value in self.inputs if value is not None]

    def __str__(self) -> str:
        outputs = ", ".join(f"{value} {_format_tuple(value.shape)}" for value in self.outputs)
        inputs = [str(value) for value in self.inputs if value is not None]
        inputs += [f"{name}={number:g}" for name, number in self.settings.items()]
        return f"{outputs}{' = ' if outputs else ''}{self.kernel}({', '.join(inputs)})"


@dataclass
class Program:
    """A list of instructions, and the arrays that a call is made for.

    Attributes:
        instructions: instructions in the order of execution.
        results: arrays by name that are wanted after a call; they keep their memory to its end.
        frequencies: rotary angles between neighboring positions, in radians, whose sines and
            cosines are the tables "sin" and "cos"; empty if the program has no rotary positions.
    """

    instructions: list[Instruction] = field(default_factory=list)
    results: dict[str, Value] = field(default_factory=dict)
    frequencies: tuple[float, ...] = ()
    _count: int = 0

    def weight(self, name: str, shape: Sequence[int]) -> Value:
        """Create the array of a weight of the model."""
        return Value(self, tuple(shape), "weight", name)

    def table(self, name: str, shape: Sequence[int]) -> Value:
        """Create an array of constants, which the engine computes once."""
        return Value(self, tuple(shape), "table", name)

    def input(self, name: str, shape: Sequence[Size]) -> Value:
        """Create an array that the caller of the program passes."""
        return Value(self, tuple(shape), "input", name)

    def computed(self, shape: Sequence[Size]) -> Value:
        """Create an array that an instruction will write."""
        self._count += 1
        return Value(self, tuple(shape), "computed", f"%{self._count}")

    def emit(
        self,
        kernel: str,
        inputs: Sequence[Value | None],
        *shapes: Sequence[Size],
        **settings: int | float,
    ) -> tuple[Value, ...]:
        """Append an instruction, and create the arrays that it writes.

        Args:
            kernel: name of the kernel.
            inputs: arrays that it reads.
            shapes: shape of each array that it writes.
            settings: constants of the instruction, by the name of the kernel's setting.

        Returns:
            The arrays that it writes.
        """
        outputs = tuple(self.computed(shape) for shape in shapes)
        self.instructions.append(Instruction(kernel, tuple(inputs), outputs, settings))
        return outputs

    def emit_into(self, kernel: str, inputs: Sequence[Value | None], output: Value) -> None:
        """Append an instruction that writes an existing array, or a range of its columns."""
        self.instructions.append(Instruction(kernel, tuple(inputs), (output,)))

    def producers(self) -> dict[int, Instruction]:
        """Return the last instruction that writes each array, by the `id` of its root."""
        return {
            id(output.root): instruction
            for instruction in self.instructions
            for output in instruction.outputs
        }

    def consumers(self) -> dict[int, list[Instruction]]:
        """Return the instructions that read each array or columns of it, by the `id` of its root.

        An array that no instruction reads has no entry.
        """
        found: dict[int, list[Instruction]] = {}
        for instruction in self.instructions:
            for value in instruction.reads:
                readers = found.setdefault(id(value.root), [])
                if instruction not in readers:
                    readers.append(instruction)
        return found

    def listing(self) -> Iterator[str]:
        """Yield the program as text, an instruction a line, and then a line for each result."""
        for instruction in self.instructions:
            yield str(instruction)
        for name, value in self.results.items():
            yield f"return {value} as {name}"


def _format_tuple(shape: Sequence[Any]) -> str:
    """Format a shape as text, such as "(N, 128)"."""
    return f"({', '.join(map(str, shape))})"

"""The writer: turns a program into the source of one function, and of the kernels that it calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from types import FunctionType

from anexa.engines.program.kernels import attention, functions, products, rows
from anexa.engines.program.kernels.language import LANES
from anexa.engines.program.memory import MemoryPlan
from anexa.engines.program.program import Instruction, Program, Value
from anexa.engines.program.specialize import parameters, specialize

KERNEL_MODULES = (products, rows, attention)
INTEGERS = ("tokens", "positions", "caches", "targets")  # inputs that are int64
SCRATCH = "scratch"  # argument of kernels that need memory of their own

HEADER = '''"""Written by Anexa: {title}."""

from math import log, sqrt

from numba import {dtype}, int64, njit

from anexa.engines.program.vectors import *

kernel = njit(error_model="numpy", boundscheck=False)
pointer, integers = pointer_to({dtype}), pointer_to(int64)
'''


@cache
def kernels() -> dict[str, FunctionType]:
    """Return all kernels by name."""
    return {
        name: function
        for module in KERNEL_MODULES
        for name, function in vars(module).items()
        if isinstance(function, FunctionType) and function.__module__ == module.__name__
    }


def array_names(kernel: str) -> list[str]:
    """Return the names of a kernel's arrays: what it reads, then what it writes."""
    names, _ = parameters(kernels()[kernel])
    return [name for name in names if name not in (SCRATCH, "rows")]


@dataclass
class Frame:
    """The words of a call, each an int64: numbers, and addresses of arrays.

    Attributes:
        slots: index of each word by its name.
    """

    slots: dict[str, int] = field(
        default_factory=lambda: {"rows": 0, "first_wanted": 1, "capacity": 2}
    )

    def slot(self, name: str) -> int:
        """Return the index of a word, which is added if it is new."""
        return self.slots.setdefault(name, len(self.slots))


@dataclass(frozen=True)
class Source:
    """The source of a program.

    Attributes:
        text: a Python module with the function `step(frame)`.
        frame: the words that `step` reads from `frame`.
    """

    text: str
    frame: Frame


class Writer:
    """Writes one program.

    Args:
        program: the program.
        plan: its memory.
        offsets: offset of each weight in the vector of all weights, and of each prepared array in
            that of prepared arrays, by name, in numbers.
        constants: constants that all kernels may use.
        dtype: "float32" or "float64".
        title: what the program computes, for the first line.
    """

    def __init__(
        self,
        program: Program,
        plan: MemoryPlan,
        offsets: Mapping[str, int],
        constants: Mapping[str, int | float],
        dtype: str,
        title: str,
    ) -> None:
        self._program, self._plan, self._offsets = program, plan, offsets
        self._constants = {"LANES": LANES, "FLOAT64": dtype == "float64", **constants}
        self._dtype, self._title = dtype, title
        self._frame = Frame()
        self._definitions: list[str] = []  # sources of the copies of kernels
        self._copies: dict[tuple[object, ...], str] = {}  # their names, by kernel and constants
        self._pointers: dict[str, str] = {}  # expression by name
        self._gradients = {
            id(value.root): name
            for name, value in program.results.items()
            if name in offsets and value.root.kind == "computed"
        }

    def write(self) -> Source:
        """Write the source."""
        calls = [self._call(instruction) for instruction in self._program.instructions]
        body = [
            "rows, first_wanted, capacity = frame[0], frame[1], frame[2]",
            *(f"{name} = {expression}" for name, expression in self._pointers.items()),
            *calls,
        ]
        step = "def step(frame):\n" + "".join(f"    {line}\n" for line in body)
        parts = [
            HEADER.format(title=self._title, dtype=self._dtype),
            *self._functions(),
            *self._definitions,
            step,
        ]
        return Source("\n\n".join(part.rstrip("\n") + "\n" for part in parts), self._frame)

    def _functions(self) -> Iterator[str]:
        for name, function in vars(functions).items():
            if isinstance(function, FunctionType) and function.__module__ == functions.__name__:
                yield "@kernel\n" + specialize(function, name, self._constants, set())

    def _call(self, instruction: Instruction) -> str:
        """Write the call of an instruction's kernel."""
        function = kernels()[instruction.kernel]
        names, constant_names = parameters(function)
        values: dict[str, Value | None] = {}
        arrays = array_names(instruction.kernel)
        outputs: list[Value | None] = list(instruction.outputs)
        for name, value in zip(arrays, [*instruction.inputs, *outputs], strict=True):
            values[name] = value
        known = {**self._constants, **instruction.settings}
        for name, value in values.items():
            known |= _sizes(name, value)
        constants = {name: known[name] for name in (*constant_names, *self._constants)}
        absent = {name for name, value in values.items() if value is None}
        copy = self._copy(instruction.kernel, function, constants, absent)
        arguments = []
        wanted = instruction.only_wanted
        for name in names:
            if name == "rows":
                arguments.append("rows - first_wanted" if wanted else "rows")
            elif name == SCRATCH:
                arguments.append(self._pointer_to_word(SCRATCH))
            elif (value := values[name]) is not None:
                arguments.append(self._pointer(value, wanted))
        return f"{copy}({', '.join(arguments)})"

    def _copy(
        self,
        kernel: str,
        function: FunctionType,
        constants: Mapping[str, int | float],
        absent: set[str],
    ) -> str:
        """Return the name of the copy of a kernel with these constants, which is made once."""
        key = kernel, tuple(constants.values()), frozenset(absent)
        if key not in self._copies:
            number = sum(kernel == other for other, *_ in self._copies) + 1
            name = kernel if number == 1 else f"{kernel}_{number}"
            self._copies[key] = name
            self._definitions.append("@kernel\n" + specialize(function, name, constants, absent))
        return self._copies[key]

    def _pointer(self, value: Value, wanted: bool) -> str:
        """Write the pointer to an array, or to its first row that is wanted."""
        root = value.root
        stride = root.width
        if root.kind in ("input", "table"):
            name = self._pointer_to_word(root.name)
        elif root.kind in ("weight", "prepared"):
            vector = "weights" if root.kind == "weight" else "prepared"
            self._pointer_to_word(vector)
            name = _identifier(root.name)
            self._pointers[name] = f"at({vector}, {self._offsets[root.name]})"
        elif id(root) in self._gradients:
            self._pointer_to_word("gradients")
            name = "d_" + _identifier(self._gradients[id(root)])
            self._pointers[name] = f"at(gradients, {self._offsets[self._gradients[id(root)]]})"
        else:
            place = self._plan.places[id(root)]
            self._pointer_to_word("memory")
            name = _identifier(root.name)
            offset = str(place.offset)
            if place.has_rows:
                offset = f"{self._plan.fixed_size} + {place.offset} * capacity"
            self._pointers[name] = f"at(memory, {offset})"
        shift = [str(value.first_column)] if value.first_column else []
        if wanted and root.has_rows:
            shift.append(f"first_wanted * {stride}" if len(root.shape) > 1 else "first_wanted")
        return f"at({name}, {' + '.join(shift)})" if shift else name

    def _pointer_to_word(self, name: str) -> str:
        """Write the pointer that a word of the frame holds."""
        kind = "integers" if name in INTEGERS else "pointer"
        self._pointers.setdefault(name, f"{kind}(frame[{self._frame.slot(name)}])")
        return name


def _sizes(name: str, value: Value | None) -> dict[str, int]:
    """Return the constants that a kernel may use of an array called `name`."""
    if value is None:
        return {f"{name}_width": 0, f"{name}_stride": 0, f"{name}_rows": 0}
    rows = value.shape[0] if len(value.shape) > 1 else 1
    return {
        f"{name}_width": value.width,
        f"{name}_stride": value.root.width,
        f"{name}_rows": 0 if isinstance(rows, str) else rows,
    }


def _identifier(name: str) -> str:
    return name.replace(".", "_").replace("%", "v")


def weight_offsets(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return where each weight begins in the vector of all weights, in numbers."""
    offsets, end = {}, 0
    for name, shape in shapes.items():
        offsets[name] = end
        end += prod(shape)
    return offsets

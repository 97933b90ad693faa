"""The writer: turns a program into the source of one function, and of the kernels that it calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from types import FunctionType

from anexa.engines.operations.normal_distribution import COEFFICIENTS
from anexa.engines.program.kernels import (
    attention,
    batch_attention,
    functions,
    losses,
    optimizer,
    products,
    row_gradients,
    rows,
    threads,
)
from anexa.engines.program.kernels.language import IGNORE_INDEX, LANES
from anexa.engines.program.memory import MemoryPlan
from anexa.engines.program.processor import block_sizes
from anexa.engines.program.program import Instruction, Program, Value
from anexa.engines.program.specialize import Constant, parameter_names, specialize

# Modules whose functions are kernels.
KERNEL_MODULES = (
    products,
    rows,
    attention,
    batch_attention,
    row_gradients,
    losses,
    optimizer,
    threads,
)
FLOAT64_SETTINGS = ("eps", "scale")  # settings that are float64; all others are int64
# Arrays that are int64.
INT64_ARRAYS = ("tokens", "positions", "caches", "targets", "segments", "progress")
FLOAT64_ARRAYS = ("sequence_weights", "scalars")  # arrays that are float64 in every program
FRAME_ARGUMENTS = ("length",)  # arguments of kernels that are words of the frame themselves
SCRATCH = "scratch"  # argument of kernels that need memory of their own

# Template of the first line of a program's source.
HEADER = '''"""Written by Anexa: {title}."""'''


@cache
def kernels() -> dict[str, FunctionType]:
    """Return the Python functions of all kernels by name; they run only when compiled."""
    return {
        name: function
        for module in KERNEL_MODULES
        for name, function in vars(module).items()
        if isinstance(function, FunctionType) and function.__module__ == module.__name__
    }


def array_names(kernel: str) -> list[str]:
    """Return the names of a kernel's arrays: the inputs, then the outputs."""
    names, _ = parameter_names(kernels()[kernel])
    return [name for name in names if name not in (SCRATCH, "rows", *FRAME_ARGUMENTS)]


@dataclass
class Frame:
    """Layout of the arguments of a call: int64 words, which are numbers or addresses of arrays.

    Attributes:
        slots: index of each word in the frame, by its name.
    """

    slots: dict[str, int] = field(
        default_factory=lambda: {"rows": 0, "first_wanted": 1, "capacity": 2}
    )

    def slot(self, name: str) -> int:
        """Return the index of a word; a new word is appended."""
        return self.slots.setdefault(name, len(self.slots))


@dataclass(frozen=True)
class KernelSource:
    """The source of a kernel for one precision and width of tiles.

    The sizes of its arrays are arguments of the kernel.

    Attributes:
        name: name of the function.
        text: source of the function, and of the functions that it calls.
        arguments: type of each argument: numbers, doubles or integers (pointers), int64, float64.
    """

    name: str
    text: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """The source of a program: a function, and the kernels that it calls.

    Attributes:
        text: source of the function `step(frame)`, which calls kernels.
        frame: words that `step` reads from `frame`.
        kernels: kernels that it calls.
        dtype: precision of its numbers, "float32" or "float64".
    """

    text: str
    frame: Frame
    kernels: tuple[KernelSource, ...]
    dtype: str


@cache
def kernel_source(kernel: str, dtype: str, tile: int | None) -> KernelSource:
    """Write the source of a kernel for one precision.

    Args:
        kernel: name of the kernel.
        dtype: precision of the numbers, "float32" or "float64".
        tile: width of tiles, for a kernel that computes in tiles; else None.

    Returns:
        The source.
    """
    constants: dict[str, Constant] = {
        "LANES": LANES,
        "FLOAT64": dtype == "float64",
        "CDF_COEFFICIENTS": COEFFICIENTS[dtype],
        "IGNORE_INDEX": IGNORE_INDEX,
        **block_sizes(dtype),
    }
    name = kernel
    if tile:
        name, constants["tile"] = f"{kernel}_{tile}", tile
    definition = specialize(kernels()[kernel], name, constants)
    called: list[str] = []
    for helper, function in reversed(vars(functions).items()):
        is_ours = isinstance(function, FunctionType) and function.__module__ == functions.__name__
        if is_ours and any(f"{helper}(" in text for text in (definition, *called)):
            called.append("@inlined\n" + specialize(function, helper, constants))
    arrays, settings = parameter_names(kernels()[kernel])
    types = [argument_type(name) for name in arrays]
    types += [
        "float64" if name in FLOAT64_SETTINGS else "int64"
        for name in settings
        if name not in constants
    ]
    return KernelSource(name, "\n\n".join([*reversed(called), definition]), tuple(types))


def argument_type(name: str) -> str:
    """Return the type of a kernel's positional argument by its name; `KernelSource` lists types."""
    if name in ("rows", *FRAME_ARGUMENTS):
        return "int64"
    if name in INT64_ARRAYS:
        return "integers"
    return "doubles" if name in FLOAT64_ARRAYS else "numbers"


class Writer:
    """Writer of the source of one program.

    Args:
        program: program to write.
        plan: positions of its arrays in memory.
        offsets: offset of each weight in the vector of all weights, and of each prepared array in
            that of prepared arrays, by name, in numbers.
        constants: settings that all instructions share.
        dtype: precision of the numbers, "float32" or "float64".
        title: name of the program, for the first line of its source.
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
        self._constants, self._dtype, self._title = constants, dtype, title
        self._frame = Frame()
        self._kernels: dict[str, KernelSource] = {}
        self._pointers: dict[str, str] = {}  # expression by name
        self._gradients = {
            id(value.root): name
            for name, value in program.results.items()
            if name in offsets and value.root.kind == "computed"
        }

    def write(self) -> Source:
        """Write the source of the program, and of the kernels that it calls."""
        calls = [self._call(instruction) for instruction in self._program.instructions]
        body = [
            "rows, first_wanted, capacity = frame[0], frame[1], frame[2]",
            *(f"{name} = {expression}" for name, expression in self._pointers.items()),
            *calls,
        ]
        step = "def step(frame):\n" + "".join(f"    {line}\n" for line in body)
        text = HEADER.format(title=self._title) + "\n\n\n" + step
        return Source(text, self._frame, tuple(self._kernels.values()), self._dtype)

    def _call(self, instruction: Instruction) -> str:
        """Write the call of an instruction's kernel."""
        names, setting_names = parameter_names(kernels()[instruction.kernel])
        arrays = array_names(instruction.kernel)
        operands = [*instruction.inputs, *instruction.outputs]
        values = dict(zip(arrays, operands, strict=True))
        settings = {**self._constants, **instruction.settings}
        for name, value in values.items():
            settings |= _sizes(name, value)
        tile = int(settings["tile"]) if "tile" in setting_names else None
        kernel = kernel_source(instruction.kernel, self._dtype, tile)
        self._kernels[kernel.name] = kernel
        wanted = instruction.only_wanted
        arguments: list[str] = []
        for name in names:
            if name == "rows":
                arguments.append("rows - first_wanted" if wanted else "rows")
            elif name in FRAME_ARGUMENTS:
                arguments.append(f"frame[{self._frame.slot(name)}]")
            elif name == SCRATCH:
                arguments.append(self._pointer_to_word(SCRATCH))
            elif (value := values[name]) is not None:
                arguments.append(self._pointer(value, wanted))
            else:  # absent: its width is 0, and it is not read
                arguments.append(arguments[0])
        arguments += [str(settings[name]) for name in setting_names if name != "tile"]
        return f"{kernel.name}({', '.join(arguments)})"

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
            allocation = self._plan.allocations[root]
            self._pointer_to_word("memory")
            name = _identifier(root.name)
            offset = str(allocation.offset)
            if allocation.has_rows:
                offset = f"{self._plan.fixed_size} + {allocation.offset} * capacity"
            self._pointers[name] = f"at(memory, {offset})"
        shift = [str(value.first_column)] if value.first_column else []
        if wanted and root.has_rows:
            shift.append(f"first_wanted * {stride}" if len(root.shape) > 1 else "first_wanted")
        return f"at({name}, {' + '.join(shift)})" if shift else name

    def _pointer_to_word(self, name: str) -> str:
        """Write the pointer that a word of the frame holds."""
        self._pointers.setdefault(name, f"{argument_type(name)}(frame[{self._frame.slot(name)}])")
        return name


def _sizes(name: str, value: Value | None) -> dict[str, int]:
    """Return the sizes of an array that a kernel may use, by the name of the constant.

    Args:
        name: name of the array in the kernel.
        value: array; None if an optional array is absent.
    """
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
    """Return the offset of each weight in the vector of all weights, in numbers.

    Args:
        shapes: shapes of all weights by name, in the order of the vector.
    """
    offsets, end = {}, 0
    for name, shape in shapes.items():
        offsets[name] = end
        end += prod(shape)
    return offsets

"""What is compiled on its own: each kernel, and the function of a program that calls them."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from anexa.engines.program.processor import processor
from anexa.engines.program.writer import KernelSource, Source

STEP = "anexa_step"  # symbol of the function of a program


@dataclass(frozen=True)
class Unit:
    """A function that becomes an object file of its own.

    Attributes:
        symbol: name that other object files call it by.
        source: its source.
        dtype: precision of its numbers, "float32" or "float64".
        calls: names and types of arguments of the kernels that it calls.
    """

    symbol: str
    source: KernelSource
    dtype: str
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def key(self) -> str:
        """The key of its machine code: a hash of all that determines it."""
        return sha256(repr((self, *environment())).encode()).hexdigest()


def units_of(source: Source) -> Iterator[Unit]:
    """Yield the kernels of a program, and its function."""
    for kernel in source.kernels:
        yield Unit(symbol_of(kernel.name, source.dtype), kernel, source.dtype)
    step = KernelSource("step", source.text, ("integers",))
    calls = tuple((kernel.name, kernel.arguments) for kernel in source.kernels)
    yield Unit(STEP, step, source.dtype, calls)


def symbol_of(kernel: str, dtype: str) -> str:
    """Return the symbol of a kernel."""
    return f"anexa_{dtype}_{kernel}"


@cache
def environment() -> tuple[str, ...]:
    """Return what determines machine code beside the source."""
    import llvmlite
    import llvmlite.binding as llvm

    return (
        *processor(),
        llvm.get_process_triple(),
        f"{8 * ctypes.sizeof(ctypes.c_void_p)} bits",
        platform.python_version(),
        importlib.metadata.version("numba"),
        llvmlite.__version__,
        _hash_of_compiler(),
    )


def _hash_of_compiler() -> str:
    """Return a hash of the files of this package: vectors, and the compiler."""
    folder = Path(__file__).parent
    files = sorted(folder.rglob("*.py"))
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()

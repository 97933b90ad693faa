"""Compilation units: the kernels of a program, and the cache keys of their machine code."""

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


@dataclass(frozen=True)
class Unit:
    """Compilation unit: a kernel, which is compiled to an object file of its own.

    Attributes:
        symbol: name that other object files call it by.
        source: source of the kernel.
        dtype: precision of its numbers, "float32" or "float64".
    """

    symbol: str
    source: KernelSource
    dtype: str

    @property
    def key(self) -> str:
        """Cache key of the machine code: SHA-256 of all that it depends on, in hexadecimal."""
        return sha256(repr((self, *code_dependencies())).encode()).hexdigest()


def units_of(source: Source) -> Iterator[Unit]:
    """Yield the units of a program: its kernels."""
    for kernel in source.kernels:
        yield Unit(symbol_of(kernel.name, source.dtype), kernel, source.dtype)


def symbol_of(kernel: str, dtype: str) -> str:
    """Return the symbol of a kernel, the name that other object files call it by.

    Args:
        kernel: name of the kernel, as in `KernelSource`.
        dtype: precision of its numbers, "float32" or "float64".
    """
    return f"anexa_{dtype}_{kernel}"


@cache
def code_dependencies() -> tuple[str, ...]:
    """Return everything but the source that machine code depends on: versions and the processor.

    It includes a hash of the compiler's own files, and is determined once per process.
    """
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

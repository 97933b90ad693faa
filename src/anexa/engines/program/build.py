"""Compilation of a program: of its kernels, and of the function that calls them."""

from __future__ import annotations

import ctypes
import linecache
from collections.abc import Callable
from functools import cache
from typing import Any

from anexa.engines.program.writer import KernelSource, Source


class CompiledStep:
    """The function of a program in machine code.

    A kernel is compiled once for all programs: its sizes are arguments. The function calls it by
    its address, so that it is not compiled again with each function.

    Args:
        source: the source of the program.
    """

    def __init__(self, source: Source) -> None:
        from llvmlite import binding
        from numba import cfunc, types

        namespace = _names(source.dtype)
        for kernel in source.kernels:
            symbol = f"anexa_{source.dtype}_{kernel.name}"
            binding.add_symbol(symbol, _compiled_kernel(kernel, source.dtype).address)
            namespace[kernel.name] = types.ExternalFunction(
                symbol, _signature(kernel, source.dtype)
            )
        function = _defined(source.text, "step", namespace)
        self._compiled: Any = cfunc(types.void(types.CPointer(types.int64)))(function)
        self.call: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
            self._compiled.address
        )


@cache
def _compiled_kernel(kernel: KernelSource, dtype: str) -> Any:
    """Compile a kernel; the result keeps the code alive."""
    from numba import cfunc

    function = _defined(kernel.text, kernel.name, _names(dtype))
    return cfunc(_signature(kernel, dtype))(function)


def _signature(kernel: KernelSource, dtype: str) -> Any:
    """Return Numba's signature of a kernel."""
    from numba import types

    known = {
        "numbers": types.CPointer(getattr(types, dtype)),
        "doubles": types.CPointer(types.float64),
        "integers": types.CPointer(types.int64),
        "int64": types.int64,
        "float64": types.float64,
    }
    return types.void(*(known[argument] for argument in kernel.arguments))


@cache
def _pointers(dtype: str) -> dict[str, Any]:
    from numba import types

    from anexa.engines.program.vectors import pointer_to

    return {
        "numbers": pointer_to(getattr(types, dtype)),
        "doubles": pointer_to(types.float64),
        "integers": pointer_to(types.int64),
    }


def _names(dtype: str) -> dict[str, Any]:
    """Return what the code of kernels and programs refers to."""
    from math import log, sqrt

    from numba import njit

    from anexa.engines.program import blocks, vectors

    return {
        **vars(blocks),
        **vars(vectors),
        **_pointers(dtype),
        "log": log,
        "sqrt": sqrt,
        "inlined": njit,
    }


def _defined(text: str, name: str, namespace: dict[str, Any]) -> Any:
    """Execute the definition of a function."""
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), namespace)
    return namespace[name]

"""Compilation of a program's source by Numba."""

from __future__ import annotations

import ctypes
import linecache
from collections.abc import Callable
from typing import Any


class CompiledStep:
    """The function of a program in machine code.

    Args:
        text: the source: a module with the function `step(frame)`.
    """

    def __init__(self, text: str) -> None:
        from numba import cfunc, types

        namespace: dict[str, Any] = {}
        linecache.cache["<program>"] = (len(text), None, text.splitlines(True), "<program>")
        exec(compile(text, "<program>", "exec"), namespace)
        signature = types.void(types.CPointer(types.int64))
        self._compiled: Any = cfunc(signature)(namespace["step"])  # it keeps the code alive
        self.call: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
            self._compiled.address
        )

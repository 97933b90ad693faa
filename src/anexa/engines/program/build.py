"""Machine code of programs: kernels from the cache, or compiled by subprocesses, and `step`.

Numba takes seconds to compile kernels, and half a second to be imported. So the code that it makes
is kept as object files, which LLVM's linker loads without Numba. The function `step` of a program
is compiled whenever it is loaded, which takes LLVM some milliseconds.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import count
from threading import Lock
from typing import Any, cast

from anexa.engines.program.compilation import Compilation
from anexa.engines.program.processor import processor
from anexa.engines.program.step_code import STEP_SYMBOL, compile_step
from anexa.engines.program.units import units_of
from anexa.engines.program.writer import Source
from anexa.errors import AnexaError

_numbers = count()  # for names of libraries, which the linker wants to be different


class CompiledStep:
    """The compiled function of a program.

    A kernel is compiled once for all programs, as its sizes are arguments. Creating the object
    starts the compilation of all kernels that are not in the cache, as `Compilation` does, with its
    warnings; the first access to `call` waits for it. So several programs are compiled in parallel.

    Args:
        source: source of the program.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._units = source, [*units_of(source)]
        self._compilation: Compilation | None = Compilation(self._units)
        self._function: Callable[[int], None] | None = None
        self._lock = Lock()

    @cached_property
    def call(self) -> Callable[[int], None]:
        """Compiled function of the program, which any thread may call.

        Its argument is the address of the frame: the int64 words that are the arguments of the
        program. The first access waits for the machine code and loads it.

        Raises:
            AnexaError: if the program cannot be compiled.
        """
        with self._lock:
            if self._function is None:
                self._function = self._load()
            return self._function

    def _load(self) -> Callable[[int], None]:
        compilation = self._compilation or Compilation(self._units)
        self._compilation = None  # if it fails, or Ctrl-C ends it, the next call begins anew
        step = compile_step(self._source, target_machine())
        try:
            library = load([*compilation.result(), step])
        except RuntimeError:  # by the linker: what the cache had is not what it says it is
            try:
                library = load([*Compilation(self._units, anew=True).result(), step])
            except RuntimeError as error:
                raise AnexaError(
                    f"the compiled model cannot be loaded ({error}): choose another --engine"
                ) from error
        function: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library[STEP_SYMBOL])
        function.library = library  # it keeps the code in memory
        return cast("Callable[[int], None]", function)


def load(codes: Sequence[bytes]) -> Any:
    """Load object files, one of them with a program's function `STEP_SYMBOL`, into this process.

    Args:
        codes: contents of the object files.

    Returns:
        The library: `library[STEP]` is the address of the function. The code stays loaded as long
        as the library is referenced.

    Raises:
        RuntimeError: if an object file is damaged, or needs a function that this process lacks.
    """
    import llvmlite.binding as llvm

    builder = llvm.JITLibraryBuilder().add_current_process().export_symbol(STEP_SYMBOL)
    for code in codes:
        builder.add_object_img(code)
    return builder.link(_linker(), f"program {next(_numbers)}")


@cache
def _linker() -> Any:
    import llvmlite.binding as llvm

    # LLVM's newer linker has no stable support of Windows yet; the older one may place constants
    # too far from the code.
    newer = sys.platform != "win32"
    return llvm.create_lljit_compiler(target_machine(), use_jit_link=newer, suppress_errors=True)


def target_machine() -> Any:
    """Return LLVM's target machine of this processor, for position-independent code."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # Small: code and constants of an object file lie side by side, so distances are short.
    options = {"opt": 3, "reloc": "pic", "codemodel": "small"}
    return target.create_target_machine(cpu=name, features=features, **options)

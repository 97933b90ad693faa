"""The subprocess that compiles units: `python -m anexa.engines.program.compiler`.

Numba translates the source of a unit to LLVM IR; LLVM optimizes it and makes an object file of it.
The standard input has the units and the paths of their object files, as JSON: [[unit, path], …].
"""

from __future__ import annotations

import gc
import json
import linecache
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from anexa.engines.program import code_cache
from anexa.engines.program.build import target_machine
from anexa.engines.program.units import Unit
from anexa.engines.program.writer import KernelSource
from anexa.errors import one_line

# Functions that compiled code may call: those of C, which every process has.
CALLABLE_FUNCTIONS = {
    *(name + suffix for name in ("sqrt", "log", "exp", "pow", "fma") for suffix in ("", "f")),
    *("memcpy", "memmove", "memset"),
}
# LLVM's types of the arguments of kernels, by their names in `KernelSource`; others are pointers.
LLVM_TYPES = {"int64": "i64", "float64": "double"}


def compile_unit(unit: Unit) -> bytes:
    """Compile a unit to an object file for this processor.

    Args:
        unit: kernel.

    Returns:
        The content of the object file.

    Raises:
        RuntimeError: if the code needs a function that another process may not have.
    """
    module = numba_ir(unit)
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != unit.symbol:
            item.linkage = "internal"  # so that it disappears where it is not used
    machine = target_machine()
    optimize(module, machine)
    items = (*module.functions, *module.global_variables)
    needed = {item.name for item in items if item.is_declaration} - CALLABLE_FUNCTIONS
    foreign = sorted(name for name in needed if not name.startswith("llvm."))
    if foreign:
        raise RuntimeError(f"{unit.source.name} needs {', '.join(foreign)}")
    return bytes(machine.emit_object(module))


def numba_ir(unit: Unit) -> Any:
    """Translate a unit by Numba to LLVM IR.

    Returns:
        LLVM's module, which defines the symbol of the unit.
    """
    import llvmlite.binding as llvm
    from numba import njit

    namespace = dict(kernel_globals(unit.dtype))
    text, name = unit.source.text, unit.source.name
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), namespace)
    arguments = numba_signature(unit.source.arguments, unit.dtype)
    # Python does not call it, so it needs none of the functions that Python would call.
    options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    function = njit(**options)(namespace[name])
    function.compile(arguments)
    compiled = function.overloads[arguments]
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    module.link_in(llvm.parse_assembly(entry_point_ir(unit, compiled.fndesc.llvm_func_name)))
    return module


def entry_point_ir(unit: Unit, name: str) -> str:
    """Write the LLVM IR of the function by which other object files call a unit.

    It calls the function that Numba has made. By Numba's calling convention, the first two
    arguments are pointers to the memory of the result and of an exception, and the returned value
    is a status.

    Args:
        unit: kernel, whose symbol is the name of the function.
        name: name of Numba's function.
    """
    kinds = [LLVM_TYPES.get(argument, "ptr") for argument in unit.source.arguments]
    parameters = [f"{kind} %{i}" for i, kind in enumerate(kinds)]
    arguments = ", ".join(["ptr %result", "ptr %exception", *parameters])
    return f"""
        declare i32 @"{name}"({", ".join(["ptr", "ptr", *kinds])})
        define void @{unit.symbol}({", ".join(parameters)}) {{
            %result = alloca ptr
            %exception = alloca ptr
            %status = call i32 @"{name}"({arguments})
            ret void
        }}
    """


def optimize(module: Any, machine: Any) -> None:
    """Optimize a module of LLVM IR, in place.

    LLVM's vectorizers are left out: kernels use vectors themselves.
    """
    import llvmlite.binding as llvm

    options = llvm.create_pipeline_tuning_options(3)
    options.loop_vectorization = options.slp_vectorization = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)


def numba_signature(arguments: tuple[str, ...], dtype: str) -> tuple[Any, ...]:
    """Return the Numba types of a kernel's arguments.

    Args:
        arguments: types of the arguments, named as in `KernelSource`: numbers, doubles, integers,
            int64 or float64.
        dtype: precision of the numbers, "float32" or "float64".
    """
    from numba import types

    known = {
        "numbers": types.CPointer(getattr(types, dtype)),
        "doubles": types.CPointer(types.float64),
        "integers": types.CPointer(types.int64),
        "int64": types.int64,
        "float64": types.float64,
    }
    return tuple(known[argument] for argument in arguments)


@cache
def kernel_globals(dtype: str) -> Mapping[str, Any]:
    """Return the objects that the source of kernels uses, by their global names.

    Args:
        dtype: precision of the numbers, "float32" or "float64".
    """
    from math import inf, log, sqrt

    from numba import njit, types

    from anexa.engines.program import blocks, vectors

    return {
        **vars(blocks),
        **vars(vectors),
        "numbers": vectors.pointer_to(getattr(types, dtype)),
        "inf": inf,
        "log": log,
        "sqrt": sqrt,
        "inlined": njit,
    }


def read_unit(fields: dict[str, Any]) -> Unit:
    """Create a unit from its fields, as `dataclasses.asdict` returns them, parsed from JSON."""
    source = fields["source"]
    return Unit(
        fields["symbol"],
        KernelSource(source["name"], source["text"], tuple(source["arguments"])),
        fields["dtype"],
    )


def main() -> None:
    """Compile the units that the standard input lists.

    Raises:
        SystemExit: if a unit cannot be compiled or written, with a line that says why.
    """
    gc.disable()  # the process is short, and has few objects that it does not need
    try:
        for fields, path in json.load(sys.stdin.buffer):
            code_cache.write(Path(path), compile_unit(read_unit(fields)))
    except Exception as error:
        raise SystemExit(one_line(f"{type(error).__name__}: {error}")) from error


if __name__ == "__main__":
    main()

"""The function of a program: its translation to LLVM IR."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec

import numpy as np
import pytest

if not find_spec("llvmlite"):
    pytest.skip("needs llvmlite, which Numba brings along", allow_module_level=True)

import llvmlite.binding as llvm

from anexa.engines.program.build import load, target_machine
from anexa.engines.program.step_code import STEP_SYMBOL, compile_step
from anexa.engines.program.writer import Frame, KernelSource, Source

# Writes its arguments where its first three say.
KEEP = """
define void @anexa_{dtype}_keep(ptr %x, ptr %n, ptr %d, i64 %i, i64 %j, double %e, double %f) {{
    store {number} 0.5, ptr %x
    store i64 %i, ptr %n
    %next = getelementptr i64, ptr %n, i64 1
    store i64 %j, ptr %next
    store double %e, ptr %d
    %last = getelementptr double, ptr %d, i64 1
    store double %f, ptr %last
    ret void
}}
"""
ARGUMENTS = ("numbers", "integers", "doubles", "int64", "int64", "float64", "float64")


def run(text: str, dtype: str, frame: list[int]) -> None:
    """Execute a program that may call `keep`."""
    number = "double" if dtype == "float64" else "float"
    module = llvm.parse_assembly(KEEP.format(dtype=dtype, number=number))
    machine = target_machine()
    source = Source(text, Frame(), (KernelSource("keep", "", ARGUMENTS),), dtype)
    library = load([machine.emit_object(module), compile_step(source, machine)])
    words = (ctypes.c_int64 * len(frame))(*frame)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library[STEP_SYMBOL])(ctypes.addressof(words))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arguments_of_kernels_are_what_python_makes_of_the_source(dtype: str) -> None:
    text = """
def step(frame):
    rows, first, capacity = frame[0], frame[1], frame[2]
    x = numbers(frame[3])
    n = integers(frame[4])
    d = doubles(frame[5])
    v = at(x, 3 + 2 * capacity)
    keep(v, n, d, rows - first, -3, 1e-05, 1)
    keep(at(v, first * 2 - 8), at(n, 2), at(d, first - rows + 6), rows * 2 + frame[1], 0, 0.1, -7)
"""
    x, n, d = np.zeros(16, dtype), np.zeros(4, np.int64), np.zeros(4)
    addresses = [array.ctypes.data for array in (x, n, d)]
    run(text, dtype, [9, 5, 4, *addresses])
    assert np.flatnonzero(x).tolist() == [3 + 2 * 4, 3 + 2 * 4 + 5 * 2 - 8]
    assert n.tolist() == [9 - 5, -3, 9 * 2 + 5, 0]
    assert d.tolist() == [1e-05, 1.0, 0.1, -7.0]


@pytest.mark.parametrize("expression", ["rows / 2", "len(rows)", "rows if rows else 1", "'rows'"])
def test_what_no_program_has_is_not_translated(expression: str) -> None:
    source = Source(
        f"def step(frame):\n    rows = frame[0]\n    y = {expression}\n", Frame(), (), "float32"
    )
    with pytest.raises((AssertionError, KeyError)):
        compile_step(source, target_machine())


def test_an_argument_of_another_type_is_not_passed() -> None:
    text = "def step(frame):\n    keep(frame, frame, frame, 1, 2, 3, 4)\n"
    with pytest.raises(AssertionError, match="integers for numbers"):
        run(text, "float32", [0])

"""The processor that programs are compiled for, and its register sizes."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.util import find_spec


@cache
def processor() -> tuple[str, str]:
    """Return LLVM's name of the processor, and its features as one text, such as "+avx,+avx2".

    The environment variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES replace them. They are read once
    per process.

    Raises:
        ImportError: if llvmlite is not installed.
    """
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    name = os.environ.get("NUMBA_CPU_NAME") or get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    return name, get_host_cpu_features().flatten() if features is None else features


def has_llvmlite() -> bool:
    """Return whether llvmlite is installed: it comes with Numba, and knows the processor."""
    return find_spec("llvmlite") is not None


@cache
def register_bytes() -> int:
    """Return the size of a vector register in bytes.

    Without llvmlite, a program can be written, but not compiled; then the size is 32.
    """
    if not has_llvmlite():
        return 32
    features = processor()[1].split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


def block_sizes(dtype: str) -> dict[str, int]:
    """Return the size of a block of sums that stays in registers.

    A processor starts two additions a cycle, and an addition takes four cycles: the block has
    enough sums to keep it busy, and leaves registers for the numbers that are added.

    Args:
        dtype: precision of the sums, "float32" or "float64".

    Returns:
        "WIDTH", the number of columns of a block, which fill two registers; and "BLOCK_ROWS", its
        number of rows.
    """
    has_32_registers = register_bytes() == 64 or platform.machine().lower() in ("arm64", "aarch64")
    itemsize = 4 if dtype == "float32" else 8
    return {"WIDTH": 2 * register_bytes() // itemsize, "BLOCK_ROWS": 8 if has_32_registers else 4}

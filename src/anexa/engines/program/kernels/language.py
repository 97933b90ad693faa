"""Names that kernels use beside the vectors: constants of the writer, and its loop over columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from anexa.engines.batch import IGNORE_INDEX as IGNORE_INDEX  # a constant of the writer
from anexa.engines.operations.normal_distribution import COEFFICIENTS

Pointer: TypeAlias = Any
"""Address of the first number of an array, in compiled code."""

VectorLike: TypeAlias = Any
"""`anexa.engines.program.vectors.Vector`, in compiled code."""

# Numbers that kernels compute side by side, unless they say otherwise; tokens in a KV cache block.
LANES = 16
# The writer puts its own values in place of the names that follow: for the program's precision, and
# for the processor, as `block_sizes` returns them.
WIDTH = 32  # columns of a block of sums
BLOCK_ROWS = 8  # rows of a block of sums
FLOAT64 = False  # whether the program computes in float64
CDF_COEFFICIENTS = COEFFICIENTS["float32"]  # coefficients that `functions.normal_cdf` uses


def numbers(address: int) -> Pointer:
    """Return the pointer to numbers of the program's precision at an address in bytes.

    Raises:
        NotImplementedError: if it is called in Python, not in compiled code.
    """
    raise NotImplementedError  # it exists in compiled code only


def tiles(width: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Yield the first column of each group of columns, and how many columns it has.

    Each group has `lanes` columns, but the last one may have fewer. The writer expands the loop to
    a loop over the full groups, and the code of the last group after it.
    """
    for column in range(0, width, lanes):
        yield column, min(lanes, width - column)


def row_blocks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of each block of rows, and how many rows it has: a constant, 2 or more.

    The blocks cover all rows, unless there is only one: then there is no block. The last block may
    overlap the one before: a kernel computes the same results for the rows in both.
    """
    for size in (BLOCK_ROWS, 4, 2):
        if rows >= size:
            for row in range(0, rows, size):
                yield min(row, rows - size), size
            break

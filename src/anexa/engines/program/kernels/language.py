"""Names that kernels use beside the vectors: constants of the writer, and its loop over columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from anexa.engines.operations.normal_distribution import COEFFICIENTS
from anexa.engines.protocol import IGNORE_INDEX as IGNORE_INDEX  # a constant of the writer

Pointer: TypeAlias = Any
"""Address of the first number of an array, in compiled code."""

VectorLike: TypeAlias = Any
"""`anexa.engines.program.vectors.Vector`, in compiled code."""

LANES = 16  # numbers that kernels compute side by side, unless they say otherwise
WIDTH = 32  # columns of a block of sums; it depends on the processor, as BLOCK_ROWS does
BLOCK_ROWS = 8  # rows of a block of sums
FLOAT64 = False  # whether the program computes in float64; the writer puts the value in its place
CDF_COEFFICIENTS = COEFFICIENTS["float32"]  # those of the program's precision, as with FLOAT64


def numbers(address: int) -> Pointer:
    """Return the pointer to numbers of the program's precision at an address in bytes."""
    raise NotImplementedError  # it exists in compiled code only


def tiles(width: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Yield the first column of each group of columns, and how many columns it has.

    The writer expands it to a loop over the full groups, and the code of the last group after it.
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

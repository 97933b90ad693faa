"""Windows of a tensor: the numbers themselves, or a coarser level of its pyramid.

Level k divides a matrix into blocks of 2ᵏ x 2ᵏ numbers; those at the lower and right edges may be
smaller. A block is shown by its extreme and its root mean square, never by the mean: numbers of
opposite signs would cancel.
"""

from __future__ import annotations

import numpy as np

from anexa.errors import UsageError, short_repr
from anexa.explore.rule import Array, Index


def select_matrix(tensor: Array, lead: Index) -> Array:
    """Return the matrix of the last two axes, as a view; a vector is one row, a scalar 1 x 1.

    Args:
        tensor: array with any number of axes.
        lead: index on each axis before the last two.

    Raises:
        UsageError: if there is no such matrix.
    """
    axes = tensor.shape[:-2]
    if len(lead) != len(axes) or any(not 0 <= i < n for i, n in zip(lead, axes)):
        raise UsageError(
            f"the leading axes of this tensor have the sizes {list(axes)}: "
            f"{short_repr(list(lead))} is no index"
        )
    return np.atleast_2d(tensor[lead])


def coarsest_level(tensor: Array) -> int:
    """Return the level of the pyramid at which the last two axes are a single block."""
    return (max(tensor.shape[-2:], default=1) - 1).bit_length()


def cut_window(
    tensor: Array, lead: Index, level: int, top: int, left: int, height: int, width: int
) -> dict[str, Array]:
    """Cut a window out of a level of a matrix's pyramid; what lies outside of the matrix is cut.

    Args:
        tensor: array with any number of axes.
        lead: index on each axis before the last two.
        level: level of the pyramid: 0 for the numbers, k for blocks of 2ᵏ x 2ᵏ.
        top: first row, in blocks.
        left: first column, in blocks.
        height: number of rows, in blocks.
        width: number of columns, in blocks.

    Returns:
        At level 0 the `values`, above it `extreme` and `rms` as in `compute_level`, each of shape
        (height, width) or smaller, in the precision of the tensor.

    Raises:
        UsageError: if there is no such matrix or level, or the window lies outside of the matrix.
    """
    numbers = select_matrix(tensor, lead)
    if not 0 <= level <= coarsest_level(tensor):
        raise UsageError(f"this tensor has the levels 0 to {coarsest_level(tensor)}, not {level}")
    rows, columns = (-(-n // 2**level) for n in numbers.shape)
    if not (0 <= top < rows and 0 <= left < columns and height > 0 and width > 0):
        raise UsageError(
            f"level {level} of this tensor has {rows} rows and {columns} columns: a window of "
            f"{height} x {width} at row {top}, column {left} is not in it"
        )
    part = numbers[
        top << level : min(top + height, rows) << level,
        left << level : min(left + width, columns) << level,
    ]
    return compute_level(part, level) if level else {"values": part}


def make_thumbnail(tensor: Array, size: int = 48) -> dict[str, Array]:
    """Reduce the first matrix of a tensor to at most `size` x `size` blocks.

    Args:
        tensor: array with any number of axes; the first matrix has the index 0 on all axes before
            the last two.
        size: maximum number of rows and columns; default: 48.

    Returns:
        `extreme` and `rms` as in `compute_level`, of the lowest level that is small enough.
    """
    level = (-(-max(tensor.shape[-2:], default=1) // size) - 1).bit_length()
    return compute_level(select_matrix(tensor, (0,) * max(0, tensor.ndim - 2)), level)


def compute_level(numbers: Array, level: int) -> dict[str, Array]:
    """Compute a level of a matrix's pyramid.

    Args:
        numbers: matrix, not empty.
        level: level k, at least 0: blocks have 2ᵏ x 2ᵏ numbers; less at the lower and right edges.

    Returns:
        Two arrays, with an element for each block. `extreme`: the number of the largest magnitude,
        with its sign, and the positive one of two such; NaN if the block has a NaN. `rms`: the root
        mean square.
    """
    side = 2**level
    starts = [np.arange(0, n, side) for n in numbers.shape]

    def reduce(function: np.ufunc, x: Array) -> Array:
        by_rows = function.reduceat(x, starts[0], axis=0)
        result: Array = function.reduceat(by_rows, starts[1], axis=1)
        return result

    high, low = reduce(np.maximum, numbers), reduce(np.minimum, numbers)
    extreme = np.where(high >= -low, high, low)  # a NaN is in both
    # Divided by the extreme, no square overflows or vanishes.
    limits = np.finfo(np.float64)
    scale = np.clip(np.abs(extreme).astype(np.float64), limits.tiny, limits.max)
    heights, widths = (np.diff(s, append=n) for s, n in zip(starts, numbers.shape))
    scaled = numbers / scale.repeat(heights, axis=0).repeat(widths, axis=1)
    mean = reduce(np.add, scaled * scaled) / np.outer(heights, widths)
    return {"extreme": extreme, "rms": (scale * np.sqrt(mean)).astype(numbers.dtype)}

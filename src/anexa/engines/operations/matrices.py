"""The primitives of a tensor library, on nested lists: products, sums, the causal mask.

A matrix is a list of rows; `xs · ys` is the dot product, the sum of the products of the elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, exp, inf, sin
from operator import mul
from typing import Any

Vector = list[float]
Matrix = list[Vector]  # its rows
Nested = Any  # a Vector or a Matrix
SequencePositions = int | Sequence[int]  # position of the first token, or of each token


def dot(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Compute the dot product of two vectors, xs · ys."""
    total: float = sum(map(mul, xs, ys))
    return total


def transpose(a: Matrix) -> Matrix:
    """Transpose a matrix: its rows become columns."""
    return list(map(list, zip(*a)))


def matmul_transposed(a_NC: Matrix, b_MC: Matrix) -> Matrix:
    """Compute the matrix product A Bᵀ, shape (N, M): each row of A · each row of B."""
    return [[sum(map(mul, row, other)) for other in b_MC] for row in a_NC]


def matmul(a_NK: Matrix, b_KM: Matrix) -> Matrix:
    """Compute the matrix product A B, shape (N, M): each row of A · each column of B."""
    return matmul_transposed(a_NK, transpose(b_KM))


def split(x_TC: list[list[Any]], parts: int, groups: int) -> tuple[list[list[Any]], ...]:
    """Split each group of columns (head) of a matrix into equal parts.

    Args:
        x_TC: matrix of floats or `Value`s: one group of C / groups columns after the other.
        parts: number of parts of each group.
        groups: number of groups.

    Returns:
        `parts` matrices, each (T, C / parts): the i-th one has the i-th part of each group.
    """
    width = len(x_TC[0]) // (groups * parts)

    def part_of(row: list[Any], part: int) -> list[Any]:
        starts = range(part * width, len(row), parts * width)
        return [x for start in starts for x in row[start : start + width]]

    return tuple([part_of(row, part) for row in x_TC] for part in range(parts))


def join(parts: Sequence[Matrix], groups: int) -> Matrix:
    """Concatenate the columns of matrices again, group by group: the inverse of `split`."""
    width = len(parts[0][0]) // groups
    starts = range(0, groups * width, width)
    return [
        [x for start in starts for row in rows for x in row[start : start + width]]
        for rows in zip(*parts)
    ]


def reshape(x_TC: list[list[Any]], width: int) -> list[list[Any]]:
    """Reshape a matrix of floats or `Value`s, in row-major order, to rows of the given width.

    The width must divide the number of elements. A matrix that has this width is not copied.
    """
    if len(x_TC[0]) == width:
        return x_TC
    elements = [x for row in x_TC for x in row]
    return [elements[start : start + width] for start in range(0, len(elements), width)]


def positions_of(positions: SequencePositions, n: int) -> Sequence[int]:
    """Return the positions of n tokens."""
    return range(positions, positions + n) if isinstance(positions, int) else positions


def rotate(
    x_TC: list[list[Any]],
    head_dim: int,
    positions: SequencePositions,
    frequencies: Sequence[float],
    sign: int = 1,
) -> list[list[Any]]:
    """Apply rotary position embeddings: rotate the pair of columns (i, i + R) of each head.

    Row t is rotated by the angles α = p_t f_i if `sign` is 1, by −α (the inverse) if it is −1; the
    columns of a head from 2R on stay as they are.

    Args:
        x_TC: matrix of floats or `Value`s, one head of `head_dim` columns after the other.
        head_dim: number of columns of a head, at least 2R.
        positions: positions p of the rows: that of row 0, which the others follow, or all of them.
        frequencies: the R frequencies f_i, in radians per position.
        sign: 1 or −1.
    """
    half = len(frequencies)
    y_TC = []
    for position, row in zip(positions_of(positions, len(x_TC)), x_TC):
        angles = [sign * position * frequency for frequency in frequencies]
        y_row: list[Any] = []
        for head in range(0, len(row), head_dim):
            low, high = row[head : head + half], row[head + half :]
            y_row += [a * cos(w) - b * sin(w) for a, b, w in zip(low, high, angles)]
            y_row += [b * cos(w) + a * sin(w) for a, b, w in zip(low, high, angles)]
            y_row += row[head + 2 * half : head + head_dim]
        y_TC.append(y_row)
    return y_TC


def causal_mask(n: int, num_cached: int = 0, window: int | None = None) -> Matrix:
    """Build the additive attention mask of n new tokens after cached tokens, (n, num_cached + n).

    Row t is 0 for the key at position num_cached + t and for the keys before it, −∞ for later keys.
    With a window (a number of tokens), it is 0 only for the last `window` of these keys.
    """
    mask_TS = []
    for t in range(n):
        end = num_cached + t + 1
        start = 0 if window is None else max(0, end - window)
        mask_TS.append([-inf] * start + [0.0] * (end - start) + [-inf] * (n - 1 - t))
    return mask_TS


def softmax(logits: Vector) -> Vector:
    """Compute the softmax of a vector: e^z / Σ e^z.

    The logits z are shifted by the largest one, so that nothing overflows.
    """
    highest = max(logits)
    exps = [exp(logit - highest) for logit in logits]
    total = sum(exps)
    return [e / total for e in exps]


def add(x: Nested, y: Nested) -> Nested:
    """Add two vectors or matrices of one shape, element by element."""
    if isinstance(x[0], list):
        return [[a + b for a, b in zip(x_row, y_row)] for x_row, y_row in zip(x, y)]
    return [a + b for a, b in zip(x, y)]

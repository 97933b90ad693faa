"""Conversion between weights and nested lists: a matrix is a list of rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from anexa.model.weights import Weight


def nest(numbers: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Reshape a flat list of numbers, row by row, to a vector or a matrix (a list of rows).

    Args:
        numbers: the numbers, floats or `Value`s, as many as the shape has.
        shape: (columns,) for a vector, or (rows, columns).
    """
    if len(shape) == 1:
        return list(numbers)
    columns = shape[1]
    return [list(numbers[start : start + columns]) for start in range(0, len(numbers), columns)]


def flatten(nested: Any) -> list[Any]:
    """List the numbers of a vector or of a matrix, row by row: the inverse of `nest`."""
    if isinstance(nested[0], list):
        return [number for row in nested for number in row]
    return list(nested)


def to_weight(numbers: Iterable[float], shape: tuple[int, ...]) -> Weight:
    """Create a float64 `Weight` of a shape from its numbers, row by row."""
    return Weight(shape, array("d", numbers))


class NestedLayerKVCache:
    """The keys and values of one layer for all tokens of a sequence so far.

    Attributes:
        keys_SC: keys of S tokens, one row per token, of floats or `Value`s.
        values_SC: values of S tokens, one row per token.
    """

    def __init__(self) -> None:
        self.keys_SC: list[Any] = []
        self.values_SC: list[Any] = []

    def append(self, k_TC: list[Any], v_TC: list[Any]) -> tuple[list[Any], list[Any]]:
        """Append the keys and values of T tokens; return `keys_SC` and `values_SC` themselves."""
        self.keys_SC += k_TC
        self.values_SC += v_TC
        return self.keys_SC, self.values_SC

    def copy(self, start: int, end: int) -> tuple[list[Any], list[Any]]:
        """Copy the keys and the values of the tokens from `start` up to `end`, a row per token."""
        return self.keys_SC[start:end], self.values_SC[start:end]  # rows are never changed

    def truncate(self, length: int) -> None:
        """Keep the first `length` tokens, and remove the others."""
        del self.keys_SC[length:], self.values_SC[length:]

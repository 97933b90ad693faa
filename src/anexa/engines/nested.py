"""Weights as nested lists and back: a matrix is a list of rows, a vector a list of numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from anexa.model.weights import Weight


def nest(numbers: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """A sequence of numbers as a vector, or as the matrix whose rows it holds."""
    if len(shape) == 1:
        return list(numbers)
    columns = shape[1]
    return [list(numbers[start : start + columns]) for start in range(0, len(numbers), columns)]


def flatten(nested: Any) -> list[Any]:
    """The inverse of `nest`: a matrix row by row."""
    if isinstance(nested[0], list):
        return [number for row in nested for number in row]
    return list(nested)


def as_weight(numbers: Iterable[float], shape: tuple[int, ...]) -> Weight:
    """Numbers in the form that all engines understand, in float64."""
    return Weight(shape, array("d", numbers))


class LayerKVCache:
    """The keys and values of one layer, for each of the S tokens read so far.

    Attributes:
        keys_SC: S rows of keys, floats or `Value`s.
        values_SC: S rows of values.
    """

    def __init__(self) -> None:
        self.keys_SC: list[Any] = []
        self.values_SC: list[Any] = []

    def append(self, k_TC: list[Any], v_TC: list[Any]) -> tuple[list[Any], list[Any]]:
        """Append the rows of T more tokens, and return all rows."""
        self.keys_SC += k_TC
        self.values_SC += v_TC
        return self.keys_SC, self.values_SC

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first `length`."""
        del self.keys_SC[length:], self.values_SC[length:]

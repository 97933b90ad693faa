"""Indices of the elements that rules list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anexa.explore.rule import stack_indices

EMPTY = np.array([], np.intp)


@pytest.mark.parametrize(
    "axes",
    [
        (2, 3),
        (1, [4, 5, 6]),
        ([7], [4, 5, 6], 2),
        (1, EMPTY),
        ([7], EMPTY),
        (EMPTY, [7], 3),
        (EMPTY, EMPTY),
    ],
)
def test_index_arrays_are_broadcast(axes: tuple[Any, ...]) -> None:
    expected = np.stack(np.broadcast_arrays(*map(np.atleast_1d, axes)), axis=-1)
    found = stack_indices(*axes)
    assert found.dtype == np.intp
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("axes", [([1, 2], [1, 2, 3]), (EMPTY, [1, 2])])
def test_index_arrays_of_different_lengths_are_refused(axes: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        stack_indices(*axes)

"""Windows of tensors, against the definition of each block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from anexa.errors import UsageError
from anexa.explore.rule import Array
from anexa.explore.windows import (
    coarsest_level,
    compute_level,
    cut_window,
    make_thumbnail,
    select_matrix,
)

NUMBERS = st.floats(width=32) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])
MATRICES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=NUMBERS)
TENSORS = arrays(
    st.sampled_from([np.float32, np.float64]),
    array_shapes(min_dims=0, max_side=5),
    elements=NUMBERS,
)


def check_block(block: Array, extreme: float, rms: float) -> None:
    numbers = block.ravel().tolist()
    if any(math.isnan(x) for x in numbers):
        assert math.isnan(extreme)
        assert math.isnan(rms)
        return
    largest = max(abs(x) for x in numbers)
    assert extreme == (largest if largest in numbers else -largest)
    expected = math.sqrt(math.fsum((x / (largest or 1)) ** 2 for x in numbers) / len(numbers))
    if math.isinf(largest):
        assert rms == math.inf
    else:
        assert rms == pytest.approx(largest * expected, rel=1e-6, abs=0)


@given(MATRICES, st.integers(0, 4))
def test_each_block_has_its_extreme_and_its_root_mean_square(numbers: Array, level: int) -> None:
    found, side = compute_level(numbers, level), 2**level
    rows, columns = (math.ceil(n / side) for n in numbers.shape)
    assert found["extreme"].shape == found["rms"].shape == (rows, columns)
    for i in range(rows):
        for j in range(columns):
            block = numbers[i * side : (i + 1) * side, j * side : (j + 1) * side]
            check_block(block, float(found["extreme"][i, j]), float(found["rms"][i, j]))


@given(TENSORS, st.data())
def test_a_window_is_a_part_of_the_whole_level(tensor: Array, data: st.DataObject) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    lead = tuple(draw(0, n - 1) for n in tensor.shape[:-2])
    level = draw(0, coarsest_level(tensor))
    numbers = select_matrix(tensor, lead)
    whole = compute_level(numbers, level) if level else {"values": numbers}
    rows, columns = next(iter(whole.values())).shape
    top, left, height, width = draw(0, rows - 1), draw(0, columns - 1), draw(1, 9), draw(1, 9)
    found = cut_window(tensor, lead, level, top, left, height, width)
    assert list(found) == list(whole)
    for name, part in found.items():
        assert part.dtype == tensor.dtype
        expected = whole[name][top : top + height, left : left + width]
        np.testing.assert_array_equal(part, expected)


@given(TENSORS)
def test_the_last_level_is_one_block(tensor: Array) -> None:
    lead = (0,) * max(0, tensor.ndim - 2)
    level = coarsest_level(tensor)
    assert compute_level(select_matrix(tensor, lead), level)["rms"].shape == (1, 1)
    assert level == 0 or compute_level(select_matrix(tensor, lead), level - 1)["rms"].size > 1


@given(TENSORS, st.integers(1, 6))
def test_a_thumbnail_is_the_lowest_level_of_its_size(tensor: Array, size: int) -> None:
    found = make_thumbnail(tensor, size)
    first = select_matrix(tensor, (0,) * max(0, tensor.ndim - 2))
    levels = [compute_level(first, level) for level in range(coarsest_level(tensor) + 1)]
    expected = next(level for level in levels if max(level["rms"].shape) <= size)
    assert list(found) == ["extreme", "rms"]
    for name, part in found.items():
        np.testing.assert_array_equal(part, expected[name])
        assert part.dtype == tensor.dtype


def test_matrices_of_few_axes_are_rows() -> None:
    assert select_matrix(np.array(3.0), ()).shape == (1, 1)
    assert select_matrix(np.arange(4.0), ()).shape == (1, 4)
    assert select_matrix(np.arange(24.0).reshape(2, 3, 4), (1,))[0, 0] == 12


@pytest.mark.parametrize("numbers", [1e300, -1e300, 1e-300, 5e-324])
def test_squares_neither_overflow_nor_vanish(numbers: float) -> None:
    found = compute_level(np.full((3, 3), numbers), 2)
    assert found["extreme"].item() == numbers
    assert found["rms"].item() == pytest.approx(abs(numbers), rel=1e-15)


TENSOR = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 0, 0, 0, 1, 1), r"the leading axes .* \[2\]: \[\] is no index"),
        (((2,), 0, 0, 0, 1, 1), r"the leading axes .* \[2\]: \[2\] is no index"),
        (((-1,), 0, 0, 0, 1, 1), "is no index"),
        (((0,), 3, 0, 0, 1, 1), "has the levels 0 to 2, not 3"),
        (((0,), -1, 0, 0, 1, 1), "has the levels 0 to 2, not -1"),
        (((0,), 1, 2, 0, 1, 1), "2 rows and 2 columns: a window of 1 x 1 at row 2, column 0"),
        (((0,), 0, 0, 0, 0, 1), "3 rows and 4 columns: a window of 0 x 1"),
        (((0,), 0, 0, -1, 1, 1), "at row 0, column -1 is not in it"),
    ],
)
def test_what_a_tensor_does_not_have_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cut_window(TENSOR, *arguments)

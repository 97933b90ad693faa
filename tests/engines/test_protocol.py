"""What all engines share: the batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import IGNORE, Batch


def test_short_rows_are_filled_up() -> None:
    batch = Batch.from_rows([[3, 1, 4, 1], [5, 9]])
    assert batch.shape == (2, 3)
    assert list(batch.inputs) == [3, 1, 4, 5, 0, 0]
    assert list(batch.targets) == [1, 4, 1, 9, IGNORE, IGNORE]
    assert batch.count == 4


def test_ignore_is_the_number_that_pytorch_uses() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORE


rows = st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=9), min_size=1, max_size=5)


@given(rows)
def test_rows_come_back(given_rows: list[list[int]]) -> None:
    batch = Batch.from_rows(given_rows)
    inputs_and_targets = [(list(inputs), list(targets)) for inputs, targets in batch.rows()]
    assert inputs_and_targets == [(row[:-1], row[1:]) for row in given_rows]


@given(rows)
def test_a_batch_is_a_full_rectangle(given_rows: list[list[int]]) -> None:
    batch = Batch.from_rows(given_rows)
    width = max(map(len, given_rows)) - 1
    assert batch.shape == (len(given_rows), width)
    assert len(batch.inputs) == len(batch.targets) == len(given_rows) * width
    assert batch.count == sum(len(row) - 1 for row in given_rows)
    assert all(token >= 0 for token in batch.inputs), "a filling that can be looked up"
    assert batch.inputs.typecode == batch.targets.typecode == "q", "int64, as NumPy reads it"

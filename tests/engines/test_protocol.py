"""What all engines share: the batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import IGNORE, Batch, DeviceConfig, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import FLOAT64, random_weights


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
    inputs_and_targets = [(list(inputs), list(targets)) for inputs, targets, _ in batch.rows()]
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


@given(rows, st.data())
def test_what_is_given_is_no_target(given_rows: list[list[int]], data: st.DataObject) -> None:
    known = [data.draw(st.integers(1, len(row))) for row in given_rows]
    batch = Batch.from_rows(given_rows, known)
    width = batch.shape[1]
    for number, (row, n) in enumerate(zip(given_rows, known)):
        targets = list(batch.targets[number * width : (number + 1) * width])
        assert targets[: n - 1] == [IGNORE] * (n - 1)
        assert targets[n - 1 : len(row) - 1] == row[n:]
    assert batch.inputs == Batch.from_rows(given_rows).inputs
    assert batch.count == sum(len(row) - n for row, n in zip(given_rows, known))


@pytest.mark.parametrize("name", FLOAT64)
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_a_row_counts_as_often_as_it_weighs(name: str, model_type: str) -> None:
    """Also less than not at all: loss and gradients are the weighted sums of each row's own."""
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=4, n_head=2, n_layer=1)
    machine = DeviceConfig(dtype="float64", micro_batch=2 if name == "torch" else 0)
    engine = open_engine(name, config, random_weights(config, 5), machine=machine)
    given_rows, known, weights = (
        [[1, 5, 2, 6], [3, 0], [4, 4, 4, 1, 2]],
        [2, 1, 3],
        [1.5, -0.7, 0.2],
    )
    loss, gradients = engine.gradients(Batch.from_rows(given_rows, known, weights))
    singles = [Batch.from_rows([row], [n]) for row, n in zip(given_rows, known)]
    count = sum(single.count for single in singles)
    parts = [engine.gradients(single) for single in singles]
    shares = [weight * single.count / count for weight, single in zip(weights, singles)]
    assert loss == pytest.approx(sum(s * part[0] for s, part in zip(shares, parts)), rel=1e-12)
    for key, weight in gradients.items():
        columns = zip(*(part[1][key].data for part in parts))
        expected = [sum(s * x for s, x in zip(shares, column)) for column in columns]
        assert list(weight.data) == pytest.approx(expected, rel=1e-9, abs=1e-12), key

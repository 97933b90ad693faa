"""`Batch`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import IGNORE_INDEX, Batch, DeviceConfig, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import FLOAT64, assert_close, random_weights


def test_short_sequences_are_padded() -> None:
    batch = Batch.from_sequences([[3, 1, 4, 1], [5, 9]])
    assert batch.shape == (2, 3)
    assert list(batch.inputs) == [3, 1, 4, 5, 0, 0]
    assert list(batch.targets) == [1, 4, 1, 9, IGNORE_INDEX, IGNORE_INDEX]
    assert batch.num_targets == 4


def test_ignore_index_equals_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORE_INDEX


SEQUENCES = st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=9), min_size=1, max_size=5)


@given(SEQUENCES)
def test_unpadded_sequences_are_those_of_the_batch(sequences: list[list[int]]) -> None:
    batch = Batch.from_sequences(sequences)
    unpadded = [(list(inputs), list(targets)) for inputs, targets, *_ in batch.sequences()]
    assert unpadded == [(tokens[:-1], tokens[1:]) for tokens in sequences]


@given(SEQUENCES)
def test_a_batch_is_rectangular(sequences: list[list[int]]) -> None:
    batch = Batch.from_sequences(sequences)
    width = max(map(len, sequences)) - 1
    assert batch.shape == (len(sequences), width)
    assert len(batch.inputs) == len(batch.targets) == len(sequences) * width
    assert batch.num_targets == sum(len(tokens) - 1 for tokens in sequences)
    assert all(token >= 0 for token in batch.inputs), (
        "padding can be looked up in the embedding table"
    )
    assert batch.inputs.typecode == batch.targets.typecode == "q", "int64, as NumPy reads it"


@given(SEQUENCES, st.data())
def test_prompt_tokens_are_not_predicted(sequences: list[list[int]], data: st.DataObject) -> None:
    prompts = [data.draw(st.integers(1, len(tokens))) for tokens in sequences]
    batch = Batch.from_sequences(sequences, prompts)
    width = batch.shape[1]
    for index, (tokens, n) in enumerate(zip(sequences, prompts)):
        targets = list(batch.targets[index * width : (index + 1) * width])
        assert targets[: n - 1] == [IGNORE_INDEX] * (n - 1)
        assert targets[n - 1 : len(tokens) - 1] == tokens[n:]
    assert batch.inputs == Batch.from_sequences(sequences).inputs
    assert batch.num_targets == sum(len(tokens) - n for tokens, n in zip(sequences, prompts))


@pytest.mark.parametrize("name", FLOAT64)
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_sequence_weights_scale_loss_and_gradients(name: str, model_type: str) -> None:
    """They are the weighted sums of those of the single sequences, for negative weights too."""
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=4, n_head=2, n_layer=1)
    device_config = DeviceConfig(dtype="float64", micro_batch=2 if name == "torch" else 0)
    engine = open_engine(name, config, random_weights(config, 5), device_config=device_config)
    sequences, prompts, weights = (
        [[1, 5, 2, 6], [3, 0], [4, 4, 4, 1, 2]],
        [2, 1, 3],
        [1.5, -0.7, 0.2],
    )
    loss, gradients = engine.gradients(Batch.from_sequences(sequences, prompts, weights))
    singles = [Batch.from_sequences([tokens], [n]) for tokens, n in zip(sequences, prompts)]
    count = sum(single.num_targets for single in singles)
    parts = [engine.gradients(single) for single in singles]
    shares = [weight * single.num_targets / count for weight, single in zip(weights, singles)]
    assert loss == pytest.approx(sum(s * part[0] for s, part in zip(shares, parts)), rel=1e-12)
    for key, weight in gradients.items():
        columns = zip(*(part[1][key].data for part in parts))
        expected = [sum(s * x for s, x in zip(shares, column)) for column in columns]
        assert list(weight.data) == pytest.approx(expected, rel=1e-9, abs=1e-12), key


@pytest.mark.parametrize("name", FLOAT64)
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_a_sequence_without_targets_changes_nothing(name: str, model_type: str) -> None:
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=4, n_head=2, n_layer=1)
    device_config = DeviceConfig(dtype="float64")
    engine = open_engine(name, config, random_weights(config, 5), device_config=device_config)
    alone = Batch.from_sequences([[1, 5, 2, 6]])
    together = Batch.from_sequences([[3, 0], [1, 5, 2, 6]], [2, 1])
    assert engine.loss(together) == pytest.approx(engine.loss(alone), rel=1e-12)
    (loss, gradients), (expected, theirs) = engine.gradients(together), engine.gradients(alone)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert_close(gradients, theirs, bound=1e-12)


def test_every_token_needs_a_position() -> None:
    for positions in ([[0, 1]], [[0, 1, 2, 3]]):
        with pytest.raises(ValueError, match="a position for each of its tokens"):
            Batch.from_labels([[1, 2, 3]], [[1, 2, 3]], positions=positions)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        Batch.from_labels([[1, 2]] * 2, [[1, 2]] * 2, positions=[[0, 1]])

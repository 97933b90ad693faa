"""Compiled training programs compute what the NumPy engine computes."""

from __future__ import annotations

from array import array
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anexa.engines import Batch, DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.engines.program.training import TrainingStep
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights
from tests.engines.helpers import assert_close, random_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed"),
]

# Sizes on both sides of a vector of 16 numbers, and no multiples of it.
CONFIGS = {
    "float64": [
        ModelConfig("microgpt", 37, block_size=21, n_embd=20, n_head=4, n_layer=2),
        ModelConfig("gpt2", 5, block_size=19, n_embd=9, n_head=3, n_layer=2),
        ModelConfig(
            "llama", 33, 18, 24, n_head=4, n_layer=2, n_kv_head=2, n_inner=35,
            tie_word_embeddings=False,
        ),
    ],
    "float32": [
        ModelConfig("microgpt", 27, block_size=16, n_embd=16, n_head=4, n_layer=1),
        ModelConfig("gpt2", 50, block_size=33, n_embd=34, n_head=2, n_layer=1),
        ModelConfig("llama", 16, 7, 12, n_head=2, n_layer=1, n_kv_head=1, n_inner=5),
    ],
}  # fmt: skip
CASES = [
    pytest.param(config, dtype, id=f"{config.model_type}-{dtype}")
    for dtype, configs in CONFIGS.items()
    for config in configs
]
BOUNDS = {"float64": 1e-9, "float32": 3e-5}
ADAMW = OptimizerConfig(0.8, 0.97, 1e-4, weight_decay=0.5, max_grad_norm=2.5)
MUON = replace(ADAMW, name="muon")
RATES = [0.01, 0.02, 0.0, 0.015]


def vector_of(weights: Weights, dtype: str) -> npt.NDArray[Any]:
    return np.concatenate([np.asarray(weight.data, dtype) for weight in weights.values()])


def as_weights(arrays: dict[str, npt.NDArray[Any]]) -> Weights:
    return {
        name: Weight(x.shape, array("d", x.astype("float64").tobytes()))
        for name, x in arrays.items()
    }


@cache
def compiled(config: ModelConfig, dtype: str) -> tuple[TrainingStep, npt.NDArray[Any]]:
    """Return a training step and its vector of weights, which tests may overwrite."""
    vector = vector_of(random_weights(config, seed=0), dtype)
    return TrainingStep(config, dtype, vector, ADAMW), vector


@st.composite
def batches(draw: st.DrawFn, config: ModelConfig) -> Batch:
    """Batches with padding, tokens that are not predicted, and weights of sequences."""
    token = st.integers(0, config.vocab_size - 1)
    row = st.lists(token, min_size=2, max_size=config.block_size + 1)
    rows = draw(st.lists(row, min_size=1, max_size=3))
    prompts = [draw(st.integers(1, len(row) - 1)) for row in rows]
    weights = draw(
        st.none()
        | st.lists(st.sampled_from([0.5, 1.0, -2.0]), min_size=len(rows), max_size=len(rows))
    )
    return Batch.from_sequences(rows, prompts, weights)


def reference(config: ModelConfig, weights: Weights, dtype: str, adam: OptimizerConfig) -> Engine:
    return open_engine(
        "numpy", config, weights, device_config=DeviceConfig(dtype=dtype), optimizer=adam
    )


@pytest.mark.parametrize(("config", "dtype"), CASES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_loss_and_gradients_equal_those_of_numpy(
    config: ModelConfig, dtype: str, data: st.DataObject
) -> None:
    step, vector = compiled(config, dtype)
    weights = random_weights(config, data.draw(st.integers(0, 2**32 - 1)))
    vector[...] = vector_of(weights, dtype)
    engine = reference(config, weights, dtype, ADAMW)
    for batch in data.draw(st.lists(batches(config), min_size=1, max_size=3)):
        loss, gradients = step.gradients(batch)
        expected_loss, expected = engine.gradients(batch)
        assert loss == pytest.approx(expected_loss, rel=BOUNDS[dtype], abs=BOUNDS[dtype])
        assert_close(as_weights(gradients), expected, BOUNDS[dtype])
    assert np.array_equal(vector, vector_of(weights, dtype)), "gradients change no weights"


def drawn_batches(config: ModelConfig) -> list[Batch]:
    rng = np.random.default_rng(3)
    lengths = [rng.integers(2, config.block_size + 2, size) for size in (1, 3, 2, 1)]
    return [
        Batch.from_sequences([rng.integers(0, config.vocab_size, n).tolist() for n in sizes])
        for sizes in lengths
    ]


@pytest.mark.parametrize("adam", [ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize(("config", "dtype"), CASES)
def test_training_equals_that_of_numpy(
    config: ModelConfig, dtype: str, adam: OptimizerConfig
) -> None:
    weights = random_weights(config, seed=4)
    vector = vector_of(weights, dtype)
    step = TrainingStep(config, dtype, vector, adam)
    engine = reference(config, weights, dtype, adam)
    assert step.state() == {}
    for batch, rate in zip(drawn_batches(config), RATES):
        ours, theirs = step.train_step(batch, rate), engine.train_step(batch, rate)
        assert ours == pytest.approx(theirs, rel=100 * BOUNDS[dtype])
    assert_close(as_weights(step.state()), engine.optimizer_state(), 100 * BOUNDS[dtype])
    expected = vector_of(engine.weights(), dtype)
    assert np.abs(vector - expected).max() <= 100 * BOUNDS[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("adam", [ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize(("config", "dtype"), CASES[1:2] + CASES[5:])
def test_resumed_training_equals_uninterrupted_training(
    config: ModelConfig, dtype: str, adam: OptimizerConfig
) -> None:
    """Bit for bit."""
    vector = vector_of(random_weights(config, seed=5), dtype)
    whole = TrainingStep(config, dtype, vector, adam)
    steps = list(zip(drawn_batches(config), RATES))
    outputs = [whole.train_step(*step) for step in steps[:2]]
    resumed_vector = vector.copy()
    resumed = TrainingStep(config, dtype, resumed_vector, adam)
    resumed.load_optimizer_state(as_weights(whole.state()), 2)
    outputs = [whole.train_step(*step) for step in steps[2:]]
    assert [resumed.train_step(*step) for step in steps[2:]] == outputs
    assert np.array_equal(resumed_vector, vector)


@pytest.mark.parametrize(("config", "dtype"), CASES[1:2] + CASES[5:])
def test_loss_alone_is_that_of_the_training_step(config: ModelConfig, dtype: str) -> None:
    step, vector = compiled(config, dtype)
    vector[...] = vector_of(random_weights(config, seed=6), dtype)
    for batch in drawn_batches(config):
        assert step.loss(batch) == step.gradients(batch)[0]


@pytest.mark.parametrize(("config", "dtype"), CASES[5:])
def test_a_batch_without_memory_changes_nothing(config: ModelConfig, dtype: str) -> None:
    weights = random_weights(config, seed=8)
    vector = vector_of(weights, dtype)
    step, engine = (
        TrainingStep(config, dtype, vector, ADAMW),
        reference(config, weights, dtype, ADAMW),
    )
    batches = drawn_batches(config)
    huge = Batch(array("q"), array("q"), (1 << 40, config.block_size))
    for batch in batches[1:3]:
        with pytest.raises(MemoryError):
            step.loss(huge)
        with pytest.raises(MemoryError):
            step.train_step(huge, 0.01)
        with pytest.raises(MemoryError):
            step.gradients(huge)
        ours, theirs = step.train_step(batch, 0.01), engine.train_step(batch, 0.01)
        assert ours == pytest.approx(theirs, rel=100 * BOUNDS[dtype])
        expected = vector_of(engine.weights(), dtype)
        assert np.abs(vector - expected).max() <= 100 * BOUNDS[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize(("config", "dtype"), CASES)
def test_weights_that_are_no_numbers_are_seen(
    config: ModelConfig, dtype: str, number: float
) -> None:
    """As a loss and a gradient norm that are no numbers."""
    vector = vector_of(random_weights(config, seed=7), dtype)
    vector[:] = number
    step = TrainingStep(config, dtype, vector, ADAMW)
    output = step.train_step(drawn_batches(config)[0], 0.01)
    assert not np.isfinite(output.loss)
    assert not np.isfinite(output.gradient_norm)
    assert not np.isfinite(vector).all()

"""Engines to test, and small models to test them on."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from math import hypot

import numpy as np
import pytest
from hypothesis import strategies as st

from anexa.engines import Batch
from anexa.engines.operations import lists, numpy
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.rotary import LinearScaling, Llama3Scaling, RopeScaling
from anexa.model.weights import Weight, Weights

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")

BATCH_ENGINES = [
    pytest.param("numpy", id="numpy"),
    pytest.param("numba", id="numba", marks=needs_numba),
    pytest.param("torch", id="torch", marks=needs_torch),
]
ALL_ENGINES = ["scalar", "lists", *BATCH_ENGINES]

FLOAT64 = [
    pytest.param("scalar", id="scalar"),
    pytest.param("lists", id="lists"),
    *BATCH_ENGINES,
]
EVERY_ENGINE = [
    pytest.param("scalar", "float64", id="scalar"),
    pytest.param("lists", "float64", id="lists"),
    pytest.param("numpy", "float64", id="numpy-float64"),
    pytest.param("numpy", "float32", id="numpy-float32"),
    pytest.param("numba", "float64", id="numba-float64", marks=needs_numba),
    pytest.param("numba", "float32", id="numba-float32", marks=needs_numba),
    pytest.param("torch", "float64", id="torch-float64", marks=needs_torch),
    pytest.param("torch", "float32", id="torch-float32", marks=needs_torch),
]

OPERATION_MODULES = [pytest.param(lists, id="lists"), pytest.param(numpy, id="numpy")]

# A small text: five batches of rows of different lengths, of 7 symbols.
BATCHES = [
    Batch.from_sequences(rows)
    for rows in (
        [[1, 5, 2, 6, 0, 3], [6, 6, 2]],
        [[0, 1, 2, 3, 4, 5, 6]],
        [[4, 4], [2, 1], [0, 5]],
        [[3, 2, 3, 2, 3]],
        [[6, 0, 6], [1, 1, 1, 1, 1, 1]],
    )
]


def random_weights(config: ModelConfig, seed: int, std: float = 0.3) -> Weights:
    """Random weights, gains and biases too: none is 1 or 0 as before training."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, parameter in get_architecture(config).parameters(config).items():
        values = rng.normal(parameter.mean, hypot(parameter.std, std), parameter.shape)
        weights[name] = Weight(parameter.shape, array("d", values.tobytes()))
    return weights


LLAMAS = ("llama", "mistral", "qwen2", "qwen3")
SCALINGS: list[RopeScaling] = [LinearScaling(2.0), Llama3Scaling(4.0, 1.0, 4.0, 8)]


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Small models of every architecture."""
    n_head = draw(st.integers(1, 4))
    model_type = draw(st.sampled_from(sorted(ARCHITECTURES)))
    is_llama = model_type in LLAMAS
    rotates = is_llama or model_type == "gpt_neox"
    head_dim = draw(st.sampled_from((2, 4) if rotates else (1, 2, 3)))
    config = ModelConfig(
        model_type=model_type,
        vocab_size=draw(st.integers(2, 30)),
        block_size=draw(st.integers(1, 12)),
        n_embd=n_head * head_dim,
        n_head=n_head,
        n_layer=draw(st.integers(1, 3)),
    )
    if model_type == "gpt_neo":
        window = draw(st.integers(1, 6))
        kinds = draw(st.lists(st.booleans(), min_size=config.n_layer, max_size=config.n_layer))
        return replace(
            config,
            n_inner=draw(st.integers(1, 7)),
            attention_windows=tuple(window * is_local for is_local in kinds),
        )
    if model_type == "gpt_neox":
        return replace(
            config,
            n_inner=draw(st.integers(1, 7)),
            rope_theta=draw(st.sampled_from([10.0, 10_000.0])),
            tie_word_embeddings=draw(st.booleans()),
            partial_rotary_factor=2 / head_dim,
            use_parallel_residual=draw(st.booleans()),
        )
    if not is_llama:
        return config
    return replace(
        config,
        head_dim=draw(st.sampled_from((2, 4, 6))),
        rope_scaling=draw(st.sampled_from([None, *SCALINGS])),
        attention_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
        n_kv_head=draw(st.sampled_from([n for n in range(1, n_head + 1) if n_head % n == 0])),
        n_inner=draw(st.integers(1, 7)),
        rope_theta=draw(st.sampled_from([10.0, 10_000.0])),
        tie_word_embeddings=draw(st.booleans()),
    )


# A model of new sizes takes the numba engine some tenths of a second: it has to compile them.
FEW_CONFIGS = [
    ModelConfig("microgpt", 9, 12, 6, 2, 2),
    ModelConfig("gpt2", 30, 7, 9, 3, 1),
    ModelConfig("llama", 17, 11, 16, 4, 2, n_kv_head=2, n_inner=7, tie_word_embeddings=False),
    ModelConfig("llama", 2, 1, 2, 1, 1, n_inner=1, attention_bias=True, mlp_bias=True),
    ModelConfig("qwen2", 9, 8, 12, 3, 2, n_kv_head=1, n_inner=5, rope_scaling=SCALINGS[0]),
    ModelConfig("qwen3", 13, 9, 8, 4, 2, n_kv_head=2, n_inner=9, head_dim=6),
    ModelConfig("gpt_neo", 9, 40, 6, 2, 2, attention_windows=(21, 0)),
    ModelConfig("gpt_neox", 9, 12, 16, 2, 2, partial_rotary_factor=0.5),
]


@st.composite
def models(draw: st.DrawFn, engine: str = "") -> tuple[ModelConfig, Weights]:
    """Small models with random weights, of few sizes for an engine that compiles them."""
    config = draw(st.sampled_from(FEW_CONFIGS) if engine == "numba" else configs())
    return config, random_weights(config, draw(st.integers(0, 2**32 - 1)))


@st.composite
def batches(draw: st.DrawFn, config: ModelConfig) -> Batch:
    """Batches of up to three sequences of different lengths, some with gaps in their positions."""
    row = st.lists(
        st.integers(0, config.vocab_size - 1), min_size=2, max_size=config.block_size + 1
    )
    rows = draw(st.lists(row, min_size=1, max_size=3))
    rng = draw(st.randoms(use_true_random=False))
    positions = [
        [*sorted(rng.sample(range(config.block_size), len(ids) - 1)), config.block_size]
        if draw(st.booleans())
        else None
        for ids in rows
    ]
    return Batch.from_labels(rows, rows, positions=positions)


def assert_close(ours: Mapping[str, Weight], theirs: Mapping[str, Weight], bound: float) -> None:
    """Assert that all differences are at most `bound`, relative to the largest number."""
    assert ours.keys() == theirs.keys()
    largest = max(max(map(abs, weight.data)) for weight in theirs.values())
    for name, weight in theirs.items():
        assert ours[name].shape == weight.shape, name
        furthest = max(abs(a - b) for a, b in zip(ours[name].data, weight.data))
        assert furthest <= bound * largest, name

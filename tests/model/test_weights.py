"""Number and initialization of weights."""

from __future__ import annotations

import random
from math import prod, sqrt
from statistics import fmean, pstdev

import pytest

import microgpt
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights, num_parameters
from anexa.training.config import preset_config


def test_microgpt_preset_has_4192_parameters() -> None:
    config = preset_config("microgpt").model.to_config(27)
    assert num_parameters(config) == 4192
    model = microgpt.Model(["abcdefghijklmnopqrstuvwxyz"], random.Random(0))
    assert num_parameters(config) == len(model.parameters)


def test_anexa_preset_has_about_0_8_million_parameters() -> None:
    config = preset_config("anexa").model.to_config(65)
    vocabulary_and_positions = (65 + 128) * 128
    matrices = 12 * 128 * 128  # of a block: 3 + 1 of attention, 4 + 4 of the MLP
    biases_and_gains = (3 + 1 + 4 + 1) * 128 + 4 * 128
    assert (
        num_parameters(config)
        == vocabulary_and_positions + 4 * (matrices + biases_and_gains) + 2 * 128
    )
    assert 0.8e6 < num_parameters(config) < 0.85e6


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_initial_weights_have_the_shapes_of_the_architecture(model_type: str) -> None:
    config = ModelConfig(model_type, vocab_size=11, block_size=7, n_embd=8, n_head=2, n_layer=3)
    weights = initial_weights(config, random.Random(0))
    parameters = get_architecture(config).parameters(config)
    assert {name: w.shape for name, w in weights.items()} == {
        name: p.shape for name, p in parameters.items()
    }
    assert list(weights) == list(parameters), "in order"
    for weight in weights.values():
        assert len(weight.data) == prod(weight.shape)
        assert weight.typecode == "d"
    assert sum(len(w.data) for w in weights.values()) == num_parameters(config)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_seed_determines_the_initial_weights(model_type: str) -> None:
    config = ModelConfig(model_type, vocab_size=11, block_size=7, n_embd=8, n_head=2, n_layer=1)
    weights = initial_weights(config, random.Random(5))
    assert initial_weights(config, random.Random(5)) == weights
    assert initial_weights(config, random.Random(6)) != weights


def test_initial_weights_equal_microgpt_py() -> None:
    config = preset_config("microgpt").model.to_config(4)
    model = microgpt.Model(["abc"], random.Random(5))
    theirs = [value.data for value in model.parameters]
    weights = initial_weights(config, random.Random(5))
    assert [number for weight in weights.values() for number in weight.data] == theirs


def is_drawn_from(numbers: list[float], mean: float, std: float) -> bool:
    """Check a standard deviation within 5 standard errors; the fixed seed makes that certain."""
    n = len(numbers)
    return abs(fmean(numbers) - mean) < 5 * std / sqrt(n) and abs(
        pstdev(numbers) - std
    ) < 5 * std / sqrt(2 * n)


def test_standard_deviation_of_gpt2_weights() -> None:
    """0.02; less for output projections; gains are 1 and biases 0."""
    n_layer = 8
    config = ModelConfig("gpt2", vocab_size=50, block_size=32, n_embd=32, n_head=4, n_layer=n_layer)
    for name, weight in initial_weights(config, random.Random(0)).items():
        if "ln_" in name and name.endswith("weight"):
            assert set(weight.data) == {1.0}, name
        elif name.endswith("bias"):
            assert set(weight.data) == {0.0}, name
        else:
            std = 0.02 / sqrt(2 * n_layer) if "c_proj" in name else 0.02
            assert is_drawn_from(list(weight.data), 0.0, std), name


def test_standard_deviation_of_microgpt_weights() -> None:
    config = ModelConfig("microgpt", vocab_size=50, block_size=32, n_embd=32, n_head=4, n_layer=2)
    for name, weight in initial_weights(config, random.Random(0)).items():
        assert is_drawn_from(list(weight.data), 0.0, 0.08), name

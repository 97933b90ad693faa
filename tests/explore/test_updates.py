"""The numbers of an optimizer step, against the engines' own."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

from anexa.engines import DeviceConfig, OptimizerConfig, open_engine
from anexa.engines.optimizers.lists import orthogonalize
from anexa.explore.rule import Array
from anexa.explore.terms import TermQuantity
from anexa.explore.updates import WeightUpdate, explain_update, newton_schulz
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights
from tests.engines.helpers import BATCHES, EVERY_ENGINE, random_weights

CONFIG = ModelConfig("gpt2", 7, 8, 8, 2, 1)
OPTIMIZER = OptimizerConfig(0.8, 0.97, 1e-7, weight_decay=0.5, max_grad_norm=2.25)
QUANTITIES: tuple[TermQuantity, ...] = ("clipped", "m", "v", "update", "new")


def arrays(weights: Weights) -> dict[str, Array]:
    return {
        name: np.array(weight.data, weight.typecode).reshape(weight.shape)
        for name, weight in weights.items()
    }


def single(weights: Weights) -> Weights:
    return {name: Weight(w.shape, array("d", array("f", w.data))) for name, w in weights.items()}


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_every_weight_after_a_step_is_rebuilt(name: str, dtype: str) -> None:
    weights = single(random_weights(CONFIG, seed=3))
    device = DeviceConfig(dtype=dtype)
    engine = open_engine(name, CONFIG, weights, optimizer=OPTIMIZER, device_config=device)
    # PyTorch fuses a multiplication and an addition: it rounds once where the equation does twice.
    # A new weight near 0 is the difference of two numbers as large as the learning rate.
    absolute = 1e-6 if dtype == "float32" else 1e-10  # in learning rates
    relative = 1e-5 if dtype == "float32" else 1e-13
    for step, (batch, rate) in enumerate(zip(BATCHES, (0.01, 0.02, 0.005)), start=1):
        before, moments = arrays(engine.weights()), arrays(engine.optimizer_state())
        grads = arrays(engine.gradients(batch)[1])
        norm = engine.train_step(batch, rate).gradient_norm
        after = arrays(engine.weights())
        for key, weight in before.items():
            m, v = moments.get(f"m.{key}"), moments.get(f"v.{key}")
            update = WeightUpdate(key, OPTIMIZER, step, rate, norm, weight, grads[key], m, v)
            for index in np.ndindex(weight.shape):
                new = update.numbers(index, name in ("numpy", "numba", "torch"))["new"]
                if name == "torch":
                    expected = float(after[key][index])
                    assert new == pytest.approx(expected, rel=relative, abs=absolute * rate)
                else:
                    assert new == after[key][index], (step, key, index)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_terms_of_a_step_add_up(quantity: TermQuantity) -> None:
    rng = np.random.default_rng(0)
    w, g, m, v = rng.normal(size=(4, 3, 5))
    step = WeightUpdate("w", OPTIMIZER, 7, 0.01, 4.0, w, g, m, v * v)
    for first in (step, replace(step, step=1, m=None, v=None)):
        for index in np.ndindex(w.shape):
            found = explain_update(first, index, quantity)
            assert found.rebuilt == pytest.approx(found.value, rel=1e-12)
            assert found.value == first.numbers(index, True)[quantity]


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_iterations_of_muon_lead_to_what_the_engine_uses(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape)
    found = newton_schulz(matrix)
    assert found[-1].after == pytest.approx(np.array(orthogonalize(matrix.tolist())), abs=1e-12)
    before, after = found[0].singular_values
    assert before[0] <= 1
    assert np.all(after > before)
    assert np.all((found[-1].singular_values[1] > 0.6) & (found[-1].singular_values[1] < 1.3))

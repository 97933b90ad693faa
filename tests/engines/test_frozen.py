"""Frozen weights: they keep their values, and nothing else of a step depends on them."""

from __future__ import annotations

import math

import pytest

from anexa.engines import DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.engines.optimizers import PartialOptimizerConfig
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights
from tests.engines.helpers import BATCHES, FLOAT64, assert_close, random_weights

ADAMW = OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5)
MUON = OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5, name="muon")
MODELS = [
    (ModelConfig("gpt2", 7, 8, 4, 2, 2), {"wte.weight", "wpe.weight"}),  # the tied head
    (ModelConfig("gpt2", 7, 8, 4, 2, 2), {"h.0.attn.c_attn.weight", "h.0.ln_1.bias", "ln_f.bias"}),
    (ModelConfig("llama", 7, 8, 4, 2, 1), {"model.layers.0.mlp.up_proj.weight"}),
    (ModelConfig("llama", 7, 8, 4, 2, 1), "all but model.norm.weight"),
    (ModelConfig("gpt2", 7, 8, 4, 2, 1), "all but h.0.mlp.c_fc.weight"),  # Muon's alone
]


def frozen_names(config: ModelConfig, frozen: set[str] | str) -> frozenset[str]:
    if isinstance(frozen, set):
        return frozenset(frozen)
    names = get_architecture(config).parameters(config).keys()
    return frozenset(names - {frozen.removeprefix("all but ")})


def opened(name: str, config: ModelConfig, weights: Weights, optimizer: OptimizerConfig) -> Engine:
    exact = DeviceConfig("cpu", "float64")
    return open_engine(name, config, weights, optimizer=optimizer, device_config=exact)


@pytest.mark.parametrize("optimizer", [ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize(("config", "frozen"), MODELS)
@pytest.mark.parametrize("engine_name", FLOAT64)
def test_only_trainable_weights_change(
    engine_name: str, config: ModelConfig, frozen: set[str] | str, optimizer: OptimizerConfig
) -> None:
    names = frozen_names(config, frozen)
    weights = random_weights(config, seed=1)
    partial = PartialOptimizerConfig.freeze(optimizer, names)
    engine = opened(engine_name, config, weights, partial)
    _, whole = opened("lists", config, weights, optimizer).gradients(BATCHES[0])
    _, gradients = engine.gradients(BATCHES[0])
    assert gradients.keys() == weights.keys() - names
    assert_close(gradients, {name: whole[name] for name in gradients}, 1e-9)
    norm = math.sqrt(sum(g * g for gradient in gradients.values() for g in gradient.data))
    assert engine.train_step(BATCHES[0], 0.01).gradient_norm == pytest.approx(norm, rel=1e-9)

    reference = opened("lists", config, weights, partial)
    reference.train_step(BATCHES[0], 0.01)
    for one in (engine, reference):
        one.train_step(BATCHES[1], 0.02)
    after = engine.weights()
    assert {name: after[name] for name in names} == {name: weights[name] for name in names}
    assert all(after[name] != weights[name] for name in gradients)
    assert_close(after, reference.weights(), 1e-9)

    state = engine.optimizer_state()
    assert {key: moment.shape for key, moment in state.items()} == partial.state_shapes(config)
    resumed = opened(engine_name, config, after, partial)
    resumed.load_optimizer_state(state, 2)
    for one in (engine, resumed):
        one.train_step(BATCHES[2], 0.02)
    assert resumed.weights() == engine.weights()
    assert resumed.optimizer_state() == engine.optimizer_state()

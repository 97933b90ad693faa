"""Adapters: merged, and opened by `peft`, they compute the same function."""

from __future__ import annotations

import json
import random
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from anexa.engines import DeviceConfig, open_engine
from anexa.errors import AnexaError
from anexa.model.adapters import add_adapters, merge_adapters, with_lora_rank, write_adapter
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.architectures.base import is_adapter
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.weights import Weight, Weights
from tests.engines.helpers import BATCHES, FLOAT64, assert_close, random_weights
from tests.model.helpers import small_model

EXACT = DeviceConfig("cpu", "float64")
TOKENS = [1, 5, 2, 6, 0, 3]


def adapted(model_type: str) -> tuple[ModelConfig, Weights]:
    """Return a model with random weights and adapters."""
    config = ModelConfig(model_type, 7, 8, 4, 2, 2, lora_rank=2)
    return config, random_weights(config, seed=1)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_new_adapters_do_not_change_the_function(model_type: str) -> None:
    config = ModelConfig(model_type, 7, 8, 4, 2, 2)
    weights = random_weights(config, seed=1)
    new = add_adapters(weights, with_lora_rank(config, 3), random.Random(0))
    assert new.keys() - weights.keys() == {*filter(is_adapter, new)}
    plain = open_engine("numpy", config, weights, device_config=EXACT).logits(TOKENS)
    engine = open_engine("numpy", with_lora_rank(config, 3), new, device_config=EXACT)
    assert engine.logits(TOKENS) == plain
    engine.train_step(BATCHES[0], 0.01)
    assert engine.logits(TOKENS) != plain
    for name, weight in new.items():
        if name.endswith("lora_A.weight"):
            bound = weight.shape[1] ** -0.5
            assert all(abs(x) <= bound for x in weight.data)
            assert max(map(abs, weight.data)) > bound / 3


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_merged_model_computes_the_same_function(model_type: str) -> None:
    config, weights = adapted(model_type)
    merged = merge_adapters(weights, config)
    plain = with_lora_rank(config, 0)
    assert merged.keys() == get_architecture(plain).parameters(plain).keys()
    assert merge_adapters(merged, plain) == merged
    one = open_engine("numpy", config, weights, device_config=EXACT).logits(TOKENS)
    other = open_engine("numpy", plain, merged, device_config=EXACT).logits(TOKENS)
    for row, expected in zip(one, other):
        assert row == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("precision", ["float", "double"])
def test_merged_weights_keep_their_precision(precision: str) -> None:
    config, weights = adapted("llama")
    typecode = precision[0]
    expected = merge_adapters(weights, config)
    mixed = {
        name: weight if is_adapter(name) else weight._replace(data=array(typecode, weight.data))
        for name, weight in weights.items()
    }
    for name, weight in merge_adapters(mixed, config).items():
        assert weight.typecode == typecode
        assert list(weight.data) == pytest.approx(list(expected[name].data), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("engine_name", FLOAT64)
def test_every_engine_trains_the_adapters_alone(engine_name: str, model_type: str) -> None:
    config, weights = adapted(model_type)
    engine = open_engine(engine_name, config, weights, device_config=EXACT)
    reference = open_engine("lists", config, weights, device_config=EXACT)
    assert_close(engine.gradients(BATCHES[0])[1], reference.gradients(BATCHES[0])[1], 1e-9)
    for one in (engine, reference):
        one.train_step(BATCHES[0], 0.01)
        one.train_step(BATCHES[1], 0.01)
    after = engine.weights()
    assert {name for name in weights if after[name] != weights[name]} == {
        *filter(is_adapter, weights)
    }
    assert_close(after, reference.weights(), 1e-9)
    assert all(is_adapter(key[2:]) for key in engine.optimizer_state())
    cache = engine.new_kv_cache()
    cached = engine.prompt_logits(TOKENS, cache)
    for row, expected in zip(cached, engine.logits(TOKENS)):
        assert list(row) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.integration
@pytest.mark.parametrize("model_type", [name for name in ARCHITECTURES if name != "microgpt"])
def test_peft_opens_the_adapters(tmp_path: Path, model_type: str) -> None:
    """On the base model, and with the logits of the model with adapters."""
    pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    model = small_model(model_type)
    config = with_lora_rank(model.config, 2)
    rounded = {name: Weight(w.shape, array("f", w.data)) for name, w in model.weights.items()}
    drawn = random_weights(config, seed=1)
    weights = rounded | {
        name: Weight(w.shape, array("f", w.data)) for name, w in drawn.items() if is_adapter(name)
    }
    create_folder(tmp_path / "base", replace(model, weights=rounded), "")
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", weights, config, "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    with torch.no_grad():
        logits = theirs(torch.tensor([TOKENS])).logits[0].tolist()
    for row, expected in zip(open_engine("numpy", config, weights).logits(TOKENS), logits):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-4)
    described = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert described["fan_in_fan_out"] == (model_type == "gpt2")
    assert described["base_model_name_or_path"] == "base"


@pytest.mark.parametrize("rank", [-1, 5])
def test_rank_must_fit_the_width(rank: int) -> None:
    with pytest.raises(AnexaError, match=f"adapters must be from 1 to n_embd, 4, not {rank}"):
        ModelConfig("gpt2", 7, 8, 4, 2, 2, lora_rank=rank)

"""Sizes of a model, and its config.json."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anexa.errors import AnexaError, UsageError
from anexa.model.architectures import (
    ARCHITECTURES,
    config_from_json,
    get_architecture,
    gpt2,
    gpt_neo,
    gpt_neox,
    llama_config,
    microgpt,
)
from anexa.model.config import ModelConfig
from anexa.training.config import preset_config
from anexa.training.presets import PRESETS
from tests.engines.helpers import LLAMAS, SCALINGS, configs

CONFIG = ModelConfig("gpt2", vocab_size=65, block_size=32, n_embd=24, n_head=3, n_layer=2)
SIZES = ("vocab_size", "block_size", "n_embd", "n_head", "n_layer")
FILE_NAMES = {
    "microgpt": microgpt.KEYS,
    "gpt2": gpt2.KEYS,
    **dict.fromkeys(LLAMAS, llama_config.KEYS),
    "gpt_neo": gpt_neo.KEYS,
    "gpt_neox": gpt_neox.KEYS,
}


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, True, None, "8", [8], float("nan")])
def test_sizes_must_be_positive_integers(field: str, value: Any) -> None:
    with pytest.raises(AnexaError, match=rf"^{field} must be a whole number of at least 1, not "):
        replace(CONFIG, **{field: value})


@pytest.mark.parametrize("value", [0.0, -1e-5, 1.0, 2, "1e-5", None, True, float("nan")])
def test_norm_eps_must_be_between_0_and_1(value: Any) -> None:
    with pytest.raises(AnexaError, match="norm_eps must be between 0 and 1"):
        replace(CONFIG, norm_eps=value)


def test_width_must_be_a_multiple_of_the_heads() -> None:
    with pytest.raises(AnexaError, match=r"width .* of 24 cannot be shared by 5 heads"):
        replace(CONFIG, n_head=5)
    assert replace(CONFIG, n_head=24).n_head == 24


@given(
    model_type=st.sampled_from(sorted(ARCHITECTURES)),
    vocab_size=st.integers(1, 10**6),
    block_size=st.integers(1, 10**6),
    n_head=st.integers(1, 64),
    head_dim=st.integers(1, 128).map(lambda half: 2 * half),  # rotary positions need even ones
    n_layer=st.integers(1, 200),
    norm_eps=st.floats(1e-12, 0.1),
)
def test_config_json_round_trip(
    model_type: str,
    vocab_size: int,
    block_size: int,
    n_head: int,
    head_dim: int,
    n_layer: int,
    norm_eps: float,
) -> None:
    config = ModelConfig(
        model_type, vocab_size, block_size, n_head * head_dim, n_head, n_layer, norm_eps
    )
    if model_type in LLAMAS:
        config = replace(
            config,
            head_dim=2 * n_layer,
            rope_theta=1 / norm_eps,
            rope_scaling=[None, *SCALINGS][n_head % 3],
            attention_bias=vocab_size % 2 == 1,
            mlp_bias=vocab_size % 3 == 1,
            tie_word_embeddings=block_size % 2 == 1,
        )
    architecture = get_architecture(config)
    text = json.dumps(architecture.to_json(config))
    assert json.loads(text)["model_type"] == model_type
    assert architecture.from_json(json.loads(text)) == config


@given(configs())
def test_every_option_is_in_config_json(config: ModelConfig) -> None:
    """The file describes the model: so it can be computed by another process."""
    text = json.dumps(get_architecture(config).to_json(config))
    assert config_from_json(json.loads(text)) == config


# What transformers has a value for where a file says nothing.
USUAL: dict[str, dict[str, Any]] = {
    "microgpt": {},
    "gpt2": {"n_positions": 1024, "layer_norm_epsilon": 1e-5},
    "llama": {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    "mistral": {
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "num_key_value_heads": 8,
    },
    "qwen2": {"max_position_embeddings": 32_768, "rms_norm_eps": 1e-6, "num_key_value_heads": 32},
    "qwen3": {
        "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6,
        "num_key_value_heads": 32,
        "head_dim": 128,
    },
    "gpt_neo": {"max_position_embeddings": 2048, "layer_norm_epsilon": 1e-5},
    "gpt_neox": {"max_position_embeddings": 2048, "layer_norm_eps": 1e-5},
}


@pytest.mark.parametrize("model_type", [name for name, usual in USUAL.items() if usual])
def test_missing_keys_have_the_defaults_of_transformers(model_type: str) -> None:
    architecture, usual = ARCHITECTURES[model_type], USUAL[model_type]
    whole = architecture.to_json(ModelConfig(model_type, 65, 32, n_embd=64, n_head=32, n_layer=2))
    said = {key: value for key, value in whole.items() if key not in usual}
    assert architecture.from_json(said) == architecture.from_json(whole | usual)
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs = transformers.AutoConfig.for_model(model_type).to_dict()
    assert {key: theirs[key] for key in usual} == usual


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_error_names_the_missing_key(model_type: str) -> None:
    architecture = ARCHITECTURES[model_type]
    whole = architecture.to_json(replace(CONFIG, model_type=model_type))
    for field in SIZES:
        key = FILE_NAMES[model_type][field]
        if key in USUAL[model_type]:
            continue
        rest = {name: value for name, value in whole.items() if name != key}
        with pytest.raises(AnexaError, match=rf"it lacks {key}$"):
            architecture.from_json(rest)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("value", ["24", 24.0, -24, 0, True, None, [24], {"a": 24}])
@pytest.mark.parametrize("field", SIZES)
def test_error_names_a_size_of_the_wrong_type(field: str, value: Any, model_type: str) -> None:
    architecture = ARCHITECTURES[model_type]
    whole = architecture.to_json(replace(CONFIG, model_type=model_type))
    with pytest.raises(AnexaError, match=rf"^{field} must be a whole number"):
        architecture.from_json(whole | {FILE_NAMES[model_type][field]: value})


def test_gpt_neo_layers_alternate_as_attention_types_say() -> None:
    architecture = ARCHITECTURES["gpt_neo"]
    config = replace(CONFIG, model_type="gpt_neo", n_layer=5)
    types = [[["global", "local"], 2], [["local"], 1]]
    whole = architecture.to_json(config) | {"attention_types": types, "window_size": 7}
    del whole["attention_layers"]
    read = architecture.from_json(whole)
    assert read.attention_windows == (0, 7, 0, 7, 7)
    assert architecture.from_json(architecture.to_json(read)) == read


def test_gpt_neox_keys_of_transformers_4_and_5_are_read() -> None:
    """The Pythia models have those of version 4."""
    architecture = ARCHITECTURES["gpt_neox"]
    whole = architecture.to_json(replace(CONFIG, model_type="gpt_neox", partial_rotary_factor=0.5))
    old, new = "rotary_pct rotary_emb_base".split(), {"rope_parameters"}
    ropes = ({k: v for k, v in whole.items() if k not in left} for left in (old, new))
    assert [architecture.from_json(json).rotary_dim for json in ropes] == [4, 4]
    usual = architecture.from_json({k: v for k, v in whole.items() if k not in {*old, *new}})
    assert (usual.rotary_dim, usual.rope_theta) == (2, 10_000.0)


@pytest.mark.parametrize("n_inner", [None, 96])
def test_n_inner_defaults_to_four_times_the_width(n_inner: int | None) -> None:
    architecture = ARCHITECTURES["gpt2"]
    assert architecture.from_json(architecture.to_json(CONFIG) | {"n_inner": n_inner}) == CONFIG


def test_gpt2_config_with_few_keys_has_the_defaults_of_transformers() -> None:
    """Older files lack several of these keys."""
    architecture = ARCHITECTURES["gpt2"]
    needed = ("vocab_size", "n_positions", "n_embd", "n_head", "n_layer", "layer_norm_epsilon")
    whole = architecture.to_json(CONFIG)
    assert architecture.from_json({key: whole[key] for key in needed}) == CONFIG


def test_presets() -> None:
    assert preset_config("anexa").model.to_config(65) == ModelConfig("gpt2", 65, 128, 128, 4, 4)
    assert preset_config("microgpt").model.to_config(27) == ModelConfig(
        "microgpt", 27, 16, 16, 4, 1
    )
    with pytest.raises(UsageError, match=f"--preset is one of {', '.join(PRESETS)}, not 'gpt5'"):
        preset_config("gpt5")


@settings(max_examples=15)
@given(configs())
def test_weights_have_the_names_and_shapes_of_transformers(config: ModelConfig) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assume(config.model_type in LLAMAS)
    architecture = get_architecture(config)
    theirs = transformers.AutoConfig.for_model(**architecture.to_json(config))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(theirs)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert {name: p.shape for name, p in architecture.parameters(config).items()} == shapes
    assert architecture.from_json(theirs.to_dict()) == config

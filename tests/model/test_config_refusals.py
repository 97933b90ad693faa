"""Settings in config.json that would make a model another function are refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from anexa.errors import AnexaError
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig

CONFIG = ModelConfig("gpt2", vocab_size=65, block_size=32, n_embd=24, n_head=3, n_layer=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("activation_function", "relu"),
        ("activation_function", None),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("n_inner", 95),
        ("n_inner", "96"),
        ("n_inner", 0),
    ],
)
def test_unsupported_gpt2_settings_are_refused_by_name(key: str, value: Any) -> None:
    architecture = ARCHITECTURES["gpt2"]
    with pytest.raises(AnexaError, match=rf"^{key} is {value!r}: only"):
        architecture.from_json(architecture.to_json(CONFIG) | {key: value})


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("gpt_neo", {"activation_function": "relu"}, "activation_function is 'relu': only"),
        ("gpt_neo", {"tie_word_embeddings": False}, "tie_word_embeddings is False: only"),
        ("gpt_neo", {"window_size": 0}, "window_size is 0: it must be a whole number above 0"),
        ("gpt_neo", {"window_size": True}, "window_size is True: it must be"),
        ("gpt_neo", {"intermediate_size": 0}, "intermediate_size is 0: it must be"),
        ("gpt_neo", {"intermediate_size": "9"}, "n_inner must be a whole number"),
        (
            "gpt_neo",
            {"attention_types": [[["global", "local"], 2]]},
            "attention_types has the attention of 4 layers, and num_layers is 2: they must be",
        ),
        *(
            ("gpt_neo", {"attention_types": types}, "attention_types is .*: it must be a list of")
            for types in (None, "local", ["local"], [[["round"], 2]], [["local", 2]], [[[], 9, 9]])
        ),
        (
            "gpt_neo",
            {"attention_types": [[["global"] * 10, 10**12]]},
            "attention_types is .*: it must be a list of",
        ),
        (
            "gpt_neo",
            {"attention_layers": ["global", "local"]},
            r"attention_layers is \['global', 'local'\], and attention_types says otherwise",
        ),
        ("gpt_neox", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new': only 'gelu' is"),
        ("gpt_neox", {"attention_bias": False}, "attention_bias is False: only True is"),
        ("gpt_neox", {"use_parallel_residual": 1}, "use_parallel_residual is 1: it must be true"),
        ("gpt_neox", {"intermediate_size": None}, "intermediate_size is None: it must be"),
        ("gpt_neox", {"rope_scaling": {"type": "linear"}}, "its rotary positions are scaled"),
        (
            "gpt_neox",
            {"rope_parameters": {"rope_type": "yarn"}},
            "its rotary positions are scaled",
        ),
        (
            "gpt_neox",
            {"rope_parameters": {"full_attention": {"rope_type": "linear"}}},
            "its layers have rotary positions of their own",
        ),
        (
            "gpt_neox",
            {"rope_scaling": {"rope_theta": 9.0}},
            "its rope_parameters and rope_scaling describe different rotary positions",
        ),
        ("gpt_neox", {"rope_parameters": {"rope_theta": 1e-320}}, "rope_theta is 1e-320: it must"),
        (
            "gpt_neox",
            {"rope_parameters": {"partial_rotary_factor": 1e308}},
            r"partial_rotary_factor is 1e\+308: it must be from 0 to 1",
        ),
        ("gpt_neox", {"rope_parameters": {"rope_theta": "9"}}, "rope_theta is '9': it must be"),
        (
            "gpt_neox",
            {"rope_parameters": None, "rotary_pct": 0.1},
            "rotary positions rotate pairs of columns of a head: 0 of 8 columns",
        ),
        ("gpt_neox", {"rope_parameters": None, "rotary_pct": 2}, "rotary positions .*: 16 of 8"),
        ("gpt_neox", {"rope_parameters": None, "rotary_pct": 0.4}, "rotary positions .*: 3 of 8"),
    ],
)
def test_unsupported_settings_of_neo_models_are_refused_by_name(
    model_type: str, changes: dict[str, Any], message: str
) -> None:
    architecture = ARCHITECTURES[model_type]
    written = architecture.to_json(replace(CONFIG, model_type=model_type))
    with pytest.raises(AnexaError, match=f"^{message}"):
        architecture.from_json(written | changes)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ((1,), "attention_windows must have a number for each of 2 layers, not 1"),
        ((0, -1), "attention_windows must be whole numbers of at least 0, not"),
        ((0, 2.5), "attention_windows must be whole numbers of at least 0, not"),
        ((2, 3), "the attention windows of a gpt_neo model must have one size, not 2 and 3"),
    ],
)
def test_impossible_windows_are_refused(windows: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AnexaError, match=f"^{message}"):
        replace(CONFIG, model_type="gpt_neo", attention_windows=windows)


def test_microgpt_with_a_tied_head_is_refused() -> None:
    architecture = ARCHITECTURES["microgpt"]
    whole = architecture.to_json(replace(CONFIG, model_type="microgpt"))
    with pytest.raises(AnexaError, match="tie_word_embeddings"):
        architecture.from_json(whole | {"tie_word_embeddings": True})


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}

NAN = float("nan")


def scaled(**changes: Any) -> dict[str, Any]:
    return {"rope_parameters": LLAMA3 | changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": "no"}, "attention_bias is 'no': it must be true or false"),
        ({"mlp_bias": 1}, "mlp_bias is 1: it must be true or false"),
        ({"head_dim": 0}, "head_dim is 0: it must be a number above 0"),
        ({"head_dim": 3}, "even width"),
        ({"head_dim": -2}, "head_dim must be a whole number"),
        ({"head_dim": 8.0}, "head_dim must be a whole number"),
        ({"num_key_value_heads": 3}, "n_kv_head"),
        ({"num_attention_heads": 8, "head_dim": None}, "even width"),
        ({"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": None}, "multiple"),
        ({"intermediate_size": 0}, "intermediate_size"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_theta"),
        ({"rope_parameters": {"rope_theta": NAN}}, "rope_theta is nan"),
        ({"rope_parameters": 3}, "rope_parameters is 3: it must be an object"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "scaled, and lack low_freq"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2}}, "different rotary positions"),
        ({"rope_parameters": {"rope_type": "linear", "type": "yarn"}}, "two types: 'linear' and"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "of their own"),
        ({"rope_parameters": {"rope_type": ["linear"]}}, r"scaled by \['linear'\]"),
        ({"original_max_position_embeddings": 9} | scaled(), "given as 8 and as 9"),
        (scaled(factor=NAN), "factor is nan: it must be a number of at least 1"),
        (scaled(factor=0.5), "factor is 0.5"),
        (scaled(factor="8"), "factor is '8'"),
        (scaled(factor=None), "factor is None"),
        (scaled(low_freq_factor=4), "low_freq_factor is 4: it must be below high_freq_factor, 4"),
        (scaled(high_freq_factor=float("inf")), "high_freq_factor is inf"),
        (scaled(original_max_position_embeddings=0), "is 0: it must be a number of tokens"),
        (scaled(original_max_position_embeddings=10**400), "must be a number of tokens"),
        *(
            (
                scaled(rope_type=name),
                f"scaled by '{name}', .* rope_type is default, linear or llama3",
            )
            for name in ("yarn", "dynamic", "longrope", "mrope")
        ),
    ],
)
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_unsupported_llama_settings_are_refused_by_name(
    model_type: str, changes: dict[str, Any], message: str
) -> None:
    architecture = ARCHITECTURES[model_type]
    described = architecture.to_json(ModelConfig(model_type, 10, 16, 8, 2, 2)) | changes
    if model_type == "qwen3" and "mlp_bias" in changes:
        message = "mlp_bias is 1: only False"
    with pytest.raises(AnexaError, match=message):
        architecture.from_json(described)


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("mistral", {"sliding_window": 15}, "15 tokens .*max_position_embeddings of at most 15"),
        ("mistral", {"sliding_window": 0}, "sliding_window is 0: it must be a number of tokens"),
        ("mistral", {"sliding_window": "all"}, "sliding_window is 'all'"),
        ("mistral", {"attention_bias": True}, "attention_bias is True: only False"),
        ("qwen2", {"attention_bias": True}, "attention_bias is True: only False"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 15}, "window of 15 tokens"),
        ("qwen2", {"use_sliding_window": 1}, "use_sliding_window is 1: it must be true or false"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 2}, "layer_types has 'sliding_att"),
        (
            "qwen3",
            {
                "use_sliding_window": True,
                "sliding_window": 16,
                "layer_types": ["chunked_attention"],
            },
            "layer_types has 'chunked_attention': not supported",
        ),
        ("qwen3", {"layer_types": 5}, "layer_types is 5: it must be a list"),
    ],
)
def test_sliding_windows_that_the_context_reaches_are_refused(
    model_type: str, changes: dict[str, Any], message: str
) -> None:
    architecture = ARCHITECTURES[model_type]
    described = architecture.to_json(ModelConfig(model_type, 10, 16, 8, 2, 2)) | changes
    with pytest.raises(AnexaError, match=message):
        architecture.from_json(described)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("mistral", {"sliding_window": 16}),
        ("mistral", {"use_sliding_window": False, "sliding_window": 16}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16}),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 3}),
        ("qwen3", {"layer_types": ["full_attention"] * 2}),
        (
            "qwen3",
            {"use_sliding_window": True, "sliding_window": 3, "layer_types": ["full_attention"]},
        ),
    ],
)
def test_sliding_windows_that_the_context_never_reaches_are_ignored(
    model_type: str, changes: dict[str, Any]
) -> None:
    architecture, config = ARCHITECTURES[model_type], ModelConfig(model_type, 10, 16, 8, 2, 2)
    assert architecture.from_json(architecture.to_json(config) | changes) == config


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(AnexaError, match="'bert' is not one of microgpt, gpt2, llama"):
        get_architecture(replace(CONFIG, model_type="bert"))

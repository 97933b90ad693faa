"""Llama (Touvron et al., 2023), with the same weights and logits as transformers' LlamaForCausalLM.

RMSNorm with gains before each half of a block, rotary positions, SwiGLU, no biases; optional
grouped-query attention; the output head may be tied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.architectures.base import (
    Architecture,
    GGUFLayout,
    Parameter,
    is_number,
    read_config,
    write_config,
)
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor
from anexa.model.rotary import rotary_frequencies


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights: matrices are (out, in) and initialized from N(0, 0.02²).

    Output projections are initialized smaller, as in GPT-2.
    """
    width, inner, kv_width = config.n_embd, config.n_inner, config.n_kv_head * config.head_dim
    residual_std = 0.02 / (2 * config.n_layer) ** 0.5
    embedding, gain = Parameter((config.vocab_size, width), 0.02), Parameter((width,), mean=1.0)

    def matrix(n_out: int, n_in: int, std: float = 0.02) -> Parameter:
        return Parameter((n_out, n_in), std, num_fused=1)

    all_parameters = {"model.embed_tokens.weight": embedding}
    for layer in range(config.n_layer):
        block = {
            "input_layernorm": gain,
            "self_attn.q_proj": matrix(width, width),
            "self_attn.k_proj": matrix(kv_width, width),
            "self_attn.v_proj": matrix(kv_width, width),
            "self_attn.o_proj": matrix(width, width, residual_std),
            "post_attention_layernorm": gain,
            "mlp.gate_proj": matrix(inner, width),
            "mlp.up_proj": matrix(inner, width),
            "mlp.down_proj": matrix(width, inner, residual_std),
        }
        all_parameters |= {f"model.layers.{layer}.{name}.weight": p for name, p in block.items()}
    all_parameters["model.norm.weight"] = gain
    if not config.tie_word_embeddings:
        all_parameters["lm_head.weight"] = embedding
    return all_parameters


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    start: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V)."""

    def norm(x_TC: Tensor, name: str) -> Tensor:
        return ops.rms_norm(x_TC, weights[f"{name}.weight"], config.norm_eps)

    def linear(x_TC: Tensor, name: str) -> Tensor:
        return ops.linear(x_TC, weights[f"{name}.weight"])

    frequencies = rotary_frequencies(config.head_dim, config.rope_theta)

    def rotary(x_TC: Tensor) -> Tensor:
        return ops.rotary(x_TC, config.head_dim, start, frequencies)

    x_TC = ops.dropout(ops.embedding(weights["model.embed_tokens.weight"], tokens_T))
    for layer in range(config.n_layer):
        block = f"model.layers.{layer}"
        h_TC = norm(x_TC, f"{block}.input_layernorm")
        q_TC = rotary(linear(h_TC, f"{block}.self_attn.q_proj"))
        k_TC = rotary(linear(h_TC, f"{block}.self_attn.k_proj"))
        v_TC = linear(h_TC, f"{block}.self_attn.v_proj")
        h_TC = ops.attention(q_TC, k_TC, v_TC, config.n_head, kv_cache[layer] if kv_cache else None)
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.self_attn.o_proj")))
        h_TC = norm(x_TC, f"{block}.post_attention_layernorm")
        gate_TC, up_TC = (linear(h_TC, f"{block}.mlp.{half}_proj") for half in ("gate", "up"))
        h_TC = linear(ops.swiglu(gate_TC, up_TC), f"{block}.mlp.down_proj")
        x_TC = ops.add(x_TC, ops.dropout(h_TC))
    return linear(
        norm(x_TC, "model.norm"), "model.embed_tokens" if config.tie_word_embeddings else "lm_head"
    )


KEYS = {
    "vocab_size": "vocab_size",
    "block_size": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "norm_eps": "rms_norm_eps",
    "n_inner": "intermediate_size",
    "n_kv_head": "num_key_value_heads",
}

# transformers' defaults for keys that a file leaves out.
DEFAULTS = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6}

# Settings of LlamaConfig that change the function, with the one value that this code computes.
UNSCALED = ("default", None)  # values of rope_type
SETTINGS = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `config.json` as transformers' LlamaConfig writes it."""
    return write_config(config, "LlamaForCausalLM", KEYS, SETTINGS) | {
        "head_dim": config.head_dim,
        "rope_theta": config.rope_theta,  # transformers 4 reads this, 5 the next
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tie_word_embeddings,
    }


def from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the configuration in a `config.json`.

    Raises:
        AnexaError: if a key is missing, or asks for a function that this module does not compute.
    """
    json = DEFAULTS | json
    theta = _rope_theta(json)
    is_tied = json.get("tie_word_embeddings", False)
    if not isinstance(is_tied, bool):
        raise AnexaError(f"tie_word_embeddings is {short_repr(is_tied)}: it must be true or false")
    if json.get("num_key_value_heads") is None:
        json = json | {"num_key_value_heads": json.get("num_attention_heads")}
    described = read_config(json, KEYS, SETTINGS)
    for name in ("n_inner", "n_kv_head"):
        if not described[name]:  # for 0 or null, ModelConfig would choose a value
            raise AnexaError(
                f"{KEYS[name]} is {short_repr(described[name])}: it must be a number above 0"
            )
    config = ModelConfig(
        model_type="llama", rope_theta=theta, tie_word_embeddings=is_tied, **described
    )
    if json.get("head_dim") not in (None, config.head_dim):
        raise AnexaError(
            f"head_dim is {short_repr(json['head_dim'])}: only {config.head_dim} is supported, "
            "which is hidden_size / num_attention_heads"
        )
    return config


def _rope_theta(json: dict[str, Any]) -> float:
    """Read the base of the rotary positions.

    transformers 5 writes `rope_parameters`, older versions `rope_scaling` and `rope_theta`, and the
    oldest call `rope_type` `type`.

    Raises:
        AnexaError: if the positions are scaled, or rotate only a part of each head.
    """
    ropes = [json[key] for key in ("rope_parameters", "rope_scaling") if json.get(key)]
    for rope in ropes:
        plain = isinstance(rope, dict) and rope.get("rope_type", rope.get("type")) in UNSCALED
        if not plain or rope.get("partial_rotary_factor", 1) != 1:
            raise AnexaError(
                f"its rotary positions are scaled ({short_repr(rope)}): only unscaled ones are "
                "supported"
            )
    if json.get("partial_rotary_factor", 1) != 1:
        raise AnexaError("its rotary positions rotate only a part of each head: not supported")
    thetas = [rope["rope_theta"] for rope in ropes if "rope_theta" in rope]
    theta = thetas[0] if thetas else json.get("rope_theta", 10_000.0)
    if any(other != theta for other in thetas):
        raise AnexaError(
            f"rope_theta is given as {short_repr(theta)} and as {short_repr(thetas[-1])}"
        )
    if not is_number(theta) or theta <= 0:
        raise AnexaError(f"rope_theta is {short_repr(theta)}: it must be a number above 0")
    return float(theta)


def validate(config: ModelConfig) -> None:
    """Refuse heads that rotary positions cannot rotate.

    Raises:
        AnexaError: if the width of a head is odd.
    """
    if config.head_dim % 2:
        raise AnexaError(
            f"rotary positions need heads of an even width, and {config.n_embd} / {config.n_head} "
            f"is {config.head_dim}"
        )


def _gguf_metadata(config: ModelConfig) -> dict[str, int | float]:
    return {
        "attention.head_count_kv": config.n_kv_head,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": config.rope_theta,
    }


LLAMA = Architecture(
    parameters,
    forward,
    to_json,
    from_json,
    embedding="model.embed_tokens.weight",
    validate=validate,
    example={"n_kv_head": 1, "n_inner": 12, "tie_word_embeddings": False},
    prefix="model.",
    buffers=re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"),
    gguf=GGUFLayout(
        "llama",
        _gguf_metadata,
        rotary=lambda config: {"q_proj": config.n_head, "k_proj": config.n_kv_head},
    ),
)

"""GPT-NeoX (Black et al., 2022), as transformers' GPTNeoXForCausalLM; also the Pythia models.

LayerNorm before each half of a block, exact GELU, biases, rotary positions on a part of each head.
Attention and MLP of a block both read the residual stream before the block (parallel residual),
unless the configuration says that the MLP reads it after attention. The rows of `query_key_value`
are grouped by heads: those of the query, of the key and of the value of the first head come first.
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
    add_adapter,
    is_number,
    read_config,
    write_config,
)
from anexa.model.architectures.rope import read_number
from anexa.model.config import MAX_SIZE, ModelConfig
from anexa.model.operations import Operations, Tensor
from anexa.model.rotary import rotary_frequencies

HEAD = "embed_out.weight"  # output head, if it is not the embedding table


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: matrices are (out, in) and initialized from N(0, 0.02²).

    Output projections are initialized smaller, as in GPT-2.
    """
    width, inner, residual_std = config.n_embd, config.n_inner, 0.02 / (2 * config.n_layer) ** 0.5
    embedding = Parameter((config.vocab_size, width), 0.02)
    norm = {"weight": Parameter((width,), mean=1.0), "bias": Parameter((width,))}

    def linear(n_out: int, n_in: int, std: float = 0.02) -> dict[str, Parameter]:
        return {"weight": Parameter((n_out, n_in), std, num_fused=1), "bias": Parameter((n_out,))}

    block = {
        "input_layernorm": norm,
        "attention.query_key_value": linear(3 * width, width),
        "attention.dense": linear(width, width, residual_std),
        "post_attention_layernorm": norm,
        "mlp.dense_h_to_4h": linear(inner, width),
        "mlp.dense_4h_to_h": linear(width, inner, residual_std),
    }
    all_parameters = {"gpt_neox.embed_in.weight": embedding}
    for layer in range(config.n_layer):
        for module, weights in block.items():
            for name, parameter in weights.items():
                all_parameters[f"gpt_neox.layers.{layer}.{module}.{name}"] = parameter
    all_parameters |= {f"gpt_neox.final_layer_norm.{name}": p for name, p in norm.items()}
    return all_parameters if config.tie_word_embeddings else all_parameters | {HEAD: embedding}


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    positions: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V); arguments as in `Forward`."""
    frequencies = rotary_frequencies(config.rotary_dim, config.rope_theta)

    def norm(x_TC: Tensor, name: str) -> Tensor:
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return ops.layer_norm(x_TC, gain, bias, config.norm_eps)

    def linear(x_TC: Tensor, name: str) -> Tensor:
        y_TO = ops.linear(x_TC, weights[f"{name}.weight"], weights[f"{name}.bias"])
        return add_adapter(ops, weights, name, x_TC, y_TO)

    def rotary(x_TC: Tensor) -> Tensor:
        return ops.rotary(x_TC, config.head_dim, positions, frequencies)

    x_TC = ops.dropout(ops.embedding(weights["gpt_neox.embed_in.weight"], tokens_T))
    for layer in range(config.n_layer):
        block, before_TC = f"gpt_neox.layers.{layer}", x_TC
        h_TC = linear(norm(x_TC, f"{block}.input_layernorm"), f"{block}.attention.query_key_value")
        q_TC, k_TC, v_TC = ops.split(h_TC, 3, config.n_head)
        layer_cache = kv_cache[layer] if kv_cache else None
        h_TC = ops.attention(rotary(q_TC), rotary(k_TC), v_TC, config.n_head, layer_cache)
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.attention.dense")))
        read_TC = before_TC if config.use_parallel_residual else x_TC
        h_TC = norm(read_TC, f"{block}.post_attention_layernorm")
        h_TC = ops.gelu_erf(linear(h_TC, f"{block}.mlp.dense_h_to_4h"))
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.mlp.dense_4h_to_h")))
    head = "gpt_neox.embed_in.weight" if config.tie_word_embeddings else HEAD
    return ops.linear(norm(x_TC, "gpt_neox.final_layer_norm"), weights[head])


# Keys of GPTNeoXConfig by attributes of ModelConfig.
KEYS = {
    "vocab_size": "vocab_size",
    "block_size": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "norm_eps": "layer_norm_eps",
    "n_inner": "intermediate_size",
    "use_parallel_residual": "use_parallel_residual",
    "tie_word_embeddings": "tie_word_embeddings",
}

# transformers' defaults for keys that a file leaves out.
DEFAULTS = {
    "max_position_embeddings": 2048,
    "layer_norm_eps": 1e-5,
    "use_parallel_residual": True,
    "tie_word_embeddings": False,
}

# Settings of GPTNeoXConfig that change the function, with the one value that this code computes.
SETTINGS = {"hidden_act": "gelu", "attention_bias": True}

UNSCALED_ROPE_TYPES = ("default", None)  # values of rope_type if positions are not scaled

# Keys of transformers 4, which the Pythia models have, by attributes of ModelConfig.
OLD_ROPE_KEYS = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `config.json`, with the keys of transformers' GPTNeoXConfig."""
    rope = {name: getattr(config, name) for name in OLD_ROPE_KEYS}
    return write_config(config, "GPTNeoXForCausalLM", KEYS, SETTINGS) | {
        "rope_parameters": {"rope_type": "default", **rope},
        **{OLD_ROPE_KEYS[name]: value for name, value in rope.items()},
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    }


def from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the configuration in a `config.json`.

    Raises:
        AnexaError: if a key is missing, or has a value that this architecture does not support.
    """
    described = read_config(DEFAULTS | json, KEYS, SETTINGS)
    for name in ("use_parallel_residual", "tie_word_embeddings"):
        if not isinstance(described[name], bool):
            raise AnexaError(f"{name} is {short_repr(described[name])}: it must be true or false")
    if not described["n_inner"]:  # for 0 or null, ModelConfig would choose a value
        inner = short_repr(described["n_inner"])
        raise AnexaError(f"intermediate_size is {inner}: it must be a number above 0")
    return ModelConfig(model_type="gpt_neox", **described, **_rope(json))


def _rope(json: dict[str, Any]) -> dict[str, Any]:
    """Read the base of the rotary positions, and the fraction of a head that is rotated.

    transformers 5 writes `rope_parameters`, older versions `rotary_emb_base`, `rotary_pct` and
    perhaps `rope_scaling`.

    Raises:
        AnexaError: if the positions are scaled, described in two ways or by layer, or a value is
            not a number, or too small.
    """
    found = {"rope_theta": 10_000.0, "partial_rotary_factor": 0.25}
    found |= {name: json[key] for name, key in OLD_ROPE_KEYS.items() if key in json}
    ropes = [json[key] for key in ("rope_scaling", "rope_parameters") if json.get(key)]
    for rope in ropes:
        rope_type = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else rope
        if not isinstance(rope, dict) or rope_type not in UNSCALED_ROPE_TYPES:
            raise AnexaError(
                f"its rotary positions are scaled ({short_repr(rope)}): only unscaled ones are "
                "supported"
            )
        if any(isinstance(value, dict) for value in rope.values()):
            raise AnexaError(
                f"its layers have rotary positions of their own ({short_repr(rope)}): not supported"
            )
        found |= {name: rope[name] for name in OLD_ROPE_KEYS if name in rope}
    if ropes[1:] and ropes[0] != ropes[1]:
        raise AnexaError(
            "its rope_parameters and rope_scaling describe different rotary positions: "
            "remove one of them"
        )
    part = found["partial_rotary_factor"]
    if not is_number(part) or not 0 < part < MAX_SIZE:
        raise AnexaError(f"partial_rotary_factor is {short_repr(part)}: it must be from 0 to 1")
    theta = read_number("rope_theta", found["rope_theta"])
    return {"rope_theta": theta, "partial_rotary_factor": float(part)}


def validate(config: ModelConfig) -> None:
    """Check that rotary positions can rotate the chosen fraction of each head.

    Raises:
        AnexaError: if the number of rotated columns of a head, `rotary_dim`, is 0, odd, or larger
            than its width.
    """
    if config.rotary_dim % 2 or not 0 < config.rotary_dim <= config.head_dim:
        raise AnexaError(
            f"rotary positions rotate pairs of columns of a head: {config.rotary_dim} of "
            f"{config.head_dim} columns (n_embd / n_head x partial_rotary_factor) is not possible"
        )


def _gguf_metadata(config: ModelConfig) -> dict[str, int | float | str]:
    return {
        "attention.layer_norm_epsilon": config.norm_eps,
        "rope.dimension_count": config.rotary_dim,
        "rope.freq_base": config.rope_theta,
        "use_parallel_residual": config.use_parallel_residual,
    }


GPT_NEOX = Architecture(
    parameters,
    forward,
    to_json,
    from_json,
    embedding="gpt_neox.embed_in.weight",
    untied_head=HEAD,
    fixed={"n_kv_head": 0, "head_dim": 0},
    validate=validate,
    example={"partial_rotary_factor": 0.5, "tie_word_embeddings": False},
    prefix="gpt_neox.",
    buffers=re.compile(r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"),
    gguf=GGUFLayout("gptneox", _gguf_metadata, fused=("query_key_value",), copies_head=True),
)

"""GPT-2 (Radford et al., 2019), with the same weights and logits as transformers' GPT2LMHeadModel.

LayerNorm before each half of a block, GELU in its tanh form, biases, learned positions, and a
tied output head. Weights have the names of the files on the Hub. transformers writes them with the
prefix `transformer.`, which mlx-lm does not read.
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
    read_config,
    write_config,
)
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: matrices are initialized from N(0, 0.02²).

    The 2 x n_layer output projections of attention and MLP each add their variance to the residual
    stream, so they are initialized with a variance that is divided by 2 x n_layer (section 2.3 of
    the paper). Inside the blocks matrices have the shape (in, out), as in Hugging Face's Conv1D,
    and `forward` transposes them. `c_attn` is the projections to queries, keys and values side by
    side.
    """
    width, residual_std = config.n_embd, 0.02 / (2 * config.n_layer) ** 0.5

    def norm(name: str) -> dict[str, Parameter]:
        return {
            f"{name}.weight": Parameter((width,), mean=1.0),
            f"{name}.bias": Parameter((width,)),
        }

    def conv1d(
        name: str, n_in: int, n_out: int, std: float, num_fused: int = 1
    ) -> dict[str, Parameter]:
        return {
            f"{name}.weight": Parameter((n_in, n_out), std, num_fused=num_fused),
            f"{name}.bias": Parameter((n_out,)),
        }

    all_parameters = {
        "wte.weight": Parameter((config.vocab_size, width), 0.02),
        "wpe.weight": Parameter((config.block_size, width), 0.02),
    }
    for layer in range(config.n_layer):
        block = f"h.{layer}"
        all_parameters |= norm(f"{block}.ln_1")
        all_parameters |= conv1d(f"{block}.attn.c_attn", width, 3 * width, 0.02, num_fused=3)
        all_parameters |= conv1d(f"{block}.attn.c_proj", width, width, residual_std)
        all_parameters |= norm(f"{block}.ln_2")
        all_parameters |= conv1d(f"{block}.mlp.c_fc", width, 4 * width, 0.02)
        all_parameters |= conv1d(f"{block}.mlp.c_proj", 4 * width, width, residual_std)
    return all_parameters | norm("ln_f")


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    positions: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V); arguments as in `Forward`."""

    def norm(x_TC: Tensor, name: str) -> Tensor:
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return ops.layer_norm(x_TC, gain, bias, config.norm_eps)

    def conv1d(x_TC: Tensor, name: str) -> Tensor:
        weight_OC, bias_O = ops.transpose(weights[f"{name}.weight"]), weights[f"{name}.bias"]
        return add_adapter(ops, weights, name, x_TC, ops.linear(x_TC, weight_OC, bias_O))

    wte_VC, wpe_SC = weights["wte.weight"], weights["wpe.weight"]
    x_TC = ops.dropout(ops.positions(ops.embedding(wte_VC, tokens_T), wpe_SC, positions))
    for layer in range(config.n_layer):
        block = f"h.{layer}"
        h_TC = norm(x_TC, f"{block}.ln_1")
        q_TC, k_TC, v_TC = ops.split(conv1d(h_TC, f"{block}.attn.c_attn"), 3)
        h_TC = ops.attention(q_TC, k_TC, v_TC, config.n_head, kv_cache[layer] if kv_cache else None)
        x_TC = ops.add(x_TC, ops.dropout(conv1d(h_TC, f"{block}.attn.c_proj")))
        h_TC = norm(x_TC, f"{block}.ln_2")
        h_TC = conv1d(ops.gelu(conv1d(h_TC, f"{block}.mlp.c_fc")), f"{block}.mlp.c_proj")
        x_TC = ops.add(x_TC, ops.dropout(h_TC))
    return ops.linear(norm(x_TC, "ln_f"), wte_VC)


# Keys of GPT2Config by attributes of ModelConfig.
KEYS = {
    "vocab_size": "vocab_size",
    "block_size": "n_positions",
    "n_embd": "n_embd",
    "n_head": "n_head",
    "n_layer": "n_layer",
    "norm_eps": "layer_norm_epsilon",
}

# transformers' defaults for keys that a file leaves out.
DEFAULTS = {"n_positions": 1024, "layer_norm_epsilon": 1e-5}
GELU_NAMES = ("gelu_new", "gelu_pytorch_tanh")  # two names of the same function

# Settings of GPT2Config that change the function, with the one value that this code computes.
SETTINGS = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `config.json`, with the keys of transformers' GPT2Config."""
    return write_config(config, "GPT2LMHeadModel", KEYS, SETTINGS) | {
        "n_ctx": config.block_size,  # `n_positions` for mlx-lm and llama.cpp's converter
        "n_inner": None,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the configuration in a `config.json`.

    Raises:
        AnexaError: if a key is missing, or has a value that this architecture does not support.
    """
    json = DEFAULTS | json
    if json.get("activation_function") in GELU_NAMES:
        json = json | {"activation_function": GELU_NAMES[0]}
    config = ModelConfig(model_type="gpt2", **read_config(json, KEYS, SETTINGS))
    if json.get("n_inner") not in (None, 4 * config.n_embd):
        raise AnexaError(f"n_inner is {short_repr(json['n_inner'])}: only 4 x n_embd is supported")
    return config


GPT2 = Architecture(
    parameters,
    forward,
    to_json,
    from_json,
    embedding="wte.weight",
    positions="wpe.weight",
    fixed={"n_kv_head": 0, "n_inner": 0, "head_dim": 0, "tie_word_embeddings": True},
    prefix="transformer.",
    buffers=re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
    gguf=GGUFLayout(
        "gpt2",
        lambda config: {"attention.layer_norm_epsilon": config.norm_eps},
        transposed=("c_attn", "c_proj", "c_fc"),
    ),
)

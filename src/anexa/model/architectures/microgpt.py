"""The architecture of `microgpt.py`: the smallest GPT.

RMSNorm without gains, also right after the embeddings; ReLU; no biases; learned positions; an
untied output head. The weights have the names that they have in `microgpt.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anexa.model.architectures import gpt2
from anexa.model.architectures.base import (
    Architecture,
    Parameter,
    add_adapter,
    read_config,
    write_config,
)
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: matrices are (out, in), and initialized from N(0, 0.08²)."""
    width, vocab = config.n_embd, config.vocab_size

    def matrix(n_out: int, n_in: int) -> Parameter:
        return Parameter((n_out, n_in), std=0.08, num_fused=1)

    all_parameters = {
        "wte.weight": Parameter((vocab, width), std=0.08),
        "wpe.weight": Parameter((config.block_size, width), std=0.08),
        "lm_head.weight": Parameter((vocab, width), std=0.08),
    }
    for layer in range(config.n_layer):
        for name in ("attn_wq", "attn_wk", "attn_wv", "attn_wo"):
            all_parameters[f"layers.{layer}.{name}.weight"] = matrix(width, width)
        all_parameters[f"layers.{layer}.mlp_fc1.weight"] = matrix(4 * width, width)
        all_parameters[f"layers.{layer}.mlp_fc2.weight"] = matrix(width, 4 * width)
    return all_parameters


def forward(
    ops: Operations[Tensor],
    config: ModelConfig,
    weights: dict[str, Tensor],
    tokens_T: Any,
    positions: Any = 0,
    kv_cache: Sequence[Any] | None = None,
) -> Tensor:
    """Compute the logits of the token after each token, shape (T, V); arguments as in `Forward`."""

    def linear(x_TC: Tensor, name: str) -> Tensor:
        return add_adapter(ops, weights, name, x_TC, ops.linear(x_TC, weights[f"{name}.weight"]))

    x_TC = ops.positions(
        ops.embedding(weights["wte.weight"], tokens_T), weights["wpe.weight"], positions
    )
    x_TC = ops.rms_norm(ops.dropout(x_TC), None, config.norm_eps)
    for layer in range(config.n_layer):
        block = f"layers.{layer}"
        h_TC = ops.rms_norm(x_TC, None, config.norm_eps)
        q_TC = linear(h_TC, f"{block}.attn_wq")
        k_TC = linear(h_TC, f"{block}.attn_wk")
        v_TC = linear(h_TC, f"{block}.attn_wv")
        h_TC = ops.attention(q_TC, k_TC, v_TC, config.n_head, kv_cache[layer] if kv_cache else None)
        x_TC = ops.add(x_TC, ops.dropout(linear(h_TC, f"{block}.attn_wo")))
        h_TC = ops.rms_norm(x_TC, None, config.norm_eps)
        h_TC = linear(ops.relu(linear(h_TC, f"{block}.mlp_fc1")), f"{block}.mlp_fc2")
        x_TC = ops.add(x_TC, ops.dropout(h_TC))
    return ops.linear(x_TC, weights["lm_head.weight"])


MODULE = "modeling_microgpt"  # module with the code for transformers

# Keys of `config.json` by attributes of ModelConfig.
KEYS = gpt2.KEYS | {"norm_eps": "rms_norm_epsilon"}
# Other keys, with the one supported value.
SETTINGS = {"tie_word_embeddings": False}


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `config.json`: GPT-2's keys, and where transformers finds `MODULE`."""
    auto_map = {  # where transformers finds its code
        "AutoConfig": f"{MODULE}.MicroGPTConfig",
        "AutoModelForCausalLM": f"{MODULE}.MicroGPTForCausalLM",
    }
    fields = write_config(config, "MicroGPTForCausalLM", KEYS, SETTINGS)
    return fields | {"auto_map": auto_map}


def from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the configuration in a `config.json`.

    Raises:
        AnexaError: if a key is missing, a value is not valid, or the head is tied.
    """
    return ModelConfig(model_type="microgpt", **read_config(json, KEYS, SETTINGS))


MICROGPT = Architecture(
    parameters,
    forward,
    to_json,
    from_json,
    embedding="wte.weight",
    positions="wpe.weight",
    fixed={"n_kv_head": 0, "n_inner": 0, "head_dim": 0, "tie_word_embeddings": False},
    module=MODULE,
)

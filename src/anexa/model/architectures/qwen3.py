"""Qwen3 (Yang et al., 2025), with the same weights and logits as transformers' Qwen3ForCausalLM.

Llama with RMSNorm of each head of the queries and keys.
"""

from __future__ import annotations

from dataclasses import replace

from anexa.model.architectures.base import GGUFLayout, Parameter
from anexa.model.architectures.llama import LLAMA, all_parameters, block_parameters, gguf_metadata
from anexa.model.architectures.llama_config import ConfigFormat
from anexa.model.architectures.qwen2 import DEFAULTS, WINDOW, check_gguf
from anexa.model.config import ModelConfig


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: those of Llama, and gains for the norms of queries and keys."""
    block = block_parameters(config)
    for name in ("q", "k"):
        block[f"self_attn.{name}_norm.weight"] = Parameter((config.head_dim,), mean=1.0)
    return all_parameters(config, block)


FORMAT = ConfigFormat(
    "qwen3",
    "Qwen3ForCausalLM",
    defaults={**DEFAULTS, "head_dim": 128},
    biases=("attention_bias",),
    window=WINDOW,
)

QWEN3 = replace(
    LLAMA,
    parameters=parameters,
    to_json=FORMAT.to_json,
    from_json=FORMAT.from_json,
    fixed={"mlp_bias": False},
    example={"n_kv_head": 1, "n_inner": 12, "head_dim": 6, "attention_bias": True},
    gguf=GGUFLayout("qwen3", gguf_metadata, check=check_gguf),
)

"""Qwen2 and Qwen2.5 (Yang et al., 2024), with the weights and logits of Qwen2ForCausalLM.

Llama with biases of the projections to queries, keys and values.
"""

from __future__ import annotations

from dataclasses import replace

from anexa.errors import AnexaError
from anexa.model.architectures.base import GGUFLayout, Parameter
from anexa.model.architectures.llama import LLAMA, all_parameters, block_parameters, gguf_metadata
from anexa.model.architectures.llama_config import ConfigFormat
from anexa.model.config import ModelConfig
from anexa.model.rotary import Llama3Scaling


def parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Return all weights by name: those of Llama, and biases of queries, keys and values."""
    block = block_parameters(config)
    for name in ("q", "k", "v"):
        n_out, _ = block[f"self_attn.{name}_proj.weight"].shape
        block[f"self_attn.{name}_proj.bias"] = Parameter((n_out,))
    return all_parameters(config, block)


# transformers' defaults for keys that a file leaves out.
DEFAULTS = {
    "max_position_embeddings": 32_768,
    "rms_norm_eps": 1e-6,
    "num_key_value_heads": 32,
    "sliding_window": 4096,
}
# Keys of the sliding window, with the values that mean no window.
WINDOW = {"use_sliding_window": False, "sliding_window": None}


def check_gguf(config: ModelConfig) -> None:
    """Check that a model has no option that llama.cpp computes for Llama, but not for Qwen.

    Raises:
        AnexaError: if positions are scaled as in Llama 3.1, `attention_bias` is true, or, in qwen2,
            `head_dim` is not n_embd / n_head.
    """
    if isinstance(config.rope_scaling, Llama3Scaling):
        raise AnexaError(f"llama.cpp does not scale positions of {config.model_type} by llama3")
    if config.attention_bias:
        raise AnexaError(f"llama.cpp does not compute {config.model_type} with attention_bias")
    if config.model_type == "qwen2" and config.n_head * config.head_dim != config.n_embd:
        raise AnexaError("llama.cpp does not compute qwen2 with a head_dim of its own")


FORMAT = ConfigFormat("qwen2", "Qwen2ForCausalLM", DEFAULTS, window=WINDOW)

QWEN2 = replace(
    LLAMA,
    parameters=parameters,
    to_json=FORMAT.to_json,
    from_json=FORMAT.from_json,
    fixed={"attention_bias": False, "mlp_bias": False},
    example={"n_kv_head": 1, "n_inner": 12, "rope_theta": 100.0},
    gguf=GGUFLayout("qwen2", gguf_metadata, check=check_gguf),
)

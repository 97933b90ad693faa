"""Mistral (Jiang et al., 2023), with the weights and logits of transformers' MistralForCausalLM.

Llama without biases. A sliding window of attention is supported if the context never reaches it.
"""

from __future__ import annotations

from dataclasses import replace

from anexa.model.architectures.llama import LLAMA
from anexa.model.architectures.llama_config import ConfigFormat

FORMAT = ConfigFormat(
    "mistral",
    "MistralForCausalLM",
    defaults={
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
    window={"sliding_window": None},
)

MISTRAL = replace(
    LLAMA,
    to_json=FORMAT.to_json,
    from_json=FORMAT.from_json,
    fixed={"attention_bias": False, "mlp_bias": False},
    example={"n_kv_head": 1, "n_inner": 12, "head_dim": 6, "tie_word_embeddings": False},
)

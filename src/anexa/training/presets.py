"""Presets: options that are known to train well, where they differ from the defaults.

The sweeps behind these numbers are in docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

DEFAULT = "anexa"  # whose options are the defaults of `TrainConfig`

# The model of microgpt.py: 4,192 parameters on 26 letters. The numbers are the original's: one
# document a step, Adam, and a learning rate that only falls.
_MICROGPT = {
    "model_type": "microgpt",
    "n_layer": 1,
    "n_embd": 16,
    "block_size": 16,
    "steps": 1000,
    "batch_size": 1,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "beta1": 0.85,
    "warmup": 0.0,
    "grad_clip": 0.0,
}
# Llama with about 0.8 million parameters. The inner width is 8/3 of the outer, as Llama's own: an
# MLP of three matrices, not two.
_LLAMA = {"model_type": "llama", "n_inner": 344}
# The same with room for thoughts before an answer.
_THINK = _LLAMA | {
    "block_size": 512,
    "schedule": "wsd",
    "steps": 16_000,
    "beta2": 0.95,
    "warmup": 0.01,
    "evaluations": 20,
}
# For the larger ones there was no machine to sweep on: the batch and, for AdamW, the rates are
# nanoGPT's and GPT-3's for such sizes; for Muon they are those of the small models.
_LARGE = {"batch_size": 64, "weight_decay": 0.1}
# GPT-2 with about 10 million parameters: a GPU's minutes, a laptop's night.
_GPT2_10M = _LARGE | {
    "n_layer": 6,
    "n_head": 6,
    "n_embd": 384,
    "block_size": 256,
    "steps": 5000,
    "learning_rate": 4e-3,
    "dropout": 0.2,
}
# GPT-2 with about 30 million parameters and a subword vocabulary.
_GPT2_30M = _LARGE | {
    "n_layer": 8,
    "n_head": 8,
    "n_embd": 512,
    "block_size": 512,
    "tokenizer": "bpe:8192",
    "steps": 10_000,
    "learning_rate": 3e-3,
}
# GPT-2 small, as published: 124 million parameters with 50,257 tokens.
_GPT2_124M = _LARGE | {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "block_size": 1024,
    "tokenizer": "bpe:50257",
    "steps": 20_000,
    "batch_size": 480,
    "learning_rate": 2e-3,
    "beta2": 0.95,
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "microgpt": _MICROGPT,
        "anexa": {},  # GPT-2 with about 0.8 million parameters
        "anexa-llama": _LLAMA,
        "anexa-think": _THINK,
        "gpt2-10m": _GPT2_10M,
        "gpt2-30m": _GPT2_30M,
        "gpt2-124m": _GPT2_124M,
    }
)
# The options that have other values where AdamW takes Muon's place.
ADAMW: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "anexa": {"learning_rate": 4e-3, "warmup": 0.15},
        "anexa-llama": {"learning_rate": 4e-3, "warmup": 0.15},
        "anexa-think": {"learning_rate": 4e-3},
        "gpt2-10m": {"learning_rate": 1e-3, "warmup": 0.15},
        "gpt2-30m": {"learning_rate": 8e-4, "warmup": 0.15},
        "gpt2-124m": {"learning_rate": 6e-4, "warmup": 0.15},
    }
)


def usual_preset(corpus: str | None) -> str:
    """Return the name of the preset that a corpus is trained with by default."""
    return "anexa-think" if corpus == "arithmetic" else DEFAULT

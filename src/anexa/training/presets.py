"""Configurations that are known to train well, by name.

The sweeps behind these numbers are in docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from anexa.errors import UsageError
from anexa.training.config import TrainConfig

DEFAULT = "anexa"

# GPT-2 with about 0.8 million parameters.
_ANEXA = TrainConfig()

# The model of microgpt.py: 4,192 parameters on 26 letters. The numbers are the original's: one
# document a step, Adam, and a learning rate that only falls.
_MICROGPT = _ANEXA.replace(
    model_type="microgpt",
    n_layer=1,
    n_embd=16,
    block_size=16,
    steps=1000,
    batch_size=1,
    optimizer="adamw",
    learning_rate=0.01,
    beta1=0.85,
    warmup=0.0,
    grad_clip=0.0,
)

# Llama with about 0.8 million parameters. The inner width is 8/3 of the outer, as Llama's own: an
# MLP of three matrices, not two.
_LLAMA = _ANEXA.replace(model_type="llama", n_inner=344)

# The same with room for thoughts before an answer.
_THINK = _LLAMA.replace(
    block_size=512, schedule="wsd", steps=16_000, beta2=0.95, warmup=0.01, evaluations=20
)

# For the larger ones there was no machine to sweep on: the batch and, for AdamW, the rates are
# nanoGPT's and GPT-3's for such sizes; for Muon they are those of the small models.

# GPT-2 with about 10 million parameters: a GPU's minutes, a laptop's night.
_GPT2_10M = _ANEXA.replace(
    n_layer=6,
    n_head=6,
    n_embd=384,
    block_size=256,
    steps=5000,
    batch_size=64,
    learning_rate=4e-3,
    weight_decay=0.1,
    dropout=0.2,
)

# GPT-2 with about 30 million parameters and a subword vocabulary.
_GPT2_30M = _GPT2_10M.replace(
    n_layer=8,
    n_head=8,
    n_embd=512,
    block_size=512,
    tokenizer="bpe:8192",
    steps=10_000,
    learning_rate=3e-3,
    dropout=0.0,
)

# GPT-2 small, as published: 124 million parameters with 50,257 tokens.
_GPT2_124M = _GPT2_30M.replace(
    n_layer=12,
    n_head=12,
    n_embd=768,
    block_size=1024,
    tokenizer="bpe:50257",
    steps=20_000,
    batch_size=480,
    learning_rate=2e-3,
    beta2=0.95,
)

PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        name: replace(config, preset=name)
        for name, config in {
            "microgpt": _MICROGPT,
            "anexa": _ANEXA,
            "anexa-llama": _LLAMA,
            "anexa-think": _THINK,
            "gpt2-10m": _GPT2_10M,
            "gpt2-30m": _GPT2_30M,
            "gpt2-124m": _GPT2_124M,
        }.items()
    }
)

# What AdamW alone wants otherwise than Muon: the highest learning rate and the warmup.
_ADAMW: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "microgpt": (0.01, 0.0),
        "anexa": (4e-3, 0.15),
        "anexa-llama": (4e-3, 0.15),
        "anexa-think": (4e-3, 0.01),
        "gpt2-10m": (1e-3, 0.15),
        "gpt2-30m": (8e-4, 0.15),
        "gpt2-124m": (6e-4, 0.15),
    }
)


def usual_preset(corpus: str | None) -> str:
    """Return the name of the preset that a corpus is trained with by default."""
    return "anexa-think" if corpus == "arithmetic" else DEFAULT


def preset(name: str, optimizer: str | None = None) -> TrainConfig:
    """Return the configuration of that name.

    Args:
        name: a key of `PRESETS`.
        optimizer: optimizer to use instead of the preset's own, with the learning rate and the
            warmup that suit it.

    Raises:
        UsageError: if there is no such preset or optimizer.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    config = PRESETS[name]
    if optimizer is None or optimizer == config.optimizer.name:
        return config
    config = config.replace(optimizer=optimizer)
    if optimizer == "adamw":
        learning_rate, warmup = _ADAMW[name]
        config = config.replace(learning_rate=learning_rate, warmup=warmup)
    return config

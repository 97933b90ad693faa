"""Models that are known to train well, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anexa.errors import UsageError
from anexa.model.config import ModelConfig


@dataclass(frozen=True)
class Preset:
    """A model, everything but its vocabulary, and how to train it.

    Attributes:
        summary: one line for the user.
        sizes: of its `ModelConfig`.
        training: what it wants otherwise than `DEFAULTS`, by the names of `TrainConfig`.
    """

    summary: str
    sizes: Mapping[str, Any]
    training: Mapping[str, Any]

    def config(self, vocab_size: int, **sizes: int) -> ModelConfig:
        """The configuration, once the vocabulary is known; `sizes` go before the preset's."""
        return ModelConfig(vocab_size=vocab_size, **{**self.sizes, **sizes})


# The sweeps behind these numbers are in docs/experiments.md.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "corpus": "python-docs",
        "layout": "auto",
        "tokenizer": "char",
        "preset": "anexa",
        "n_layer": None,
        "n_head": None,
        "n_embd": None,
        "block_size": None,
        "device": "auto",
        "dtype": "auto",
        "compile": None,
        "micro_batch": 0,
        "shard": False,
        "steps": 2000,
        "epochs": None,
        "minutes": None,
        "until_loss": None,
        "batch_size": 8,
        "optimizer": "muon",
        "learning_rate": {"muon": 8e-3, "adamw": 4e-3},
        "betas": (0.9, 0.99),
        "schedule": "linear",
        "warmup": {"muon": 0.05, "adamw": 0.15},
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "dropout": 0.0,
        "evaluations": 10,
        "seed": 42,
    }
)


def _sizes(model_type: str, n_layer: int, n_head: int, n_embd: int, block_size: int) -> Any:
    return MappingProxyType(
        {
            "model_type": model_type,
            "n_layer": n_layer,
            "n_head": n_head,
            "n_embd": n_embd,
            "block_size": block_size,
        }
    )


# For the larger ones there was no machine to sweep on: the batch and, for AdamW, the rates are
# nanoGPT's and GPT-3's for such sizes; for Muon they are those of the small models.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # The original's numbers: one document a step, Adam, and a rate that only falls.
        "microgpt": Preset(
            "the model of microgpt.py: 4,192 parameters on 26 letters",
            _sizes("microgpt", n_layer=1, n_head=4, n_embd=16, block_size=16),
            {
                "steps": 1000,
                "batch_size": 1,
                "optimizer": "adamw",
                "learning_rate": {"adamw": 0.01, "muon": 0.01},
                "betas": (0.85, 0.99),
                "warmup": 0.0,
                "max_grad_norm": 0.0,
            },
        ),
        "anexa": Preset(
            "GPT-2 with about 0.8 million parameters",
            _sizes("gpt2", n_layer=4, n_head=4, n_embd=128, block_size=128),
            {},
        ),
        "anexa-llama": Preset(
            "Llama with about 0.8 million parameters",
            # The inner width is 8/3 of the outer, as Llama's own: three matrices, not two.
            {**_sizes("llama", n_layer=4, n_head=4, n_embd=128, block_size=128), "n_inner": 344},
            {},
        ),
        "anexa-think": Preset(
            "Llama with about 0.8 million parameters that thinks before it answers",
            {**_sizes("llama", n_layer=4, n_head=4, n_embd=128, block_size=512), "n_inner": 344},
            {
                "schedule": "wsd",
                "steps": 16_000,
                "betas": (0.9, 0.95),
                "warmup": 0.01,
                "evaluations": 20,
            },
        ),
        "gpt2-10m": Preset(
            "GPT-2 with about 10 million parameters: a GPU's minutes, a laptop's night",
            _sizes("gpt2", n_layer=6, n_head=6, n_embd=384, block_size=256),
            {
                "steps": 5000,
                "batch_size": 64,
                "learning_rate": {"muon": 4e-3, "adamw": 1e-3},
                "weight_decay": 0.1,
                "dropout": 0.2,
            },
        ),
        "gpt2-30m": Preset(
            "GPT-2 with about 30 million parameters and a subword vocabulary",
            _sizes("gpt2", n_layer=8, n_head=8, n_embd=512, block_size=512),
            {
                "tokenizer": "bpe:8192",
                "steps": 10_000,
                "batch_size": 64,
                "learning_rate": {"muon": 3e-3, "adamw": 8e-4},
                "weight_decay": 0.1,
            },
        ),
        "gpt2-124m": Preset(
            "GPT-2 small, as published: 124 million parameters with 50,257 symbols",
            _sizes("gpt2", n_layer=12, n_head=12, n_embd=768, block_size=1024),
            {
                "tokenizer": "bpe:50257",
                "steps": 20_000,
                "batch_size": 480,
                "learning_rate": {"muon": 2e-3, "adamw": 6e-4},
                "betas": (0.9, 0.95),
                "weight_decay": 0.1,
            },
        ),
    }
)


def usual_preset(corpus: str) -> str:
    """The preset that a corpus is trained with where nobody has asked for another."""
    return "anexa-think" if corpus == "arithmetic" else str(DEFAULTS["preset"])


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]

"""Presets of `anexa train`: options that train well, where they differ from the defaults.

Most options of the small models come from the sweeps in docs/experiments.md; comments say where
the others come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from anexa.data.conversation_format import has_conversations
from anexa.training.specs import parse_spec

DEFAULT_PRESET = "anexa"  # the preset with the defaults of `TrainConfig`
FINETUNE_PRESET = "finetune"  # the preset of runs that start from a model
# Options for the length of a run: exactly one is set.
LENGTH_OPTIONS = ("steps", "epochs", "minutes")

# The model of microgpt.py: 4,192 parameters for 26 letters. The numbers are the original's: one
# document a step, Adam, and a learning rate without warmup.
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
# Llama with about 0.8 million parameters. The width inside the MLP is 8/3 of the model's, as in
# Llama: its three matrices then have as many parameters as two of 4 times the width.
_LLAMA = {"model_type": "llama", "n_inner": 344}
# The same, with a longer context for thoughts: 13 by 13 digits take 2,500 characters. A step has as
# many tokens as two of the longest sequences: mostly dozens of shorter ones.
_THINK = _LLAMA | {
    "block_size": 2560,
    "batch_size": 2,
    "schedule": "wsd",
    "steps": 16_000,
    "beta2": 0.95,
    "warmup": 0.01,
    "evaluations": 20,
}
# A chat model of short conversations, with subword tokens: about a million parameters.
_CHAT = _LLAMA | {
    "block_size": 256,
    "tokenizer": "bpe:1024",
    "steps": 600,
    "beta2": 0.95,
}
# Larger models. Their options were not swept: the batch sizes and AdamW's learning rates follow
# nanoGPT (10 million parameters) and GPT-3 (124 million), between them for 30 million. Muon's
# learning rates fall as the model grows.
_LARGE = {"batch_size": 64, "weight_decay": 0.1}
# GPT-2 with about 10 million parameters: minutes on a GPU, a night on a laptop.
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
# A model that exists (`--from`), whose sizes are its own. The length of the run, the batch size
# and the learning rate depend on the model: `complete_base_options` sets them.
_FINETUNE = {
    "optimizer": "adamw",
    "beta2": 0.95,
    "weight_decay": 0.0,
    "warmup": 0.1,
    # An evaluation of 128 sequences of 512 tokens takes as long as about 13 steps, followed by a
    # checkpoint: of a model of GPT-2's size, 2 GB.
    "evaluations": 4,
}

# Options by name, for each preset; all other options have the defaults of `TrainConfig`.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "microgpt": _MICROGPT,
        "anexa": {},  # GPT-2 with about 0.8 million parameters
        "anexa-llama": _LLAMA,
        "anexa-think": _THINK,
        "anexa-chat": _CHAT,
        "gpt2-10m": _GPT2_10M,
        "gpt2-30m": _GPT2_30M,
        "gpt2-124m": _GPT2_124M,
        FINETUNE_PRESET: _FINETUNE,
    }
)
# Options with other values if the optimizer is AdamW, by preset.
ADAMW_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "anexa": {"learning_rate": 4e-3, "warmup": 0.15},
        "anexa-llama": {"learning_rate": 4e-3, "warmup": 0.15},
        "anexa-think": {"learning_rate": 4e-3},
        "anexa-chat": {"learning_rate": 4e-3, "warmup": 0.15},
        "gpt2-10m": {"learning_rate": 1e-3, "warmup": 0.15},
        "gpt2-30m": {"learning_rate": 8e-4, "warmup": 0.15},
        "gpt2-124m": {"learning_rate": 6e-4, "warmup": 0.15},
    }
)


# Learning rate of adapters divided by that of all weights: half of the best factor in a sweep, as a
# margin to those that make the model worse.
LORA_LEARNING_RATE_FACTOR = 5


def finetune_learning_rate(n_embd: int, lora: int = 0) -> float:
    """Return the default peak learning rate for training a model further, with any optimizer.

    It is 0.1 / `n_embd`, for adapters `LORA_LEARNING_RATE_FACTOR` times that, to one significant
    digit: a choice below the best rates of AdamW at two widths, with one seed. Like the learning
    rates of μP (Yang et al., 2022), it is inversely proportional to the width.

    Args:
        n_embd: width of the model.
        lora: rank of the adapters that are trained; 0: all weights are.
    """
    return float(f"{(LORA_LEARNING_RATE_FACTOR if lora else 1) * 0.1 / n_embd:.1g}")


def choose_preset(corpora: Sequence[str], base: str | None = None, *, as_text: bool = False) -> str:
    """Return the name of the default preset of a run.

    It is "finetune" for a run that starts from a model, "anexa-think" for the corpus "arithmetic"
    alone, "anexa-chat" if a corpus has conversations, and otherwise "anexa".

    Args:
        corpora: corpora as `SOURCE` or `SOURCE:WEIGHT`; conversations are recognized in the first
            rows of a file.
        base: path of the model to start from; None: a new model.
        as_text: whether files of conversations are read as texts, by --layout or --field.
    """
    if base is not None:
        return FINETUNE_PRESET
    sources = [parse_spec(text).source for text in corpora]
    if sources == ["arithmetic"]:
        return "anexa-think"
    is_chat = not as_text and any(map(has_conversations, sources))
    return "anexa-chat" if is_chat else DEFAULT_PRESET

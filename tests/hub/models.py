"""Small models for export, with every option that changes a file."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import pytest
from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as Backend

from anexa.model.chat_format import CHAT_TEMPLATE, CHAT_TOKENS
from anexa.model.config import ModelConfig
from anexa.model.model import Model
from anexa.model.rotary import LinearScaling, Llama3Scaling
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight
from tests.engines.helpers import random_weights
from tests.model.helpers import CORPUS

CHARACTERS = Tokenizer.from_characters([CORPUS], adds_bos=True)
MARKED = Tokenizer.from_characters([CORPUS], adds_bos=False, added_tokens=CHAT_TOKENS)
BYTES = Tokenizer.train_bpe([CORPUS] * 2, 300, adds_bos=False)


def of_others(ends: int = 2) -> Tokenizer:
    """Make a tokenizer whose BOS is not an EOS, with several EOS tokens, as Llama 3 has them."""
    backend = Backend.from_str(BYTES.to_json())
    names = ["<s>", *(f"</{number}>" for number in range(ends))]
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
    bos, *its_ends = (backend.get_vocab()[name] for name in names)
    backend.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", bos)])
    return Tokenizer(backend, bos, its_ends)


OTHERS = of_others()

# Widths of whole blocks of 32 numbers, but for llama's inner one.
LLAMA = {"model_type": "llama", "n_inner": 72}
CHOICES = [
    pytest.param({"model_type": "gpt2"}, CHARACTERS, id="gpt2"),
    pytest.param({"model_type": "gpt2", "norm_eps": 1e-3}, BYTES, id="gpt2-bytes-eps"),
    pytest.param({**LLAMA, "norm_eps": 1e-3}, MARKED, id="llama-marks-eps"),
    pytest.param(
        {**LLAMA, "n_kv_head": 1, "tie_word_embeddings": False},
        BYTES,
        id="llama-shared-untied-bytes",
    ),
    pytest.param({**LLAMA, "rope_theta": 100.0}, CHARACTERS, id="llama-theta"),
    pytest.param({**LLAMA}, OTHERS, id="llama-of-others"),
    pytest.param(
        {**LLAMA, "rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 16), "attention_bias": True},
        CHARACTERS,
        id="llama3.1-bias",
    ),
    pytest.param({**LLAMA, "rope_scaling": LinearScaling(4.0)}, BYTES, id="llama-linear"),
    pytest.param({**LLAMA, "model_type": "mistral", "head_dim": 8}, BYTES, id="mistral"),
    pytest.param({**LLAMA, "model_type": "qwen2", "n_kv_head": 1}, BYTES, id="qwen2"),
    pytest.param({**LLAMA, "model_type": "qwen3", "head_dim": 48}, BYTES, id="qwen3"),
    pytest.param(
        {"model_type": "gpt_neox", "partial_rotary_factor": 0.5, "tie_word_embeddings": False},
        BYTES,
        id="gpt_neox",
    ),
    pytest.param(
        {"model_type": "gpt_neox", "use_parallel_residual": False, "n_inner": 96},
        CHARACTERS,
        id="gpt_neox-tied-in-sequence",
    ),
]


def model(changes: dict[str, Any], tokenizer: Tokenizer, padding: int = 0) -> Model:
    """A model whose weights are all different, in float32; it knows `padding` ids too many."""
    size = tokenizer.vocab_size + padding
    config = ModelConfig("gpt2", size, block_size=48, n_embd=64, n_head=2, n_layer=2)
    config = replace(config, **{"n_kv_head": 0, "n_inner": 0, **changes})
    weights = {
        name: Weight(w.shape, array("f", w.data))
        for name, w in random_weights(config, seed=3, std=0.2).items()
    }
    template = CHAT_TEMPLATE if tokenizer is MARKED else None
    return Model(config, weights, tokenizer, template, temperature=0.5)

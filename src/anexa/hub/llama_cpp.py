"""What llama.cpp can compute, found out before anything is written for it."""

from __future__ import annotations

from anexa.errors import AnexaError
from anexa.hub.vocabulary import vocabulary
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer

ARCHITECTURES = ("gpt2", "llama")


def refusal(config: ModelConfig, tokenizer: Tokenizer) -> str | None:
    """Why a model cannot become a GGUF file; None of one that can."""
    if config.model_type not in ARCHITECTURES:
        return (
            f"llama.cpp does not compute {config.model_type} models: only "
            f"{' and '.join(ARCHITECTURES)} can become GGUF"
        )
    try:
        vocabulary(tokenizer, config.vocab_size)
    except AnexaError as error:
        return str(error)
    return None

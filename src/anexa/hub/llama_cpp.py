"""Check whether a model can become a GGUF file, before anything is written."""

from __future__ import annotations

from anexa.errors import AnexaError
from anexa.hub.vocabulary import gguf_vocabulary
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer


def check_llama_cpp(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Check that a model can become a GGUF file for llama.cpp.

    Raises:
        AnexaError: if llama.cpp lacks the architecture or an option that the model has, or Anexa
            cannot write the tokenizer for it.
    """
    layout = get_architecture(config).gguf
    if layout is None:
        known = ", ".join(name for name, architecture in ARCHITECTURES.items() if architecture.gguf)
        raise AnexaError(
            f"llama.cpp does not compute {config.model_type} models: only {known} can become GGUF"
        )
    layout.check(config)
    gguf_vocabulary(tokenizer, config.vocab_size)


def runs_in_llama_cpp(config: ModelConfig, tokenizer: Tokenizer) -> bool:
    """Return whether a model can become a GGUF file."""
    try:
        check_llama_cpp(config, tokenizer)
    except AnexaError:
        return False
    return True

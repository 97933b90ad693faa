"""The registry of architectures, and one module for each."""

from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.architectures.base import Architecture, GGUFLayout, Parameter, with_adapters
from anexa.model.architectures.gpt2 import GPT2
from anexa.model.architectures.gpt_neo import GPT_NEO
from anexa.model.architectures.gpt_neox import GPT_NEOX
from anexa.model.architectures.llama import LLAMA
from anexa.model.architectures.microgpt import MICROGPT
from anexa.model.architectures.mistral import MISTRAL
from anexa.model.architectures.qwen2 import QWEN2
from anexa.model.architectures.qwen3 import QWEN3
from anexa.model.config import SIZE_RULES, ModelConfig

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "GGUFLayout",
    "Parameter",
    "config_from_json",
    "get_architecture",
]

# Architectures by `model_type`; their parameters include LoRA adapters if `lora_rank` is above 0.
ARCHITECTURES = {
    "microgpt": MICROGPT,
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gpt_neo": GPT_NEO,
    "gpt_neox": GPT_NEOX,
}
ARCHITECTURES = {name: with_adapters(architecture) for name, architecture in ARCHITECTURES.items()}
SIZE_RULES.update(ARCHITECTURES)  # ModelConfig needs them, and cannot import this module


def get_architecture(config: ModelConfig) -> Architecture:
    """Look up the architecture of a configuration by its `model_type`."""
    return ARCHITECTURES[config.model_type]


def config_from_json(json: dict[str, Any]) -> ModelConfig:
    """Read the configuration in a `config.json`, by the architecture that it names.

    Args:
        json: content of the file.

    Returns:
        The configuration of the model.

    Raises:
        AnexaError: if `model_type` is missing or unknown, or the architecture cannot compute what
            the other keys describe.
    """
    model_type = json.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        *others, last = ARCHITECTURES
        raise AnexaError(
            f"its model_type is {short_repr(model_type)}, and only {', '.join(others)} and {last} "
            "can be opened"
        )
    if json.get("quantization_config") is not None:
        raise AnexaError("it has a quantization_config, and quantized weights cannot be opened")
    return ARCHITECTURES[model_type].from_json(json)

"""The functions a model can be, one file each: `microgpt`, `gpt2` and `llama`."""

from anexa.errors import AnexaError
from anexa.model.architectures.base import Architecture, Parameter
from anexa.model.architectures.gpt2 import GPT2
from anexa.model.architectures.llama import LLAMA
from anexa.model.architectures.microgpt import MICROGPT
from anexa.model.config import ModelConfig

__all__ = ["ARCHITECTURES", "Architecture", "Parameter", "architecture"]

ARCHITECTURES = {"microgpt": MICROGPT, "gpt2": GPT2, "llama": LLAMA}


def architecture(config: ModelConfig) -> Architecture:
    """The architecture that a configuration names.

    Raises:
        AnexaError: there is none of that name.
    """
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise AnexaError(f"the model type {config.model_type!r} is not one of {known}")
    return ARCHITECTURES[config.model_type]

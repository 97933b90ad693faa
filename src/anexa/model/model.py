"""A model in memory, and checks that its parts fit each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line, short_repr
from anexa.model.architectures import config_from_json, get_architecture
from anexa.model.architectures.base import is_number
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_config import without_generation_marks
from anexa.model.weights import Weights

DEFAULT_TEMPERATURE = 0.8  # default sampling temperature of a `Model`, also if a GGUF file has none


@dataclass(frozen=True)
class Model:
    """A model in memory: the content of a model folder.

    Attributes:
        config: architecture and sizes.
        weights: weights by name, in the architecture's order.
        tokenizer: tokenizer with its special tokens.
        chat_template: chat template (Jinja); None if it is not a chat model.
        temperature: recommended sampling temperature; 0 is greedy decoding.
        max_new_tokens: recommended limit on the tokens of an answer; None if there is none.
    """

    config: ModelConfig
    weights: Weights
    tokenizer: Tokenizer
    chat_template: str | None = None
    temperature: float = DEFAULT_TEMPERATURE
    max_new_tokens: int | None = None

    def json_files(self) -> dict[str, dict[str, Any]]:
        """Return the contents of the JSON files of a model folder by name, but `tokenizer.json`."""
        sampling: dict[str, Any] = {"do_sample": self.temperature > 0}
        if self.temperature:  # transformers warns of a temperature without sampling
            # Without `top_k`, transformers samples from the 50 likeliest tokens.
            sampling |= {"temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        if self.max_new_tokens is not None:
            sampling["max_new_tokens"] = self.max_new_tokens
        eos = self.tokenizer.eos_token_ids
        special_tokens = {
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": [*eos] if len(eos) > 1 else eos[0] if eos else None,
        }
        # Not in config.json: Llama in transformers would not train the embedding of that token.
        padding = {"pad_token_id": self.tokenizer.pad_token_id}
        chat = {}
        if self.chat_template is not None:  # for programs that do not read its own file
            chat["chat_template"] = without_generation_marks(self.chat_template)
        return {
            "config.json": get_architecture(self.config).to_json(self.config) | special_tokens,
            "tokenizer_config.json": self.tokenizer.to_config(self.config.block_size) | chat,
            "generation_config.json": special_tokens | padding | sampling,
        }


def parse_config(json: dict[str, Any], path: Path) -> ModelConfig:
    """Read the model configuration in the content of a `config.json`.

    Args:
        json: content of the file.
        path: path of the file, for error messages.

    Raises:
        AnexaError: if Anexa cannot compute the model that it describes.
    """
    try:
        return config_from_json(json)
    except AnexaError as error:
        raise AnexaError(f"{path} cannot be used: {error}") from error


def parse_generation_config(json: dict[str, Any], path: Path) -> tuple[float, int | None]:
    """Read temperature and `max_new_tokens` in a `generation_config.json`.

    As in transformers, without `do_sample` decoding is greedy, and a missing temperature is 1.

    Args:
        json: content of the file, empty if there is none.
        path: path of the file, for error messages.

    Returns:
        The sampling temperature, 0 for greedy decoding; and the maximum number of new tokens, None
        for no limit.

    Raises:
        AnexaError: if the temperature is not a number of at least 0, `max_new_tokens` not a whole
            number above 0, or `do_sample` neither true nor false.
    """
    temperature = json.get("temperature")
    if temperature is None:
        temperature = 1.0
    if not is_number(temperature) or temperature < 0:
        raise AnexaError(
            f"{path} has the temperature {short_repr(temperature)}: it must be a number of at "
            "least 0"
        )
    limit = json.get("max_new_tokens")
    if limit is not None and not (type(limit) is int and limit > 0):
        raise AnexaError(
            f"{path} has max_new_tokens {short_repr(limit)}: it must be a whole number above 0"
        )
    do_sample = json.get("do_sample")
    if do_sample is not None and not isinstance(do_sample, bool):
        raise AnexaError(
            f"{path} has the do_sample {short_repr(do_sample)}: it must be true or false"
        )
    return float(temperature) if do_sample else 0.0, limit


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, path: Path) -> None:
    """Check that the model has an embedding for every token id of the tokenizer.

    Args:
        tokenizer: tokenizer of the model.
        config: configuration of the model.
        path: file of the tokenizer, for the error message.

    Raises:
        AnexaError: if the vocabulary of the tokenizer is larger than the model's.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise AnexaError(
            f"the tokenizer of {path} has {tokenizer.vocab_size} tokens, but the model has "
            f"{config.vocab_size}: they do not belong together"
        )


def validate_weights(
    weights: Weights, config: ModelConfig, path: Path, config_name: str = "config.json"
) -> Weights:
    """Check the names and shapes of weights, and sort the weights in the architecture's order.

    The order in a file is arbitrary, but changes the rounding of sums over all weights.

    Args:
        weights: weights read from a file.
        config: configuration of the model.
        path: file of the weights, for error messages.
        config_name: name of the file with the configuration, for error messages.

    Returns:
        A new dict of the same weights, in the architecture's order.

    Raises:
        AnexaError: if the weights are not those of the configuration.
    """
    if config.n_layer > len(weights):  # before the names of a million layers are made
        raise AnexaError(
            f"{path} has {len(weights)} weights, but {config_name} says {config.n_layer} layers: "
            "they do not belong together"
        )
    parameters = get_architecture(config).parameters(config)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    for name in sorted(shapes.keys() ^ weights.keys()):
        what = "lacks" if name in shapes else f"has a weight unknown to its {config_name},"
        raise AnexaError(f"{path} {what} {one_line(name)}: they do not belong together")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            expected, found = (" x ".join(map(str, s)) for s in (shape, weights[name].shape))
            raise AnexaError(f"{path} has {name} as {found}, but {config_name} says {expected}")
    return {name: weights[name] for name in shapes}

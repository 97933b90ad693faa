"""A model on disk: a folder that is also a Hugging Face model repository."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line, short_repr
from anexa.files import allowed, read_json, write_atomic, write_json
from anexa.model.architectures import ARCHITECTURES, architecture
from anexa.model.architectures.base import is_number
from anexa.model.config import ModelConfig
from anexa.model.tensors import as_float32, write_tensors
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_files import (
    CHAT_TEMPLATE,
    TOKENIZER,
    read_chat_template,
    read_tokenizer,
)
from anexa.model.weight_files import WEIGHTS, read_weights
from anexa.model.weights import Weights

CARD = "README.md"
TEMPERATURE = 0.8


@dataclass(frozen=True)
class Model:
    """What a model folder holds."""

    config: ModelConfig
    weights: Weights
    tokenizer: Tokenizer
    chat_template: str | None = None
    """Of a model that answers in turns: see `anexa.model.chat_format`."""
    temperature: float = TEMPERATURE
    """That its texts are best drawn with."""
    max_new_tokens: int | None = None
    """As many as an answer may need, if that is known."""


def load_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder.

    Raises:
        AnexaError: there is none that this project can compute.
    """
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "there is no such folder"
        raise AnexaError(f"{folder} is not a model folder: {what}")
    path = folder / "config.json"
    return config_of(read_json(path), path)


def config_of(json: dict[str, Any], path: Path) -> ModelConfig:
    """The configuration that a file describes.

    Raises:
        AnexaError: as `load_config`.
    """
    kind = json.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        *most, last = ARCHITECTURES
        known = f"{', '.join(most)} and {last}"
        raise AnexaError(
            f"{path} is of the model type {short_repr(kind)}: only {known} can be opened"
        )
    if json.get("quantization_config") is not None:
        raise AnexaError(f"{path} has a quantization_config: quantised weights cannot be opened")
    try:
        return ARCHITECTURES[kind].from_json(json)
    except AnexaError as error:
        raise AnexaError(f"{path} cannot be used: {error}") from error


def load_model(folder: Path) -> Model:
    """Open a model folder.

    Raises:
        AnexaError: a file is missing, damaged, or does not fit the others.
    """
    config = load_config(folder)
    tokenizer = read_tokenizer(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise AnexaError(
            f"{folder / TOKENIZER} has {tokenizer.vocab_size} symbols, but the model knows "
            f"{config.vocab_size}: they are not of one model"
        )
    weights, path = read_weights(folder, config)
    chat_template = read_chat_template(folder)
    weights = validate_weights(weights, config, path)
    path = folder / "generation_config.json"
    generation = generation_of(read_json(path) if path.exists() else {}, path)
    return Model(config, weights, tokenizer, chat_template, *generation)


def generation_of(json: dict[str, Any], path: Path) -> tuple[float, int | None]:
    """The temperature and the most tokens of an answer, if a file has them.

    Raises:
        AnexaError: they mean nothing.
    """
    temperature = json.get("temperature")
    if not json.get("do_sample", True):
        temperature = 0.0
    elif temperature is None:
        temperature = TEMPERATURE
    if not is_number(temperature) or temperature < 0:
        raise AnexaError(
            f"{path} has the temperature {short_repr(temperature)}: it must be a number"
        )
    most = json.get("max_new_tokens")
    if most is not None and not (isinstance(most, int) and most > 0):
        raise AnexaError(
            f"{path} has max_new_tokens {short_repr(most)}: it must be a number above 0"
        )
    return float(temperature), most


def validate_weights(
    weights: Weights, config: ModelConfig, path: Path, described: str = "config.json"
) -> Weights:
    """The weights of a file in the architecture's order, if they are those that it asks for.

    A file is read in any order, and sums over all weights would depend on it. An error says that
    the configuration is in `described`.

    Raises:
        AnexaError: it does not.
    """
    if config.n_layer > len(weights):  # said before all those names are made up
        raise AnexaError(
            f"{path} has {len(weights)} weights, but {described} says {config.n_layer} layers: "
            "the two are not of one model"
        )
    shapes = {
        name: parameter.shape for name, parameter in architecture(config).parameters(config).items()
    }
    for name in sorted(shapes.keys() ^ weights.keys()):
        what = "lacks" if name in shapes else f"has a weight unknown to its {described},"
        raise AnexaError(f"{path} {what} {one_line(name)}: the two are not of one model")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            ours, theirs = (" x ".join(map(str, s)) for s in (shape, weights[name].shape))
            raise AnexaError(f"{path} has {name} as {theirs}, but {described} says {ours}")
    return {name: weights[name] for name in shapes}


def check_free(folder: Path) -> None:
    """Find out early what would be in the way of a new folder.

    Raises:
        AnexaError: it exists already, or a file does where a folder would have to be.
    """
    if folder.exists():
        raise AnexaError(f"{folder} exists already: choose another folder")
    for parent in folder.parents:
        if parent.exists() and not parent.is_dir():
            raise AnexaError(f"cannot write {folder}: {parent} is a file")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that was not there: what the caller puts into the path given, or nothing.

    Raises:
        AnexaError: it exists already, or cannot be written.
    """
    check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise AnexaError(f"cannot write {folder}: {error.strerror}") from error
    try:
        aside.chmod(allowed(0o777))  # mkdtemp makes folders that only their owner can enter
        yield aside
        aside.replace(folder)
    except AnexaError as error:  # which names a file in a folder that will not be there
        raise AnexaError(str(error).replace(str(aside), str(folder))) from error
    except OSError as error:
        raise AnexaError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_model(folder: Path, model: Model, card: str) -> None:
    """Write all files of a model into a folder that exists.

    Raises:
        AnexaError: one cannot be written.
    """
    for name, json in json_files(model).items():
        write_json(folder / name, json)
    write_atomic(folder / TOKENIZER, model.tokenizer.to_json().encode())
    if model.chat_template is not None:
        write_atomic(folder / CHAT_TEMPLATE, model.chat_template.encode())
    for name, code in architecture(model.config).code().items():
        write_atomic(folder / name, code)
    write_weights(folder, model.weights)
    write_atomic(folder / CARD, card.encode())


def create_folder(folder: Path, model: Model, card: str) -> None:
    """Make a model folder that was not there: all of it, or nothing.

    Raises:
        AnexaError: it exists already, or cannot be written.
    """
    with new_folder(folder) as aside:
        write_model(aside, model, card)


def write_weights(folder: Path, weights: Weights) -> None:
    """Replace the weights of a model folder, in float32.

    Raises:
        AnexaError: they cannot be written; the old ones stay.
    """
    write_tensors(folder / WEIGHTS, as_float32(weights), {"format": "pt"})


def json_files(model: Model) -> dict[str, dict[str, Any]]:
    """The JSON files of a model folder, but for `tokenizer.json`, by their names."""
    sampling: dict[str, Any] = {"do_sample": model.temperature > 0}
    if model.temperature:  # transformers warns of a temperature that nothing is drawn with
        sampling["temperature"] = model.temperature
    if model.max_new_tokens is not None:
        sampling["max_new_tokens"] = model.max_new_tokens
    ends = model.tokenizer.eos_token_ids
    symbols = {
        "bos_token_id": model.tokenizer.bos_token_id,
        "eos_token_id": [*ends] if len(ends) > 1 else ends[0] if ends else None,
    }
    return {
        "config.json": architecture(model.config).to_json(model.config) | symbols,
        "tokenizer_config.json": model.tokenizer.to_config(model.config.block_size),
        "generation_config.json": symbols | sampling,
    }

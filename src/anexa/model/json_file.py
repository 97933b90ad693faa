"""A model in one JSON file, which a program in any language reads without a library.

    {"config": …, "generation_config": …, "tokenizer": …, "chat_template": …, "card": …,
     "weights": {"model.embed_tokens.weight": [[0.0123, …], …], …}}

The first three are `config.json`, `generation_config.json` and `tokenizer.json` of a model folder.
`chat_template` is null for a base model, and `card`, the model card, may be empty. A matrix is a
list of its rows, a vector a list of numbers.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError
from anexa.files import atomic_path, read_json
from anexa.model.config import ModelConfig
from anexa.model.model import (
    Model,
    check_vocabulary,
    parse_config,
    parse_generation_config,
    validate_weights,
)
from anexa.model.tensors import as_float32
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_config import with_bos_eos
from anexa.model.weights import Weight, Weights

# Readers may parse a number as float64 and round it to float32. Of all float32 numbers, this is the
# only one whose shortest decimal, 7.038531e-26, then becomes another number.
ROUNDED_TWICE = 7.038530691851209e-26
# Keys of the file that must be there and be objects.
REQUIRED_OBJECTS = ("config", "generation_config", "tokenizer", "weights")


def write_model_json(path: Path, model: Model, card: str = "") -> None:
    """Write a model as one JSON file, with its weights in float32.

    Numbers have as many digits as are needed to read the same float32 number again.

    Args:
        path: file to write; a file that exists is replaced.
        model: model in memory.
        card: text of its model card; default: none.

    Raises:
        AnexaError: if a weight is not finite as float32, or the file cannot be written; then `path`
            is as it was before.
    """
    weights = as_float32(model.weights)
    files = model.json_files()
    content = {
        "config": files["config.json"],
        "generation_config": files["generation_config.json"],
        "tokenizer": json.loads(model.tokenizer.to_json()),
        "chat_template": model.chat_template,
        "card": card,
    }
    head = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}")
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write(head + ',\n  "weights": {\n')
        file.writelines(_weights_json(weights))
        file.write("\n  }\n}\n")


def _weights_json(weights: Weights) -> Iterator[str]:
    """Yield the JSON text of all weights in parts, with one line for each row of a matrix."""
    import numpy as np

    comma = ""
    for name, weight in weights.items():
        values = np.asarray(weight.data).reshape(weight.shape)
        # NumPy writes the fewest digits that tell a float32 from its neighbors.
        texts = values.astype(str)
        for i in zip(*np.nonzero(np.abs(values) == ROUNDED_TWICE)):
            texts[i] = repr(float(values[i]))
        rows = texts.tolist()
        yield f"{comma}    {json.dumps(name)}: ["
        if len(weight.shape) == 1:
            yield ", ".join(rows)
        else:
            yield "\n      " + ",\n      ".join(f"[{', '.join(row)}]" for row in rows) + "\n    "
        yield "]"
        comma = ",\n"


class JSONModelFile:
    """Reader of a model in a JSON file, which is read once, when it is first needed.

    Args:
        path: path of the file.

    Attributes:
        path: path of the file.

    Raises:
        AnexaError: if there is no such file. Every property and method raises it too, if the file
            cannot be read, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise AnexaError(f"there is no file {path}")
        self.path = path

    @cached_property
    def _content(self) -> dict[str, Any]:
        content = read_json(self.path)
        for key in REQUIRED_OBJECTS:
            if not isinstance(content.get(key), dict):
                raise AnexaError(f"{self.path} holds no model: it has no object {key!r}")
        return content

    @cached_property
    def config(self) -> ModelConfig:
        """The architecture and sizes of the model, from `config` in the file."""
        return parse_config(self._content["config"], self.path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer with its special tokens."""
        try:
            tokenizer = Tokenizer.from_json(json.dumps(self._content["tokenizer"]))
        except AnexaError as error:
            raise AnexaError(f"{self.path}: {error}") from error
        return with_bos_eos(tokenizer, {self.path: self._content["generation_config"]}, {})

    @cached_property
    def card(self) -> str:
        """Model card; empty if the file has no card."""
        return self._text("card") or ""

    def load(self) -> Model:
        """Read the model and check that its parts belong together.

        Raises:
            AnexaError: if the file is damaged, or its parts do not belong together.
        """
        path, content, config = self.path, self._content, self.config
        check_vocabulary(self.tokenizer, config, path)
        weights = {name: _weight(value, name, path) for name, value in content["weights"].items()}
        weights = validate_weights(weights, config, path, "config")
        template = self._text("chat_template")
        generation = parse_generation_config(content["generation_config"], path)
        _ = self.card  # a damaged card is an error of the file
        return Model(config, weights, self.tokenizer, template, *generation)

    def _text(self, key: str) -> str | None:
        text = self._content.get(key)
        if not text:
            return None
        # JSON can hold half of a UTF-16 pair, which no file can be written with.
        if not isinstance(text, str) or any("\ud800" <= c <= "\udfff" for c in text):
            raise AnexaError(f"{self.path} is damaged: its {key} is not text")
        return text


def _weight(value: Any, name: str, path: Path) -> Weight:
    """Convert a list of numbers, or of rows of numbers, to an array."""
    nested = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    rows = value if nested else [value]
    if not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
        raise AnexaError(
            f"{path} is damaged: {name} is not a list of numbers, or of rows of one length"
        )
    numbers = [number for row in rows for number in row]
    if not all(type(number) in (float, int) for number in numbers):
        raise AnexaError(f"{path} is damaged: {name} has an element that is not a number")
    try:
        data = array("f", numbers)
    except OverflowError:  # an integer beyond the range of float64
        data = array("f", [float("inf")])
    if not all(map(isfinite, data)):
        raise AnexaError(f"{path} is damaged: {name} has values that are not float32 numbers")
    return Weight((len(rows), len(rows[0])) if nested else (len(numbers),), data)

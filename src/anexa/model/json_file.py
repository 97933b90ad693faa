"""A whole model as one JSON file: what a program in any language reads without a library.

    {"config": …, "generation_config": …, "tokenizer": …, "chat_template": …, "card": …,
     "weights": {"model.embed_tokens.weight": [[0.0123, …], …], …}}

The first three are `config.json`, `generation_config.json` and `tokenizer.json` of a model folder.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError
from anexa.files import atomic_path, read_json
from anexa.model.folder import Model, config_of, generation_of, json_files, validate_weights
from anexa.model.tensors import as_float32
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_files import by_ids
from anexa.model.weights import Weight, Weights

# The one float32 (all were tried) whose fewest digits, 7.038531e-26, are those of another one when
# they are read as a float64, which is then rounded.
ROUNDED_TWICE = 7.038530691851209e-26
OBJECTS = ("config", "generation_config", "tokenizer", "weights")


def write_model_json(path: Path, model: Model, card: str = "") -> None:
    """Write a model as a JSON file, its weights in float32.

    A number has as many digits as it takes to read the same float32 again, also by way of float64.

    Raises:
        AnexaError: it cannot be written, or a weight is no number; nothing is left behind.
    """
    weights = as_float32(model.weights)
    files = json_files(model)
    described = {
        "config": files["config.json"],
        "generation_config": files["generation_config.json"],
        "tokenizer": json.loads(model.tokenizer.to_json()),
        "chat_template": model.chat_template,
        "card": card,
    }
    head = json.dumps(described, indent=2, ensure_ascii=False).removesuffix("\n}")
    with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head + ',\n  "weights": {\n')
        file.writelines(_weights(weights))
        file.write("\n  }\n}\n")


def _weights(weights: Weights) -> Iterator[str]:
    """JSON of arrays, a row a line."""
    import numpy as np

    comma = ""
    for name, weight in weights.items():
        values = np.asarray(weight.data).reshape(weight.shape)
        # NumPy writes the fewest digits that tell a float32 from its neighbours.
        written = values.astype(str)
        for i in zip(*np.nonzero(np.abs(values) == ROUNDED_TWICE)):
            written[i] = repr(float(values[i]))
        texts = written.tolist()
        yield f"{comma}    {json.dumps(name)}: ["
        if len(weight.shape) == 1:
            yield ", ".join(texts)
        else:
            yield "\n      " + ",\n      ".join(f"[{', '.join(row)}]" for row in texts) + "\n    "
        yield "]"
        comma = ",\n"


def read_model_json(path: Path) -> tuple[Model, str]:
    """The model in a JSON file, and its card.

    Raises:
        AnexaError: it is not there, damaged, or holds no model.
    """
    if not path.exists():
        raise AnexaError(f"there is no file {path}")
    whole = read_json(path)
    for key in OBJECTS:
        if not isinstance(whole.get(key), dict):
            raise AnexaError(f"{path} holds no model: it has no object {key!r}")
    config = config_of(whole["config"], path)
    try:
        tokenizer = Tokenizer.from_json(json.dumps(whole["tokenizer"]))
    except AnexaError as error:
        raise AnexaError(f"{path}: {error}") from error
    said = {path: whole["generation_config"]}
    bos, ends = (by_ids(said, key, tokenizer) for key in ("bos_token_id", "eos_token_id"))
    tokenizer = tokenizer.with_special_tokens(bos[0] if bos else None, ends)
    if tokenizer.vocab_size > config.vocab_size:
        raise AnexaError(
            f"{path} has {tokenizer.vocab_size} symbols, but the model knows {config.vocab_size}: "
            "they are not of one model"
        )
    weights = {name: _weight(value, name, path) for name, value in whole["weights"].items()}
    weights = validate_weights(weights, config, path, "config")
    template = _text(whole, "chat_template", path) if whole.get("chat_template") else None
    generation = generation_of(whole["generation_config"], path)
    card = _text(whole, "card", path) if whole.get("card") else ""
    return Model(config, weights, tokenizer, template, *generation), card


def _weight(value: Any, name: str, path: Path) -> Weight:
    """A list of numbers, or of rows of them, as an array."""
    nested = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    rows = value if nested else [value]
    if not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
        raise AnexaError(f"{path} is damaged: {name} is no list of numbers, or of rows as long")
    numbers = [number for row in rows for number in row]
    if not all(type(number) in (float, int) for number in numbers):
        raise AnexaError(f"{path} is damaged: {name} has something in it that is no number")
    try:
        data = array("f", numbers)
    except OverflowError:  # of a whole number that not even a float64 can hold
        data = array("f", [float("inf")])
    if not all(map(isfinite, data)):
        raise AnexaError(f"{path} is damaged: {name} has values that no float32 can be")
    return Weight((len(rows), len(rows[0])) if nested else (len(numbers),), data)


def _text(whole: dict[str, Any], key: str, path: Path) -> str:
    text = whole[key]
    # Python reads half of a pair in UTF-16 as a character, which no file can hold.
    if not isinstance(text, str) or any("\ud800" <= c <= "\udfff" for c in text):
        raise AnexaError(f"{path} is damaged: its {key} is no text")
    return text

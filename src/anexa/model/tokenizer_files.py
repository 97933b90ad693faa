"""The tokenizer of a Hugging Face repository, and which symbols begin and end its texts.

Four files have a say in it. `tokenizer.json` turns text into ids; which id ends a text stands in
`generation_config.json`, in `config.json`, or as a symbol in `tokenizer_config.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.files import read_bytes, read_json
from anexa.model.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
BY_IDS = ("generation_config.json", "config.json")  # in this order, as transformers' `generate`
BY_SYMBOLS = "tokenizer_config.json"


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder.

    Raises:
        AnexaError: it is not there, or it or a file beside it is damaged.
    """
    if not (folder / TOKENIZER).exists() and (folder / "config.json").exists():
        raise AnexaError(
            f"{folder} cannot be opened: it has no {TOKENIZER}: have transformers open its "
            "tokenizer and write it again"
        )
    text = read_bytes(folder / TOKENIZER).decode("utf-8", errors="replace")
    try:
        tokenizer = Tokenizer.from_json(text)
    except AnexaError as error:
        raise AnexaError(f"{folder}: {error}") from error
    symbols = _read_json(folder / BY_SYMBOLS)
    ids = {folder / name: _read_json(folder / name) for name in BY_IDS}
    bos = [*_by_symbol(folder, symbols, "bos_token", tokenizer)]
    bos = bos or by_ids(ids, "bos_token_id", tokenizer)
    ends = by_ids(ids, "eos_token_id", tokenizer)
    ends = ends or [*_by_symbol(folder, symbols, "eos_token", tokenizer)]
    return tokenizer.with_special_tokens(bos[0] if bos else None, ends)


def read_chat_template(folder: Path) -> str | None:
    """The template of a model that answers in turns: of its own file, or in the tokenizer's.

    Raises:
        AnexaError: there is something that is none.
    """
    if (folder / CHAT_TEMPLATE).exists():
        return read_bytes(folder / CHAT_TEMPLATE).decode("utf-8", errors="replace")
    template = _read_json(folder / BY_SYMBOLS).get("chat_template")
    if isinstance(template, list):  # several, by name
        named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = named[0].get("template") if named else None
    if template is not None and not isinstance(template, str):
        raise AnexaError(f"{folder / BY_SYMBOLS} has a chat_template that is no text")
    return template


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def by_ids(files: dict[Path, dict[str, Any]], key: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of the first file that has any that are in the vocabulary.

    A configuration that nobody has filled in has GPT-2's 50256 or Llama's 1 and 2.

    Raises:
        AnexaError: they are no numbers.
    """
    for path, json in files.items():
        value = json.get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in values):
            raise AnexaError(f"{path} has the {key} {short_repr(value)}: it must be a number")
        known = [one for one in values if tokenizer.id_to_token(one) is not None]
        if known:
            return known
    return []


def _by_symbol(
    folder: Path, symbols: dict[str, Any], key: str, tokenizer: Tokenizer
) -> Iterator[int]:
    """The id of a symbol that `tokenizer_config.json` names, if the tokenizer has it."""
    symbol = symbols.get(key)
    if isinstance(symbol, dict):  # with how it is found in a text
        symbol = symbol.get("content")
    if symbol is None:
        return
    if not isinstance(symbol, str):
        raise AnexaError(
            f"{folder / BY_SYMBOLS} has the {key} {short_repr(symbol)}: it must be a text"
        )
    number = tokenizer.token_to_id(symbol)
    if number is not None:
        yield number

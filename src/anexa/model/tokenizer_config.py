"""Special tokens and chat template from the JSON files of a model folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from anexa.errors import AnexaError, short_repr
from anexa.model.tokenizer import Tokenizer

JSONFiles: TypeAlias = Mapping[Path, Mapping[str, Any]]  # contents of JSON files by path

# Tags {% generation %} and {% endgeneration %} of a chat template. Groups: the sign on the left,
# "end", and the sign on the right; in Jinja, - trims the white space beside a tag, and + keeps it.
GENERATION_TAG_PATTERN = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


def with_bos_eos(tokenizer: Tokenizer, id_files: JSONFiles, token_files: JSONFiles) -> Tokenizer:
    """Return a copy of a tokenizer with the BOS and EOS tokens that its model's files name.

    As in transformers, BOS is read from `tokenizer_config.json` and EOS from the configuration of
    the model; each falls back to the other files.

    Args:
        tokenizer: tokenizer of a `tokenizer.json`, which does not say what BOS and EOS are.
        id_files: configurations of the model, with `bos_token_id` and `eos_token_id`, in the order
            of preference.
        token_files: files with `bos_token` and `eos_token`, such as `tokenizer_config.json`.

    Returns:
        A copy of the tokenizer, as `Tokenizer.with_special_tokens` makes it. If no file names a
        token of the vocabulary, BOS or EOS is `END_OF_TEXT`, if the vocabulary has that.

    Raises:
        AnexaError: if a value has the wrong type.
    """
    bos = _from_tokens(token_files, "bos_token", tokenizer)
    bos = bos or _from_ids(id_files, "bos_token_id", tokenizer)
    eos = _from_ids(id_files, "eos_token_id", tokenizer)
    eos = eos or _from_tokens(token_files, "eos_token", tokenizer)
    return tokenizer.with_special_tokens(bos[0] if bos else None, eos)


def _from_ids(files: JSONFiles, key: str, tokenizer: Tokenizer) -> list[int]:
    """Return the ids under `key` that are in the vocabulary, from the first file that has any.

    Others are ignored: a configuration with default values has GPT-2's 50256, or Llama's 1 and 2,
    whatever the vocabulary is.
    """
    for path, json in files.items():
        value = json.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
            raise AnexaError(
                f"{path} has the {key} {short_repr(value)}: it must be a whole number, or a list "
                "of them"
            )
        known = [i for i in ids if tokenizer.id_to_token(i) is not None]
        if known:
            return known
    return []


def _from_tokens(files: JSONFiles, key: str, tokenizer: Tokenizer) -> list[int]:
    """Return the id of the first token under `key` that is in the vocabulary.

    Returns:
        A list of that id; empty if there is no such token.
    """
    for path, json in files.items():
        token = json.get(key)
        if isinstance(token, dict):  # an AddedToken with its options
            token = token.get("content")
        if token is None:
            continue
        if not isinstance(token, str):
            raise AnexaError(f"{path} has the {key} {short_repr(token)}: it must be a string")
        token_id = tokenizer.token_to_id(token)
        if token_id is not None:
            return [token_id]
    return []


def parse_chat_template(json: Mapping[str, Any], path: Path) -> str | None:
    """Read the chat template in a `tokenizer_config.json`.

    Args:
        json: content of the file.
        path: path of the file, for error messages.

    Returns:
        The template; of several templates by name, that named "default". None if there is none.

    Raises:
        AnexaError: if the template is not a string.
    """
    template = json.get("chat_template")
    if isinstance(template, list):  # several templates by name
        named = [t for t in template if isinstance(t, dict) and t.get("name") == "default"]
        template = named[0].get("template") if named else None
    if template is not None and not isinstance(template, str):
        raise AnexaError(f"{path} has a chat_template that is not a string")
    return template


def without_generation_marks(template: str) -> str:
    """Return a template that renders the same text without the tag `{% generation %}`.

    The tag marks the assistant's words for training in transformers since version 4.42; other
    programs do not know it.
    """

    def plain(tag: re.Match[str]) -> str:
        left, end, right = tag.groups()
        return f"{{%{left} {'endif' if end else 'if true'} {right}%}}"

    return GENERATION_TAG_PATTERN.sub(plain, template)

"""A tokenizer as llama.cpp computes it: byte-level BPE, whatever it is here.

There a text is cut into words, their bytes are written in an alphabet of 256 visible characters
(GPT-2's), and pairs of symbols are merged. So a tokenizer of characters becomes one that merges the
bytes of a character, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any

from anexa.errors import AnexaError
from anexa.model.tokenizer import BYTE_DECODER, Tokenizer

ALPHABET = {byte: letter for letter, byte in BYTE_DECODER.items()}

# llama.cpp refuses a vocabulary without merges. These two bytes are in no UTF-8 text.
NEVER = ALPHABET[0xC0], ALPHABET[0xC1]

# Words as GPT-2 cuts them, and the same after every digit was cut off: by llama.cpp's names.
_DIGITS = {"type": "Digits", "individual_digits": True}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
SPLITTINGS = {"gpt-2": [_BYTE_LEVEL], "smollm": [_DIGITS, _BYTE_LEVEL]}


MOST_ENDS = 3  # of a document, of a turn, of a message


class TokenType(IntEnum):
    """What llama.cpp takes a token for, by its numbers."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer.

    Attributes:
        splitting: llama.cpp's name for how texts are cut into words.
        tokens: by id, the bytes of those that are text in `ALPHABET`.
        types: of each token.
        merges: pairs of symbols, the first to be merged first.
    """

    splitting: str
    tokens: list[str]
    types: list[TokenType]
    merges: list[tuple[str, str]]


def vocabulary(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """A tokenizer's vocabulary, filled up to the `size` that the model knows.

    Raises:
        AnexaError: llama.cpp has nothing that would give the same tokens.
    """
    parts = json.loads(tokenizer.to_json())
    model, added = parts["model"], {token["id"]: token for token in parts["added_tokens"]}
    _check(tokenizer, parts)
    texts = {number: text for text, number in model["vocab"].items() if number not in added}
    if _is_of_characters(parts, texts.values()):
        splitting = "gpt-2"  # any would do: it never cuts a character
        texts = {number: _visible(text) for number, text in texts.items()}
        merges = list(dict.fromkeys(chain.from_iterable(map(_joined, texts.values()))))
    else:
        splitting = _splitting(parts["pre_tokenizer"])
        merges = [(left, right) for left, right in model["merges"]]
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [TokenType.UNUSED] * size
    for number, text in texts.items():
        tokens[number], types[number] = text, TokenType.NORMAL
    for number, token in added.items():
        tokens[number] = token["content"]
        # As here: a mark is one token in any text; the boundary too, but it is never shown.
        types[number] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    if len({*tokens}) < size:
        raise AnexaError("two of its tokens are the same for llama.cpp, which takes no such model")
    return Vocabulary(splitting, tokens, types, merges or [NEVER])


def _is_of_characters(parts: dict[str, Any], texts: Iterable[str]) -> bool:
    no_words = parts["pre_tokenizer"] is None and not parts["model"]["merges"]
    return no_words and all(len(text) == 1 for text in texts)


def _visible(text: str) -> str:
    """The bytes of a text in `ALPHABET`."""
    return "".join(ALPHABET[byte] for byte in text.encode())


def _joined(symbols: str) -> list[tuple[str, str]]:
    """The merges that make one token of a character's bytes, from the left.

    A byte that begins a character never stands inside of one, so they touch no other.
    """
    return [(symbols[:i], symbols[i]) for i in range(1, len(symbols))]


def _splitting(pre_tokenizer: dict[str, Any] | None) -> str:
    """llama.cpp's name for how a tokenizer cuts texts into words.

    Raises:
        AnexaError: none is known.
    """
    stages = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    plain = [{k: v for k, v in (stage or {}).items() if k != "trim_offsets"} for stage in stages]
    for name, splitting in SPLITTINGS.items():
        if plain == splitting:
            return name
    raise AnexaError(
        "its tokenizer cuts texts into words in a way that has no name in llama.cpp: only "
        "characters, and byte-level BPE as GPT-2 and SmolLM have it, can become GGUF"
    )


def _check(tokenizer: Tokenizer, parts: dict[str, Any]) -> None:
    """Refuse what would be lost on the way, of what a tokenizer that opens here may have."""
    model = parts["model"]
    usual = {
        "normalizer": (parts["normalizer"], (None,)),
        "byte_fallback": (model.get("byte_fallback"), (None, False)),
        "ignore_merges": (model.get("ignore_merges"), (None, False)),
    }
    for key, (value, known) in usual.items():
        if value not in known:
            raise AnexaError(f"its tokenizer has {key} {value!r}, which llama.cpp has not")
    for token in parts["added_tokens"]:
        for flag in ("single_word", "lstrip", "rstrip"):
            if token[flag]:
                raise AnexaError(
                    f"its tokenizer's {token['content']} has {flag}, which llama.cpp has not"
                )
    if tokenizer.adds_bos and tokenizer.encode_prompt("") != [tokenizer.bos_token_id]:
        raise AnexaError("its tokenizer puts more around a text than what begins one")
    if not 1 <= len(tokenizer.eos_token_ids) <= MOST_ENDS:
        raise AnexaError(
            f"{len(tokenizer.eos_token_ids)} of its tokens end a text, and llama.cpp takes 1 to "
            f"{MOST_ENDS}"
        )

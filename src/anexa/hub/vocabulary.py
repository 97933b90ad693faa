"""Conversion of a tokenizer to llama.cpp's form of byte-level BPE.

llama.cpp splits a text into words, represents their bytes by 256 visible characters (GPT-2's
alphabet), and merges pairs of tokens. So a character tokenizer becomes byte-level BPE, whose merges
build each character from its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any

from anexa.errors import AnexaError
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_backend import BYTE_DECODER

ALPHABET = {byte: letter for letter, byte in BYTE_DECODER.items()}

# llama.cpp refuses a vocabulary without merges. These two bytes occur in no UTF-8 text.
UNUSED_MERGE = ALPHABET[0xC0], ALPHABET[0xC1]

# Pre-tokenizers by llama.cpp's names: GPT-2's, and the same after digits were split off.
_DIGITS = {"type": "Digits", "individual_digits": True}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
PRE_TOKENIZERS = {"gpt-2": [_BYTE_LEVEL], "smollm": [_DIGITS, _BYTE_LEVEL]}

MAX_EOS_TOKENS = 3  # end of sequence, of turn, of message

OTHER_CONVERTER = "try llama.cpp's own convert_hf_to_gguf.py, which knows more tokenizers"


class TokenType(IntEnum):
    """llama.cpp's types of tokens, with its numbers."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class GGUFVocabulary:
    """A tokenizer as a GGUF file stores it.

    Attributes:
        pre_tokenizer: llama.cpp's name of the pre-tokenizer.
        tokens: tokens by id; the bytes of text are written in `ALPHABET`.
        types: type of each token.
        merges: pairs of tokens to merge, in order.
    """

    pre_tokenizer: str
    tokens: list[str]
    types: list[TokenType]
    merges: list[tuple[str, str]]


def gguf_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> GGUFVocabulary:
    """Convert a tokenizer for llama.cpp.

    Args:
        tokenizer: the tokenizer.
        vocab_size: vocabulary size of the model; ids beyond the tokenizer's become unused tokens.

    Raises:
        AnexaError: if llama.cpp, with what this module writes, would not give the same tokens.
    """
    content = json.loads(tokenizer.to_json())
    model, added = content["model"], {token["id"]: token for token in content["added_tokens"]}
    _check(tokenizer, content)
    texts = {token_id: text for text, token_id in model["vocab"].items() if token_id not in added}
    if _is_character_tokenizer(content, texts.values()):
        pre_tokenizer = "gpt-2"  # any would do: none splits a character
        texts = {token_id: _to_alphabet(text) for token_id, text in texts.items()}
        merges = list(dict.fromkeys(chain.from_iterable(map(_byte_merges, texts.values()))))
    else:
        pre_tokenizer = _pre_tokenizer_name(content["pre_tokenizer"])
        merges = [(left, right) for left, right in model["merges"]]
    tokens = [f"[PAD{token_id}]" for token_id in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    for token_id, text in texts.items():
        tokens[token_id], types[token_id] = text, TokenType.NORMAL
    for token_id, token in added.items():
        tokens[token_id] = token["content"]
        # Both types are one token wherever they occur in a text; CONTROL tokens are not shown.
        types[token_id] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    if len({*tokens}) < vocab_size:
        raise AnexaError("two of its tokens are the same for llama.cpp, which refuses such a model")
    return GGUFVocabulary(pre_tokenizer, tokens, types, merges or [UNUSED_MERGE])


def _is_character_tokenizer(content: dict[str, Any], texts: Iterable[str]) -> bool:
    no_words = content["pre_tokenizer"] is None and not content["model"]["merges"]
    return no_words and all(len(text) == 1 for text in texts)


def _to_alphabet(text: str) -> str:
    return "".join(ALPHABET[byte] for byte in text.encode())


def _byte_merges(letters: str) -> list[tuple[str, str]]:
    """Return the merges that build one token from the bytes of a character, from the left.

    They apply to no other character: a character's first byte occurs only at its beginning.
    """
    return [(letters[:i], letters[i]) for i in range(1, len(letters))]


def _pre_tokenizer_name(pre_tokenizer: dict[str, Any] | None) -> str:
    """Return llama.cpp's name of a pre-tokenizer.

    Raises:
        AnexaError: if llama.cpp does not have this pre-tokenizer.
    """
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    steps = [{k: v for k, v in (step or {}).items() if k != "trim_offsets"} for step in steps]
    for name, known in PRE_TOKENIZERS.items():
        if steps == known:
            return name
    raise AnexaError(
        "its tokenizer splits texts into words neither as GPT-2 nor as SmolLM, and of byte-level "
        f"tokenizers Anexa writes only these two as GGUF: {OTHER_CONVERTER}"
    )


def _check(tokenizer: Tokenizer, content: dict[str, Any]) -> None:
    """Refuse features of a tokenizer that this module does not write."""
    model = content["model"]
    supported = {
        "normalizer": (content["normalizer"], (None,)),
        "byte_fallback": (model.get("byte_fallback"), (None, False)),
        "ignore_merges": (model.get("ignore_merges"), (None, False)),
    }
    for key, (value, known) in supported.items():
        if value not in known:
            raise AnexaError(
                f"its tokenizer has {key} {value!r}, which Anexa does not write as GGUF: "
                f"{OTHER_CONVERTER}"
            )
    for token in content["added_tokens"]:
        for flag in ("single_word", "lstrip", "rstrip"):
            if token[flag]:
                raise AnexaError(
                    f"its tokenizer's {token['content']} has {flag}, which Anexa does not write as "
                    f"GGUF: {OTHER_CONVERTER}"
                )
    if tokenizer.adds_bos and tokenizer.encode_prompt("") != [tokenizer.bos_token_id]:
        raise AnexaError(
            "its tokenizer adds more than the BOS token to a text, which Anexa does not write as "
            f"GGUF: {OTHER_CONVERTER}"
        )
    if not 1 <= len(tokenizer.eos_token_ids) <= MAX_EOS_TOKENS:
        raise AnexaError(
            f"{len(tokenizer.eos_token_ids)} of its tokens end a text, and GGUF names 1 to "
            f"{MAX_EOS_TOKENS}: end of sequence, of turn and of message"
        )

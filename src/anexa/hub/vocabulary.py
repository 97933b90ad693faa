"""Conversion of a tokenizer to llama.cpp's form: byte-level BPE, or SentencePiece BPE.

In byte-level BPE, llama.cpp splits a text into words, represents their bytes by 256 visible
characters (GPT-2's alphabet), and merges pairs of tokens. So a character tokenizer becomes
byte-level BPE, whose merges build each character from its bytes. SentencePiece BPE joins neighbors
to the token with the highest score, and writes characters that it does not know as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.pre_tokenizers import pre_tokenizer_name
from anexa.model.sentencepiece import SPACE_CHARACTER, PieceType, merge_scores
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_backend import BYTE_DECODER

# GPT-2's visible character of each byte.
BYTE_ENCODER = {byte: letter for letter, byte in BYTE_DECODER.items()}

# llama.cpp refuses a vocabulary without merges. These two bytes occur in no UTF-8 text.
UNUSED_MERGE = BYTE_ENCODER[0xC0], BYTE_ENCODER[0xC1]

MAX_EOS_TOKENS = 3  # end of sequence, of turn, of message

# Advice in error messages.
CONVERTER_ADVICE = "try llama.cpp's own convert_hf_to_gguf.py, which knows more tokenizers"


@dataclass(frozen=True)
class GGUFVocabulary:
    """A tokenizer as a GGUF file stores it.

    Attributes:
        tokens: tokens by id; the bytes of text in byte-level BPE are written in `BYTE_ENCODER`.
        types: type of each token.
        pre_tokenizer: llama.cpp's name of the pre-tokenizer of byte-level BPE; None for
            SentencePiece.
        merges: pairs of tokens that byte-level BPE merges, in order.
        scores: score of each token, by which SentencePiece joins; empty for byte-level BPE.
        add_space_prefix: whether SentencePiece puts a space before a text.
        differences: descriptions of the texts whose tokens in llama.cpp differ from Anexa's.
    """

    tokens: list[str]
    types: list[PieceType]
    pre_tokenizer: str | None = None
    merges: list[tuple[str, str]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    add_space_prefix: bool = False
    differences: list[str] = field(default_factory=list)


def gguf_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> GGUFVocabulary:
    """Convert a tokenizer for llama.cpp.

    Args:
        tokenizer: tokenizer of the model.
        vocab_size: vocabulary size of the model; ids beyond the tokenizer's become unused tokens.

    Returns:
        The vocabulary for the GGUF file.

    Raises:
        AnexaError: if llama.cpp, with what this module writes, would not give the same tokens.
    """
    content = json.loads(tokenizer.to_json())
    _check(tokenizer, content)
    if content["model"].get("byte_fallback"):
        return _sentencepiece(content, vocab_size)
    return _byte_level(content, vocab_size)


def _byte_level(content: Mapping[str, Any], vocab_size: int) -> GGUFVocabulary:
    texts = _texts(content)
    differences = []
    if _is_character_tokenizer(content, texts.values()):
        if content["normalizer"] is not None:
            raise _not_written(f"normalizer {short_repr(content['normalizer'])}")
        name = "gpt-2"  # any would do: none splits a character
        texts = {token_id: _to_alphabet(text) for token_id, text in texts.items()}
        merges = list(dict.fromkeys(chain.from_iterable(map(_byte_merges, texts.values()))))
    else:
        normalizer = content["normalizer"] or {"normalizers": []}
        if normalizer == {"type": "NFC"}:
            differences = [
                "characters that are not in Unicode's normal form NFC, such as é of two code points"
            ]
        elif normalizer.get("normalizers") != []:
            raise _not_written(f"normalizer {short_repr(content['normalizer'])}")
        ignore_merges = bool(content["model"].get("ignore_merges"))
        name = pre_tokenizer_name(content["pre_tokenizer"], ignore_merges=ignore_merges)
        merges = [(left, right) for left, right in content["model"]["merges"]]
    tokens, types = _tokens(content, texts, vocab_size)
    return GGUFVocabulary(
        tokens, types, name, merges=merges or [UNUSED_MERGE], differences=differences
    )


def _sentencepiece(content: Mapping[str, Any], vocab_size: int) -> GGUFVocabulary:
    model, texts = content["model"], _texts(content)
    if model.get("ignore_merges"):
        raise _not_written("ignore_merges True and byte_fallback True")
    if not {f"<0x{byte:02X}>" for byte in range(256)} <= model["vocab"].keys():
        raise _not_written("byte_fallback True, but not all bytes")
    add_space_prefix, differences = _space_prefix(content)
    try:
        scores = merge_scores([(a, b) for a, b in model["merges"]], {*texts.values()})
    except AnexaError as error:
        raise AnexaError(
            f"its tokenizer has merges that SentencePiece cannot express ({error}), and llama.cpp "
            "has no other kind of BPE with byte_fallback"
        ) from error
    tokens, types = _tokens(content, texts, vocab_size)
    for token_id, text in texts.items():
        if len(text) == 6 and text.startswith("<0x"):
            types[token_id] = PieceType.BYTE
    if model.get("unk_token") in model["vocab"]:
        types[model["vocab"][model["unk_token"]]] = PieceType.UNKNOWN
    return GGUFVocabulary(
        tokens,
        types,
        scores=[scores.get(token, 0.0) for token in tokens],
        add_space_prefix=add_space_prefix,
        differences=differences,
    )


def _space_prefix(content: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Find out whether SentencePiece puts a space before a text.

    llama.cpp puts it before every part of a text between added tokens, as Llama 2 does.

    Returns:
        Whether it does, and descriptions of the texts for which llama.cpp differs.

    Raises:
        AnexaError: if the tokenizer treats spaces in another way than Llama's.
    """
    normalizer, splitter = content["normalizer"], content["pre_tokenizer"]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_CHARACTER}
    prepend = {"type": "Prepend", "prepend": SPACE_CHARACTER}
    if splitter is None and (normalizer or {}).get("normalizers") == [prepend, replace]:
        marked = [t["content"] for t in content["added_tokens"] if t["normalized"]]
        found = f"{', '.join(marked)} inside, which llama.cpp always recognizes"
        return True, [found] if marked else []
    if splitter is None and normalizer in (replace, {"type": "Sequence", "normalizers": [replace]}):
        return False, []
    metaspace = {"type": "Metaspace", "replacement": SPACE_CHARACTER, "split": False}
    scheme = (splitter or {}).get("prepend_scheme", "always")
    if normalizer is None and splitter == metaspace | {"prepend_scheme": scheme}:
        spaced = "a space at the beginning, before which llama.cpp puts another one"
        parts = "special tokens, after which llama.cpp puts a space"
        notes = {"never": [], "always": [spaced], "first": [spaced, parts]}
        if scheme in notes:
            return scheme != "never", notes[scheme]
    raise _not_written(f"normalizer {short_repr(normalizer)} and byte_fallback True")


def _texts(content: Mapping[str, Any]) -> dict[int, str]:
    """Return the tokens by id, without the added ones."""
    added = {token["id"] for token in content["added_tokens"]}
    vocabulary = content["model"]["vocab"]
    return {token_id: text for text, token_id in vocabulary.items() if token_id not in added}


def _tokens(
    content: Mapping[str, Any], texts: Mapping[int, str], vocab_size: int
) -> tuple[list[str], list[PieceType]]:
    """Return the tokens and their types by id."""
    tokens = [f"[PAD{token_id}]" for token_id in range(vocab_size)]
    types = [PieceType.UNUSED] * vocab_size
    for token_id, text in texts.items():
        tokens[token_id], types[token_id] = text, PieceType.NORMAL
    for token in content["added_tokens"]:
        tokens[token["id"]] = token["content"]
        # Both types are one token wherever they occur in a text; CONTROL tokens are not shown.
        special = PieceType.CONTROL if token["special"] else PieceType.USER_DEFINED
        types[token["id"]] = special
    if len({*tokens}) < vocab_size:
        raise AnexaError("two of its tokens are the same for llama.cpp, which refuses such a model")
    return tokens, types


def _is_character_tokenizer(content: Mapping[str, Any], texts: Iterable[str]) -> bool:
    no_words = content["pre_tokenizer"] is None and not content["model"]["merges"]
    return no_words and all(len(text) == 1 for text in texts)


def _to_alphabet(text: str) -> str:
    return "".join(BYTE_ENCODER[byte] for byte in text.encode())


def _byte_merges(letters: str) -> list[tuple[str, str]]:
    """Return the merges that build one token from the bytes of a character, from the left.

    They apply to no other character: a character's first byte occurs only at its beginning.
    """
    return [(letters[:i], letters[i]) for i in range(1, len(letters))]


def _not_written(what: str) -> AnexaError:
    return AnexaError(
        f"its tokenizer has {what}, which Anexa does not write as GGUF: {CONVERTER_ADVICE}"
    )


def _check(tokenizer: Tokenizer, content: Mapping[str, Any]) -> None:
    """Check that a tokenizer has no feature that GGUF or this module lacks.

    Raises:
        AnexaError: if it has one, such as an added token that only matches a whole word.
    """
    for token in content["added_tokens"]:
        for flag in ("single_word", "lstrip", "rstrip"):
            if token[flag]:
                raise AnexaError(
                    f"its tokenizer's {token['content']} has {flag}, which Anexa does not write as "
                    f"GGUF: {CONVERTER_ADVICE}"
                )
    if tokenizer.adds_bos and tokenizer.encode_prompt("") != [tokenizer.bos_token_id]:
        raise AnexaError(
            "its tokenizer adds more than the BOS token to a text, which Anexa does not write as "
            f"GGUF: {CONVERTER_ADVICE}"
        )
    if not 1 <= len(tokenizer.eos_token_ids) <= MAX_EOS_TOKENS:
        raise AnexaError(
            f"{len(tokenizer.eos_token_ids)} of its tokens end a text, and GGUF names 1 to "
            f"{MAX_EOS_TOKENS}: end of sequence, of turn and of message"
        )

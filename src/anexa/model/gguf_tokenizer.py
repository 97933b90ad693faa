"""Tokenizer of a GGUF file, back in the form of `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.model.gguf_reader import metadata_value
from anexa.model.pre_tokenizers import (
    BYTE_LEVEL,
    IGNORE_MERGES_PRE_TOKENIZERS,
    NFC_PRE_TOKENIZERS,
    PRE_TOKENIZERS,
)
from anexa.model.sentencepiece import MAX_FILE_BYTES, MAX_PIECE_CHARS, Piece, PieceType
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.tokenizer_backend import BYTE_DECODER, parse_backend, set_bos
from anexa.model.tokenizer_files import added_token, sentencepiece_json

KEY_PREFIX = "tokenizer.ggml."  # prefix of the keys of the tokenizer
EOS_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")  # of the text, of a turn, of a message


def parse_gguf_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """Read the tokenizer in the metadata of a GGUF file.

    Args:
        metadata: values by key, as in `GGUFReader.metadata`.

    Raises:
        AnexaError: if it is damaged, or its kind is not supported. The caller puts the name of
            the file before the message.
    """
    kind = metadata_value(metadata, f"{KEY_PREFIX}model", str)
    if kind not in ("gpt2", "llama"):
        raise AnexaError(f"it has a tokenizer of the kind {short_repr(kind)}: only gpt2 and llama")
    pieces = _pieces(metadata)
    if kind == "llama":
        lengths = [len(piece.text) for piece in pieces]
        if max(lengths, default=0) > MAX_PIECE_CHARS or sum(lengths) > MAX_FILE_BYTES:
            raise AnexaError("it has longer tokens than any model")
        spaced = metadata_value(metadata, f"{KEY_PREFIX}add_space_prefix", bool, True)
        content = sentencepiece_json(pieces, spaced=spaced, legacy=True)
    else:
        content = _characters(pieces) or _byte_level(pieces, metadata)
    if metadata_value(metadata, f"{KEY_PREFIX}add_eos_token", bool, False):
        raise AnexaError("it has add_eos_token, which is not supported")
    backend = parse_backend(json.dumps(content))
    bos, *ends = [_token_id(metadata, key, pieces) for key in ("bos_token_id", *EOS_KEYS)]
    if metadata_value(metadata, f"{KEY_PREFIX}add_bos_token", bool, kind == "llama"):
        if bos is None:
            raise AnexaError("it has add_bos_token, but no bos_token_id")
        backend = set_bos(backend, True, pieces[bos].text)
    eos = dict.fromkeys(token_id for token_id in ends if token_id is not None)
    return Tokenizer(backend, bos, [*eos])


def _pieces(metadata: Mapping[str, Any]) -> list[Piece]:
    """Return the tokens by id, without the unused ones that fill up the vocabulary."""
    tokens = metadata_value(metadata, f"{KEY_PREFIX}tokens", list)
    usual = [PieceType.NORMAL.value] * len(tokens)
    types = metadata_value(metadata, f"{KEY_PREFIX}token_type", list, usual)
    scores = metadata_value(metadata, f"{KEY_PREFIX}scores", list, [0.0] * len(tokens))
    if not len(tokens) == len(types) == len(scores):
        raise AnexaError("it has tokens, types and scores of different numbers")
    pieces = []
    for token, kind, score in zip(tokens, types, scores):
        known = isinstance(score, float) and isfinite(score) and kind in [*PieceType]
        if not isinstance(token, str) or not known:
            raise AnexaError(f"it has a damaged token, {short_repr(token)}")
        pieces.append(Piece(token, score, PieceType(kind)))
    while pieces and pieces[-1].type == PieceType.UNUSED:
        pieces.pop()
    if any(piece.type == PieceType.UNUSED for piece in pieces):
        raise AnexaError("it has unused tokens between others: not supported")
    if len({piece.text for piece in pieces}) < len(pieces):
        raise AnexaError("two of its tokens are the same")
    return pieces


def _token_id(metadata: Mapping[str, Any], key: str, pieces: Sequence[Piece]) -> int | None:
    if f"{KEY_PREFIX}{key}" not in metadata:
        return None
    token_id: int = metadata_value(metadata, f"{KEY_PREFIX}{key}", int)
    if not 0 <= token_id < len(pieces):
        raise AnexaError(f"it has the {key} {token_id}, which is not in its vocabulary")
    return token_id


def _added_tokens(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    return [
        added_token(i, piece.text, special=piece.type != PieceType.USER_DEFINED)
        for i, piece in enumerate(pieces)
        if piece.type != PieceType.NORMAL
    ]


def _characters(pieces: Sequence[Piece]) -> dict[str, Any] | None:
    """Build a character tokenizer from pieces that are single characters.

    Returns:
        The content of its `tokenizer.json`; None if a piece is anything but a character.
    """
    vocabulary = {}
    for i, piece in enumerate(pieces):
        text = piece.text
        if piece.type == PieceType.NORMAL:
            values = [BYTE_DECODER.get(letter, 0xFF) for letter in text]
            text = bytes(values).decode(errors="replace")
            if len(text) != 1 or text == "\ufffd":
                return None
        vocabulary[text] = i
    unknown = END_OF_TEXT if END_OF_TEXT in vocabulary else None
    return {
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": unknown},
        "added_tokens": _added_tokens(pieces),
    }


def _byte_level(pieces: Sequence[Piece], metadata: Mapping[str, Any]) -> dict[str, Any]:
    name = metadata_value(metadata, f"{KEY_PREFIX}pre", str)
    steps = (PRE_TOKENIZERS | IGNORE_MERGES_PRE_TOKENIZERS).get(name)
    if steps is None:
        known = ", ".join([*PRE_TOKENIZERS, *IGNORE_MERGES_PRE_TOKENIZERS])
        raise AnexaError(f"it has the pre-tokenizer {short_repr(name)}: only {known} are supported")
    steps = [{"trim_offsets": True, **s} if s["type"] == "ByteLevel" else s for s in steps]
    vocabulary = {piece.text: i for i, piece in enumerate(pieces)}
    merges = []
    for line in metadata_value(metadata, f"{KEY_PREFIX}merges", list):
        merge = line.split(" ") if isinstance(line, str) else []
        if len(merge) != 2 or not {*merge, "".join(merge)} <= vocabulary.keys():
            raise AnexaError(f"it has the merge {short_repr(line)}, not of two tokens to a third")
        merges.append(merge)
    return {
        "normalizer": {"type": "NFC"} if name in NFC_PRE_TOKENIZERS else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": {"trim_offsets": True, **BYTE_LEVEL},
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": merges,
            "ignore_merges": name in IGNORE_MERGES_PRE_TOKENIZERS,
        },
        "added_tokens": _added_tokens(pieces),
    }

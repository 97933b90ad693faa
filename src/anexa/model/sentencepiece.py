"""Reader of `tokenizer.model`, the file of a SentencePiece tokenizer (Kudo and Richardson, 2018).

The file is a protocol buffer: fields with a number, a wire type and a value. Only the fields that a
BPE tokenizer with byte fallback needs (that of Llama 2 and Mistral 7B v0.1) are read, and whatever
would make it another tokenizer is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import TypeAlias

from anexa.errors import AnexaError, short_repr

MAX_FILE_BYTES = 1 << 21  # bytes of the file; Llama 2's has 500 kB
MAX_PIECE_CHARS = 128  # characters of a piece; SentencePiece's default limit is 16
SPACE_CHARACTER = "▁"  # character that stands for a space in pieces

Field: TypeAlias = int | bytes
"""Value of a field of a protocol buffer: an int if its wire type is varint, otherwise its bytes."""


class PieceType(IntEnum):
    """Types of pieces, with SentencePiece's numbers, which are llama.cpp's too."""

    NORMAL = 1  # text
    UNKNOWN = 2  # stands for characters that are not in the vocabulary
    CONTROL = 3  # such as BOS and EOS
    USER_DEFINED = 4  # text that is one token wherever it occurs
    UNUSED = 5
    BYTE = 6  # one byte, such as <0xE9>


@dataclass(frozen=True)
class Piece:
    """A piece (token) of a SentencePiece vocabulary.

    Attributes:
        text: the token's text, in which ▁ stands for a space.
        score: priority of the merges that result in this piece; those with the highest score come
            first.
        type: type of the piece, such as text, byte or control token.
    """

    text: str
    score: float = 0.0
    type: PieceType = PieceType.NORMAL


@dataclass(frozen=True)
class SentencePieceModel:
    """Content of a `tokenizer.model`.

    Attributes:
        pieces: pieces by id.
        add_dummy_prefix: whether encoding puts a space before the text.
    """

    pieces: list[Piece]
    add_dummy_prefix: bool


def parse_sentencepiece(data: bytes) -> SentencePieceModel:
    """Parse the content of a `tokenizer.model`.

    Raises:
        AnexaError: if it is damaged or larger than `MAX_FILE_BYTES`, or is not BPE with byte
            fallback, without normalization and without unused pieces.
    """
    if len(data) > MAX_FILE_BYTES:
        raise AnexaError(f"it has {len(data):,} bytes, more than any tokenizer needs")
    pieces, trainer, normalizer = dict[str, Piece](), dict[int, Field](), dict[int, Field]()
    for number, value in _fields(data):
        if number == 1:
            piece = _piece(value)
            if piece.text in pieces:
                raise AnexaError("it is damaged: two of its pieces are the same")
            pieces[piece.text] = piece
        elif number == 2:
            trainer |= dict(_fields(value))
        elif number == 3:
            normalizer |= dict(_fields(value))
    if trainer.get(3, 1) != 2:
        raise AnexaError("it is not BPE: SentencePiece's other models are not supported")
    if normalizer.get(2):
        raise AnexaError("it normalizes texts by a table of characters: not supported")
    if normalizer.get(4, 1):
        raise AnexaError("it removes extra spaces of texts: not supported")
    if not normalizer.get(5, 1) or trainer.get(24):
        raise AnexaError(
            f"it does not write a space as {SPACE_CHARACTER} before a word: not supported"
        )
    missing = {f"<0x{byte:02X}>" for byte in range(256)} - {
        text for text, piece in pieces.items() if piece.type == PieceType.BYTE
    }
    if missing:
        raise AnexaError("it does not write unknown characters as bytes: not supported")
    return SentencePieceModel([*pieces.values()], bool(normalizer.get(3, 1)))


def sentencepiece_merges(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Return the merges of BPE that join characters to the pieces, the highest score first.

    SentencePiece joins the two neighbors that result in the piece with the highest score, so each
    piece has a merge for every pair of pieces that it can be joined from. Only pieces of type
    NORMAL are merged.
    """
    ids = {piece.text: i for i, piece in enumerate(pieces) if piece.type == PieceType.NORMAL}
    ranked = sorted(ids, key=lambda text: (-pieces[ids[text]].score, ids[text]))
    pairs = ((text[:i], text[i:]) for text in ranked for i in range(1, len(text)))
    return [(left, right) for left, right in pairs if left in ids and right in ids]


def merge_scores(merges: list[tuple[str, str]], vocabulary: set[str]) -> dict[str, float]:
    """Return scores by which SentencePiece joins pieces in the order of the merges.

    The inverse of `sentencepiece_merges`.

    Args:
        merges: merges of BPE, in order.
        vocabulary: pieces that SentencePiece may join.

    Returns:
        The score of each piece that a merge results in: −1, −2, …, in the order of the merges.

    Raises:
        AnexaError: if there are no such scores, as the merges that result in the same piece are not
            consecutive, or two pieces whose concatenation is a piece have no merge.
    """
    order = [text for text, _ in groupby(left + right for left, right in merges)]
    scores = {text: -float(rank) for rank, text in enumerate(order, 1)}
    if len(scores) < len(order):
        raise AnexaError("the merges that give one of its tokens are not in sequence")
    known = {*merges}
    for text in vocabulary:
        for i in range(1, min(len(text), MAX_PIECE_CHARS)):
            pair = text[:i], text[i:]
            if pair not in known and pair[0] in vocabulary and pair[1] in vocabulary:
                raise AnexaError(f"it does not merge {pair[0]!r} and {pair[1]!r} to {text!r}")
    return scores


def _piece(value: Field) -> Piece:
    fields = dict(_fields(value))
    try:
        text = _bytes(fields.get(1, b"")).decode()
        (score,) = struct.unpack("<f", _bytes(fields.get(2, bytes(4))))
        kind = PieceType(_number(fields.get(3, 1)))
    except (ValueError, struct.error) as error:
        raise AnexaError(f"it is damaged: a piece has {short_repr(fields)}") from error
    if not text or len(text) > MAX_PIECE_CHARS or not math.isfinite(score):
        raise AnexaError(f"it is damaged: a piece has {short_repr(fields)}")
    if kind == PieceType.UNUSED:
        raise AnexaError(f"its piece {short_repr(text)} is unused: not supported")
    return Piece(text, score, kind)


def _fields(value: Field) -> Iterator[tuple[int, Field]]:
    """Yield the fields of a message: numbers of type varint as int, all others as bytes.

    Raises:
        AnexaError: if the message is damaged.
    """
    data, at = _bytes(value), 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise AnexaError("it is damaged: it is not a SentencePiece model")
        if at + length > len(data):
            raise AnexaError("it is damaged: it ends in the middle of a field")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer: 7 bits per byte, the lowest first.

    Args:
        data: bytes of the message.
        at: position of the first byte.

    Returns:
        The integer, and the position after it.
    """
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise AnexaError("it is damaged: it ends in the middle of a number")
        byte, at = data[at], at + 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise AnexaError("it is damaged: a number in it has more than 64 bits")


def _bytes(value: Field) -> bytes:
    if isinstance(value, int):
        raise AnexaError("it is damaged: it is not a SentencePiece model")
    return value


def _number(value: Field) -> int:
    if isinstance(value, bytes):
        raise AnexaError("it is damaged: it is not a SentencePiece model")
    return value

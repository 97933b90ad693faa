"""Incremental detokenization: text from token ids that arrive one by one."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Protocol

_Utf8Decoder = getincrementaldecoder("utf-8")

NUM_CONTEXT_IDS = 8  # number of preceding ids that the text of a token may depend on
REPLACEMENT_CHARACTER = "\ufffd"  # character that stands for bytes that are not UTF-8


class Decoder(Protocol):
    """Protocol of what a detokenizer needs of a tokenizer: decoding ids and single tokens."""

    @property
    def byte_ids(self) -> frozenset[int]:
        """Ids that are one byte each, and become text only together with neighboring bytes."""

    def decode(self, ids: Sequence[int]) -> str:
        """Decode token ids to text, without special tokens."""

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes of one token."""


class Detokenizer(Protocol):
    """Incremental detokenizer: turns ids into text as they arrive, and never splits a character.

    The pieces that `add` returns, followed by `flush`, equal `Tokenizer.decode` of all ids.

    Attributes:
        offset: index of the character that the last added id begins in, in the text of all added
            ids.
    """

    offset: int

    def add(self, token: int) -> str:
        """Add the next id; returns the new text that later ids cannot change, maybe ""."""

    def flush(self) -> str:
        """Return the text that was held back, after the last id; "" if there is none.

        An incomplete character becomes U+FFFD.
        """


class ByteDetokenizer:
    """Detokenizer for tokenizers whose text is the concatenated bytes of the token ids.

    Args:
        tokenizer: tokenizer that gives the bytes of each id.

    Attributes:
        offset: index in the text of the character that the last id begins in.
    """

    def __init__(self, tokenizer: Decoder) -> None:
        self._token_bytes, self._utf8 = tokenizer.token_bytes, _Utf8Decoder("replace")
        self._length = self.offset = 0  # _length: number of characters that are complete

    def add(self, token: int) -> str:
        """Add the next id; returns the characters that it completes, maybe ""."""
        data = self._token_bytes(token)
        self.offset = self._length + _count_ended(self._utf8.getstate()[0], data)
        piece = self._utf8.decode(data)
        self._length += len(piece)
        return piece

    def flush(self) -> str:
        """Return U+FFFD for an incomplete character at the end; "" if there is none."""
        return self._utf8.decode(b"", final=True)


class WindowDetokenizer:
    """Detokenizer for any tokenizer: decodes new ids together with the ids before them.

    `tokenizers` has a `DecodeStream` for this, but it fails on Llama 2's byte tokens: consecutive
    byte tokens are text only if all of their bytes together are valid UTF-8.

    Args:
        tokenizer: tokenizer that decodes.
        context_ids: ids that precede the first id to decode. They can change its text: Llama's
            tokenizer drops the space before the first word of a text.

    Attributes:
        offset: index in the text of the character that the last id begins in.
    """

    def __init__(self, tokenizer: Decoder, context_ids: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = [*context_ids[-NUM_CONTEXT_IDS:]]
        self._start, self._num_returned = 0, len(self._ids)
        context = tokenizer.decode(self._ids)
        # A character at the end of the context may continue in the new ids.
        if not context or context.endswith(REPLACEMENT_CHARACTER):
            self._ids, self._num_returned = [], 0
        self._length = self.offset = 0  # _length: number of characters that are certain
        self._held = b""  # bytes of the ids that are not certain

    def add(self, token: int) -> str:
        """Add the next id; returns the new text that later ids cannot change, maybe ""."""
        data = self._tokenizer.token_bytes(token)
        self.offset = self._length + _count_ended(self._held, data)
        piece = self._add(token)
        self._length += len(piece)
        self._held = b"" if piece else self._held + data
        if piece and data:
            self.offset = max(0, self._length - _count_begun(data))
        return piece

    def _add(self, token: int) -> str:
        self._ids.append(token)
        if token in self._tokenizer.byte_ids or not self._tokenizer.decode([token]):
            return ""  # a sequence of byte tokens continues
        piece = self._pending()
        if not piece or piece.endswith(REPLACEMENT_CHARACTER):
            return ""
        if self._tokenizer.decode(self._ids[self._num_returned :]):
            self._start = self._num_returned
        self._num_returned = len(self._ids)
        return piece

    def flush(self) -> str:
        """Return the text that was held back; "" if there is none."""
        return self._pending()

    def _pending(self) -> str:
        context = self._tokenizer.decode(self._ids[self._start : self._num_returned])
        return self._tokenizer.decode(self._ids[self._start :])[len(context) :]


def _count_ended(pending: bytes, data: bytes) -> int:
    """Count the characters that end in `pending`, with the first byte of `data` after it."""
    utf8 = _Utf8Decoder("replace")
    text = utf8.decode(pending + data[:1])
    return len(text) - (bool(data) and not utf8.getstate()[0])


def _count_begun(data: bytes) -> int:
    """Count the characters that have a byte in `data`; all but the first begin there."""
    return sum(byte & 0xC0 != 0x80 for byte in data) + (data[0] & 0xC0 == 0x80)

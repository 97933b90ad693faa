"""Incremental detokenization: text from token ids that arrive one by one."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Protocol

_Utf8Decoder = getincrementaldecoder("utf-8")

CONTEXT = 8  # ids before a token that its text may depend on
REPLACEMENT = "\ufffd"  # character that stands for bytes that are not UTF-8


class Decoder(Protocol):
    """The part of a tokenizer that detokenization needs."""

    @property
    def byte_ids(self) -> frozenset[int]:
        """Ids that are one byte each, and become text only together with neighboring bytes."""

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids to text."""

    def token_bytes(self, token: int) -> bytes:
        """Give the UTF-8 bytes of one token."""


class Detokenizer(Protocol):
    """Turns ids into text as they arrive, and never splits a character.

    The pieces that `add` returns, followed by `flush`, equal `Tokenizer.decode` of all ids.
    """

    def add(self, token: int) -> str:
        """Take the next id and return the text that is now certain, which may be empty."""

    def flush(self) -> str:
        """Return the text of the bytes that are left: incomplete characters as U+FFFD."""


class ByteDetokenizer:
    """Detokenizer for tokenizers whose text is the concatenated bytes of the token ids."""

    def __init__(self, tokenizer: Decoder) -> None:
        self._token_bytes, self._utf8 = tokenizer.token_bytes, _Utf8Decoder("replace")

    def add(self, token: int) -> str:
        """Take the next id and return the characters that it completes."""
        return self._utf8.decode(self._token_bytes(token))

    def flush(self) -> str:
        """Return the text of an incomplete character."""
        return self._utf8.decode(b"", final=True)


class WindowDetokenizer:
    """Detokenizer for any tokenizer: each step decodes a few ids together with those before.

    `tokenizers` has a `DecodeStream` that does the same, but fails on Llama 2's byte tokens: a row
    of byte tokens is text only if all of its bytes are valid UTF-8.

    Args:
        tokenizer: tokenizer that decodes.
        context_ids: ids in front of the first one to decode. Llama's tokenizer drops the space of
            the first word of a text, so the ids before a token change its text.
    """

    def __init__(self, tokenizer: Decoder, context_ids: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = [*context_ids[-CONTEXT:]]
        self._start, self._num_returned = 0, len(self._ids)
        context = tokenizer.decode(self._ids)
        if not context or context.endswith(REPLACEMENT):  # a character continues in the new ids
            self._ids, self._num_returned = [], 0

    def add(self, token: int) -> str:
        """Take the next id and return the text that no later id can change."""
        self._ids.append(token)
        if token in self._tokenizer.byte_ids or not self._tokenizer.decode([token]):
            return ""  # a sequence of byte tokens continues
        piece = self._pending()
        if not piece or piece.endswith(REPLACEMENT):
            return ""
        if self._tokenizer.decode(self._ids[self._num_returned :]):
            self._start = self._num_returned
        self._num_returned = len(self._ids)
        return piece

    def flush(self) -> str:
        """Return the text that was held back."""
        return self._pending()

    def _pending(self) -> str:
        context = self._tokenizer.decode(self._ids[self._start : self._num_returned])
        return self._tokenizer.decode(self._ids[self._start :])[len(context) :]

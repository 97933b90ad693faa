"""Text from ids that come one by one."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Protocol

_Utf8 = getincrementaldecoder("utf-8")

CONTEXT = 8  # ids before the first that its text may depend on
NO_CHARACTER = "\ufffd"  # how bytes that are none are shown


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def byte_ids(self) -> frozenset[int]:
        """The ids that are each a byte, and text only together with those beside them."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""

    def bytes_of(self, token: int) -> bytes:
        """What an id stands for."""


class Detokenizer(Protocol):
    """The text of ids as they come, in pieces that never cut a character in two.

    The pieces together, with the rest, are `Tokenizer.decode` of all ids.
    """

    def take(self, token: int) -> str:
        """What one more id makes certain; it may be nothing."""

    def rest(self) -> str:
        """What never became a character, as `decode` shows it."""


class ByteDetokenizer:
    """Detokenizer for tokenizers whose text is the concatenated bytes of the token ids."""

    def __init__(self, tokenizer: Decoder) -> None:
        self._bytes_of, self._utf8 = tokenizer.bytes_of, _Utf8("replace")

    def take(self, token: int) -> str:
        """See `Detokenizer`."""
        return self._utf8.decode(self._bytes_of(token))

    def rest(self) -> str:
        """What is left."""
        return self._utf8.decode(b"", final=True)


class WindowDetokenizer:
    """Detokenizer for any tokenizer: each step decodes a few ids together with those before.

    `tokenizers` has a `DecodeStream` that does so, and that gives up on Llama 2's bytes: a row of
    them, each a token, is text only if all of it is.

    Args:
        tokenizer: what decodes.
        after: ids that stand before the first. Llama's begins a text without the space that its
            first word has, so these make a difference.
    """

    def __init__(self, tokenizer: Decoder, after: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = [*after[-CONTEXT:]]
        self._start, self._shown = 0, len(self._ids)
        before = tokenizer.decode(self._ids)
        if not before or before.endswith(NO_CHARACTER):  # of a character that goes on in the ids
            self._ids, self._shown = [], 0

    def take(self, token: int) -> str:
        """See `Detokenizer`."""
        self._ids.append(token)
        if token in self._tokenizer.byte_ids or not self._tokenizer.decode([token]):
            return ""  # which does not end a row of bytes
        piece = self._unshown()
        if not piece or piece.endswith(NO_CHARACTER):
            return ""
        if self._tokenizer.decode(self._ids[self._shown :]):
            self._start = self._shown
        self._shown = len(self._ids)
        return piece

    def rest(self) -> str:
        """What is left."""
        return self._unshown()

    def _unshown(self) -> str:
        before = self._tokenizer.decode(self._ids[self._start : self._shown])
        return self._tokenizer.decode(self._ids[self._start :])[len(before) :]

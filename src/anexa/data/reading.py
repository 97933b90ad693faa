"""Streaming reader of corpora: decodes bytes, and splits text into documents or pieces."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from anexa.data.registry import Layout
from anexa.errors import AnexaError
from anexa.formats import recognize_bytes

CHUNK_SIZE = 2**20  # bytes that are read at once
MAX_TEXT_PIECE_CHARS = 2**16  # characters of a piece of running text


Source = Callable[[], Iterator[str]]
"""Function that yields a text from its start: in chunks of any length, or, for the layout
"documents", a whole document at a time."""


class Reader(Protocol):
    """Protocol of a binary file that `decode_chunks` can read."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; the result is empty at the end of the file."""


class BinaryContent(AnexaError):
    """Error about a file that is not text, in any encoding."""


class InvalidEncoding(AnexaError):
    """Error about a text with bytes that its encoding does not have.

    Args:
        message: sentence for the user.
        offset: offset of the first invalid byte in the file, in bytes from 0.

    Attributes:
        offset: offset of the first invalid byte in the file.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def decode_chunks(file: Reader, where: str, codec: str = "utf-8") -> Iterator[str]:
    """Decode a text file chunk by chunk, with line ends as "\\n" and without a byte order mark.

    Args:
        file: binary file, opened for reading.
        where: name of the file, for error messages.
        codec: name of Python's codec for its encoding, such as "utf-16-le".

    Yields:
        The text, in pieces of any length; some may be empty.

    Raises:
        BinaryContent: if the file begins like one of another format, such as a PDF, or has a NUL
            byte (in UTF-16 and UTF-32: a NUL character).
        InvalidEncoding: if it has bytes that the encoding does not have.
    """
    is_wide = codec.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(codec)()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    offset, at_start, data = 0, True, b"more"
    while data:
        data = file.read(CHUNK_SIZE)
        clause = recognize_bytes(data) if at_start else None
        if clause is not None:
            raise BinaryContent(f"{where} is not a text file: {clause}")
        if b"\0" in data and not is_wide:
            raise BinaryContent(
                f"{where} is not a text file: it has a NUL byte at offset "
                f"{offset + data.index(0)}; save it as UTF-8 text"
            )
        begun = len(decoder.getstate()[0])  # bytes of a character that the last chunk cut off
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            bad = offset - begun + error.start
            name = codec.upper().removesuffix("-LE").removesuffix("-BE")
            raise InvalidEncoding(
                f"{where} is not {name} text: the byte at offset {bad} is invalid; save the file "
                "as UTF-8",
                bad,
            ) from error
        if is_wide and "\0" in text:
            raise BinaryContent(f"{where} is not a text file: it has a NUL character")
        offset += len(data)
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield line_ends.decode(text, final=not data)


def split_documents(chunks: Iterable[str], layout: Layout) -> Iterator[list[str]]:
    """Split a text into documents or pieces, and yield them in lists.

    With the layout "lines", each line that is not blank is a document, stripped of white space at
    both ends. With "text", the pieces have at most `MAX_TEXT_PIECE_CHARS` characters, and their
    concatenation is the text; a piece ends after a line if possible, else before a space, else
    anywhere. The chunk boundaries do not change the pieces. With "documents", each chunk that is
    not blank is a document, unchanged.

    Args:
        chunks: the text in chunks of any length; with "documents", a chunk for each document.
        layout: layout of the corpus.

    Yields:
        Lists of documents or pieces: one list for a chunk, or with "documents" for about
        `CHUNK_SIZE` characters.
    """
    if layout == "documents":
        yield from _grouped(chunks)
        return
    rest = ""
    for chunk in chunks:
        pieces, rest = _pieces(rest + chunk, layout)
        if pieces:
            yield pieces
    if rest and (layout == "text" or rest.strip()):
        yield [rest if layout == "text" else rest.strip()]


def split_text(text: str) -> list[str]:
    """Split a text into pieces of at most `MAX_TEXT_PIECE_CHARS` characters; [""] if it is empty.

    The concatenation of the pieces is `text`.
    """
    pieces, rest = _pieces(text, "text")
    return [*pieces, rest]


def _grouped(documents: Iterable[str]) -> Iterator[list[str]]:
    """Yield the documents that are not blank in lists of about `CHUNK_SIZE` characters each."""
    group, size = [], 0
    for document in documents:
        if not document or document.isspace():
            continue
        group.append(document)
        size += len(document)
        if size >= CHUNK_SIZE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _pieces(text: str, layout: Layout) -> tuple[list[str], str]:
    """Split off all complete documents or pieces of a text.

    Returns:
        The documents or pieces, and the incomplete rest of the text.
    """
    if layout == "lines":
        *lines, rest = text.split("\n")
        return [stripped for line in lines if (stripped := line.strip())], rest
    pieces, start = [], 0
    while len(text) - start > MAX_TEXT_PIECE_CHARS:
        end = start + MAX_TEXT_PIECE_CHARS
        cut = text.rfind("\n", start, end) + 1
        if not cut:
            # A byte-level BPE tokenizer joins a space with the word after it.
            space = text.rfind(" ", start + 1, end)
            cut = end if space < 0 else space
        pieces.append(text[start:cut])
        start = cut
    return pieces, text[start:]

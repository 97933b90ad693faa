"""Text as a stream: from bytes to characters, and from those to pieces, some at a time."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from anexa.data.registry import Layout
from anexa.errors import AnexaError

CHUNK = 2**20  # bytes that are read at once
PIECE = 2**16  # characters of running text, at most: many for one encoder, few for the memory


def decoded(file: BinaryIO, where: str) -> Iterator[str]:
    """Plain text from bytes, cut anywhere: UTF-8, "\\n" for line ends, no byte order mark.

    Raises `AnexaError`, naming the byte by its offset, if it is no such text.
    """
    utf_8 = codecs.getincrementaldecoder("utf-8")()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    offset, at_start, data = 0, True, b"more"
    while data:
        data = file.read(CHUNK)
        if b"\0" in data:
            raise AnexaError(
                f"{where} is not a text file, it has a NUL byte at offset "
                f"{offset + data.index(0)}: save it as UTF-8 text"
            )
        begun = len(utf_8.getstate()[0])  # bytes of a character that the last chunk cut in two
        try:
            text = utf_8.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise AnexaError(
                f"{where} is not UTF-8 text, see the byte at offset "
                f"{offset - begun + error.start}: save it with the encoding UTF-8"
            ) from error
        offset += len(data)
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield line_ends.decode(text, final=not data)


def grouped(chunks: Iterable[str], layout: Layout) -> Iterator[list[str]]:
    """What a text is made of, some at a time: about as many characters as a chunk has.

    With "lines" these are the documents: each line stripped, without empty ones. With "text"
    they are pieces that join to the whole. These end where a line does; if there is no such
    place, before a space; else anywhere. How the text comes in chunks makes no difference to
    them, only to how many come at a time.
    """
    rest = ""
    for chunk in chunks:
        pieces, rest = _pieces(rest + chunk, layout)
        if pieces:
            yield pieces
    if rest and (layout == "text" or rest.strip()):
        yield [rest if layout == "text" else rest.strip()]


def _pieces(text: str, layout: Layout) -> tuple[list[str], str]:
    """The pieces that are whole, and the rest."""
    if layout == "lines":
        *lines, rest = text.split("\n")
        return [stripped for line in lines if (stripped := line.strip())], rest
    pieces, start = [], 0
    while len(text) - start > PIECE:
        end = start + PIECE
        cut = text.rfind("\n", start, end) + 1
        if not cut:
            # A tokenizer of words takes a space and the word behind it as one.
            space = text.rfind(" ", start + 1, end)
            cut = end if space < 0 else space
        pieces.append(text[start:cut])
        start = cut
    return pieces, text[start:]

"""Text of an entry, decoded: in chunks, or as one document."""

from __future__ import annotations

import io
from collections.abc import Generator

from anexa.data.reading import CHUNK_SIZE, InvalidEncoding, Reader, decode_chunks
from anexa.data.sources.encodings import (
    LABELS,
    SNIFFED_BYTES,
    is_western,
    sniff_encoding,
    unknown_encoding_message,
)
from anexa.data.sources.entries import Entry
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError

MAX_DOCUMENT_BYTES = 2**27  # maximum size of a document, which is in memory as a whole


def find_codec(entry: Entry) -> str:
    """Find the codec of a text's encoding, by its first bytes, or else by reading it once.

    Returns:
        The name of Python's codec: "utf-8", "cp1252", or UTF-16 or UTF-32 with a byte order, such
        as "utf-16-le".

    Raises:
        AnexaError: if it is not text, or its encoding is in doubt.
    """
    with entry.open() as file:
        head = read_fully(file, SNIFFED_BYTES)
    codec = sniff_encoding(head)
    if codec is not None:
        return codec
    try:
        with entry.open() as file:
            for _ in decode_chunks(file, entry.where):
                pass
    except InvalidEncoding as error:
        with entry.open() as file:
            if is_western(iter(lambda: file.read(CHUNK_SIZE), b"")):
                return "cp1252"
        raise AnexaError(unknown_encoding_message(entry.where, error.offset)) from error
    return "utf-8"


def text_chunks(entry: Entry, codec: str) -> Generator[str, None, None]:
    r"""Yield the text of an entry in chunks, with line ends as "\n".

    Args:
        entry: file with the text.
        codec: name of the codec of its encoding.

    Raises:
        BinaryContent: if the file is of another format, or has a NUL byte or character.
        InvalidEncoding: if it has bytes that the encoding does not have.
    """
    with entry.open() as file:
        yield from decode_chunks(file, entry.where, codec)


def read_document(entry: Entry, tally: Tally) -> str:
    """Read the whole text of an entry, which is one document.

    Args:
        entry: file with the text.
        tally: counter of the encodings other than UTF-8.

    Raises:
        AnexaError: if the content is not text, its encoding is in doubt, or it has more than
            `MAX_DOCUMENT_BYTES`.
    """
    with entry.open() as file:
        data = read_fully(file, MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise AnexaError(
            f"{entry.where} has more than {MAX_DOCUMENT_BYTES // 2**20} MiB, too much for one of "
            "many documents: train on this file alone, or split it"
        )
    return decode_document(data, entry.where, tally)


def decode_document(data: bytes, where: str, tally: Tally) -> str:
    """Decode the bytes of a document, and count its encoding.

    Args:
        data: content of the file.
        where: name of the file, for error messages.
        tally: counter of the encodings other than UTF-8.

    Raises:
        AnexaError: if it is not text, or its encoding is in doubt.
    """
    codec = sniff_encoding(data[:SNIFFED_BYTES]) or "utf-8"
    try:
        text = "".join(decode_chunks(io.BytesIO(data), where, codec))
    except InvalidEncoding as error:
        if codec != "utf-8":
            raise
        if not is_western([data]):
            raise AnexaError(unknown_encoding_message(where, error.offset)) from error
        codec = "cp1252"
        text = "".join(decode_chunks(io.BytesIO(data), where, codec))
    if codec in LABELS:
        tally.count_encoding(LABELS[codec])
    return text


def read_fully(file: Reader, size: int) -> bytes:
    """Read `size` bytes from a file, fewer only at its end."""
    parts, left = [], size
    while left > 0 and (data := file.read(min(left, CHUNK_SIZE))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)

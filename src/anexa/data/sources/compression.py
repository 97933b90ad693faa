"""Compressed files: gzip, bzip2, xz and Zstandard, with a bound on what they unpack to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from anexa.data.reading import Reader
from anexa.data.sources.entries import Entry, split_name
from anexa.data.sources.packages import require_pyarrow
from anexa.errors import AnexaError, short_repr

MAX_RATIO = 200  # texts shrink by a factor of 3 to 20, and repetitive tables by up to 100
ALLOWED = 2**26  # bytes that may be unpacked at any ratio


class CountingReader:
    """Reader of packed bytes that counts them; decompressors take it for a file.

    Args:
        stream: the packed bytes.

    Attributes:
        count: number of bytes that were read.
        closed: whether a decompressor has closed the reader; the file stays open.
    """

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self.count = 0
        self.closed = False

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes."""
        data = self._stream.read(size)
        self.count += len(data)
        return data

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Leave the file open: whoever opened it closes it."""
        self.closed = True


class UnpackedReader:
    """Reader of unpacked bytes that refuses more than `MAX_RATIO` times the packed ones.

    Args:
        stream: the unpacked bytes.
        packed: reader of the packed bytes, from which `stream` reads.
        where: name for messages.
    """

    def __init__(self, stream: Reader, packed: CountingReader, where: str) -> None:
        self._stream, self._packed, self._where = stream, packed, where
        self._count = 0

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; the result is empty at the end.

        Raises:
            AnexaError: if the bytes are damaged, incomplete or suspiciously many.
        """
        with unpacking_errors(self._where):
            data = self._stream.read(size)
        self._count += len(data)
        check_ratio(self._count, self._packed.count, self._where)
        return data


def check_ratio(unpacked: int, packed: int, where: str) -> None:
    """Refuse data that unpacks to much more than texts do.

    Args:
        unpacked: number of unpacked bytes.
        packed: number of packed bytes.
        where: name for messages.

    Raises:
        AnexaError: if `unpacked` is above `ALLOWED` and `MAX_RATIO` times `packed`.
    """
    if unpacked > max(ALLOWED, MAX_RATIO * packed):
        raise AnexaError(
            f"{where} unpacks to more than {MAX_RATIO} times its size, as no text does: unpack it "
            "with another program if you trust it, and give the folder"
        )


@contextmanager
def unpacking_errors(where: str) -> Iterator[None]:
    """Turn the errors of damaged compressed data into one sentence."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        reason = short_repr(error).rstrip(".") or "it ends too early"
        raise AnexaError(
            f"{where} is damaged or incomplete ({reason}): get the file again"
        ) from error


def unpacked(entry: Entry) -> Entry:
    """Return the entry of the content of a compressed file; another entry as it is."""
    compression = entry.compression
    if not compression:
        return entry

    @contextmanager
    def opened() -> Iterator[Reader]:
        with entry.open() as file:
            packed = CountingReader(file)
            with unpacking_errors(entry.where):
                stream = _decompressor(compression, packed, entry.where)
            yield UnpackedReader(stream, packed, entry.where)

    return replace(entry, path="".join(split_name(entry.path)[:2]), open=opened)


def _decompressor(compression: str, packed: Any, where: str) -> Reader:
    """Return the reader of the unpacked bytes of a file; `packed` is a `CountingReader`."""
    if compression == ".gz":
        return gzip.GzipFile(fileobj=packed, mode="rb")
    if compression == ".bz2":
        return bz2.BZ2File(packed)
    if compression == ".xz":
        return lzma.LZMAFile(packed)
    pyarrow = require_pyarrow(where)
    # Unlike the readers of other packages, it reads all frames, and refuses a file that was cut.
    stream: Reader = pyarrow.CompressedInputStream(pyarrow.PythonFile(packed, mode="r"), "zstd")
    return stream

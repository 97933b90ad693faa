"""Decompression of gzip, bzip2, xz and Zstandard files, with a limit on the unpacked size.

The limit protects against decompression bombs: small files that unpack to a huge number of bytes.
"""

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

# Largest ratio of unpacked to packed bytes; texts have 3 to 20, and repetitive tables up to 100.
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 2**26  # number of unpacked bytes below which any ratio is accepted


class CountingReader:
    """File-like reader of a compressed file, for a decompressor; it counts the bytes it has read.

    Args:
        stream: the compressed file.

    Attributes:
        count: number of compressed bytes that were read so far.
        closed: whether the decompressor has called `close`, which leaves `stream` open.
    """

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self.count = 0
        self.closed = False

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` compressed bytes, all if it is negative; empty at the end."""
        data = self._stream.read(size)
        self.count += len(data)
        return data

    def readable(self) -> bool:
        """Return True: the decompressor may read."""
        return True

    def seekable(self) -> bool:
        """Return False: a compressed file is read once, from its start to its end."""
        return False

    def close(self) -> None:
        """Set `closed`, but leave `stream` open: whoever opened the file closes it."""
        self.closed = True


class UnpackedReader:
    """Reader of the decompressed content of a file, which `check_ratio` limits while it is read.

    Args:
        stream: decompressor, whose `read` returns unpacked bytes.
        packed: reader of the compressed file, from which `stream` reads.
        where: name of the file, for error messages.
    """

    def __init__(self, stream: Reader, packed: CountingReader, where: str) -> None:
        self._stream, self._packed, self._where = stream, packed, where
        self._count = 0

    def read(self, size: int, /) -> bytes:
        """Read at most `size` unpacked bytes; the result is empty at the end of the content.

        Raises:
            AnexaError: if the file is damaged or incomplete, or unpacks to more bytes than
                `check_ratio` accepts.
        """
        with unpacking_errors(self._where):
            data = self._stream.read(size)
        self._count += len(data)
        check_ratio(self._count, self._packed.count, self._where)
        return data


def check_ratio(unpacked: int, packed: int, where: str) -> None:
    """Check that a file does not unpack to suspiciously many bytes.

    Args:
        unpacked: number of unpacked bytes so far.
        packed: number of compressed bytes they come from.
        where: name of the file, for the error message.

    Raises:
        AnexaError: if `unpacked` is above `ALWAYS_ALLOWED_BYTES` and `MAX_RATIO` times `packed`.
    """
    if unpacked > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed):
        raise AnexaError(
            f"{where} unpacks to more than {MAX_RATIO} times its size, as no text does: unpack it "
            "with another program if you trust it, and give the folder"
        )


@contextmanager
def unpacking_errors(where: str) -> Iterator[None]:
    """Context manager that converts the exceptions of decompressors to AnexaError.

    Args:
        where: name of the file, for the error message.

    Raises:
        AnexaError: if the code in the context raises an exception about damaged data.
    """
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        reason = short_repr(error).rstrip(".") or "it ends too early"
        raise AnexaError(
            f"{where} is damaged or incomplete ({reason}): get the file again"
        ) from error


def decompressed(entry: Entry) -> Entry:
    """Return an entry whose `open` decompresses the file: notes.txt for notes.txt.gz.

    Its path lacks the ending of the compression. An entry that is not compressed is returned
    unchanged. `open` raises an AnexaError if the file is damaged, or a package that it needs is not
    installed.
    """
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
    """Return a decompressor, which reads from a compressed file.

    Args:
        compression: ending of the compressed file, one of `COMPRESSION_ENDINGS`.
        packed: the compressed file, as a `CountingReader`.
        where: name of the file, for the error message if `pyarrow` is missing.
    """
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

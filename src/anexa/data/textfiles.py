"""Texts from files, pipes and standard input, as sources that can be read repeatedly."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from anexa.data.reading import Source, decode_chunks
from anexa.data.registry import CORPORA
from anexa.data.sources.compression import decompressed
from anexa.data.sources.encodings import LABELS
from anexa.data.sources.entries import Entry
from anexa.data.sources.texts import find_codec, text_chunks
from anexa.errors import AnexaError
from anexa.formats import recognize
from anexa.names import quoted
from anexa.process import announce_if_slow

MAX_PIPED_BYTES = 2**30  # bytes of a text that can be read only once, and is kept in memory


def read_stdin(name: str) -> Source:
    """Read standard input into memory, as UTF-8.

    Args:
        name: name of the corpus, for messages.

    Returns:
        Function that yields the text in chunks, from the start at each call.

    Raises:
        AnexaError: if it is closed, has more than `MAX_PIPED_BYTES` bytes, or is not UTF-8 text.
    """
    if sys.stdin is None:  # closed by the parent process
        raise AnexaError("standard input is closed: pipe a text into it, or give a file")
    with file_errors(name):
        return _piped(sys.stdin.buffer, name)


def memory_source(data: bytes, where: str) -> Source:
    """Return a source (a function that yields the text in chunks) of a text in memory.

    The source raises the errors of `decode_chunks`.

    Args:
        data: content, as bytes of UTF-8.
        where: name of the text, for error messages.
    """
    return lambda: decode_chunks(io.BytesIO(data), where)


def _piped(file: BinaryIO, where: str) -> Source:
    """Read a text that can be read only once, from a pipe, terminal or device, into memory.

    Returns:
        Function that yields the text in chunks, from the start at each call.

    Raises:
        AnexaError: if the input is not text, as soon as a byte shows it, or is too long.
    """
    recorder = _Recorder(file, where)
    for _ in decode_chunks(recorder, where):
        pass
    return memory_source(recorder.data.getvalue(), where)


class _Recorder:
    """Reader that keeps a copy of all bytes that it reads."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self.data = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        begun = self.data.tell()
        with nullcontext() if begun else announce_if_slow(f"waiting for the text of {self._where}"):
            data = self._file.read(size if begun else 1)
        self.data.write(data)
        if begun > MAX_PIPED_BYTES:
            raise AnexaError(
                f"{self._where} does not end within {MAX_PIPED_BYTES // 2**20:,} MiB: write the "
                "text to a file, and give its path"
            )
        return data


def open_text_file(spec: str) -> tuple[Source, tuple[str, ...]]:
    """Open a text file as a source: a function that yields the text in chunks at each call.

    A compressed file is unpacked as it is read. A pipe or device is read into memory at once, as
    UTF-8, up to `MAX_PIPED_BYTES` bytes.

    Args:
        spec: path of the file.

    Returns:
        The source, and notes for the user: one if the encoding is not UTF-8, else none.

    Raises:
        AnexaError: if the file does not exist, cannot be read, is damaged, is not text or in an
            unknown encoding, or needs a package that is not installed. The source raises it too,
            and the errors of `text_chunks`.
    """
    path = Path(spec)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with file_errors(spec), path.open("rb") as file:
            yield file

    with file_errors(spec):
        if not spec:
            raise _not_found(spec)
        if not path.is_file():
            with announce_if_slow(f"waiting for a program that writes to {spec}"):
                file = path.open("rb")
            with file:
                return _piped(file, spec), ()
    content = decompressed(Entry(path.name, spec, opened))
    codec = find_codec(content)
    notes = (f"read as {LABELS[codec]}",) if codec in LABELS else ()
    return lambda: text_chunks(content, codec), notes


@contextmanager
def file_errors(spec: str) -> Iterator[None]:
    """Context manager that turns an error of the operating system about a file into AnexaError.

    Args:
        spec: path from the user, for the error message.

    Raises:
        AnexaError: if an `OSError` occurs in the body of the `with` statement, or a `ValueError`,
            which means that `spec` is not a path.
    """
    try:
        yield
    except (FileNotFoundError, ValueError) as error:  # ValueError: not a path, such as "\0"
        raise _not_found(spec) from error
    except OSError as error:
        raise AnexaError(
            f"cannot read {spec}: {error.strerror or error}; check the file's permissions"
        ) from error


def _not_found(spec: str) -> AnexaError:
    clause = recognize(spec, "--repo-type dataset ")
    if clause is not None:
        return AnexaError(f"{spec} is not a text file: {clause}")
    close = difflib.get_close_matches(Path(spec).stem.lower(), CORPORA, n=1)
    suggestion = f", perhaps you meant {close[0]}" if close else ""
    return AnexaError(
        f"there is no corpus and no file named {quoted(spec)}{suggestion}: give the path of a file "
        f"or folder, or one of {', '.join(CORPORA)}"
    )

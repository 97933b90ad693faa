"""Entries: files on the disk and members of archives, with a name and a way to open them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from anexa.data.reading import CHUNK_SIZE, Reader
from anexa.errors import AnexaError

MAX_SPOOLED_BYTES = 2**24  # bytes of the largest temporary copy that stays in memory

Kind = Literal["text", "jsonl", "csv", "parquet", "archive"]
"""Format of a file; "csv" also stands for `.tsv`."""

# File name endings, in lower case. Those of compression come last, after the ending of the content:
# notes.txt.gz.
COMPRESSION_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
ARCHIVE_ENDINGS = (".zip", ".tar")
# By default, the files with these endings are read from a folder: prose, then source code.
PROSE_ENDINGS = (".adoc", ".markdown", ".md", ".org", ".rst", ".tex", ".text", ".txt")
SOURCE_CODE_ENDINGS = tuple(
    f".{ending}"
    for ending in (
        "asm bas bash c cc clj cpp cs css cxx d dart el erl ex exs f f90 fs go h hpp hs java jl js "
        "jsx kt lisp lua m mjs ml nim pas php pl pm proto ps1 py pyi r rb rs s scala scm sh sql "
        "swift tcl ts tsx v vim zig zsh"
    ).split()
)
# Formats of files in which each row has a document, by ending.
ROW_FORMATS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Entry:
    """File on the disk or member of an archive, which can be opened for reading.

    Attributes:
        path: path inside the folder or archive, with "/" between its parts; the file name, if the
            corpus is a single file.
        where: name of the file in messages, such as "notes/a.md" or "notes.zip: a.md".
        open: function that opens the file for reading bytes from its start, as a context manager.
    """

    path: str
    where: str
    open: Callable[[], AbstractContextManager[Reader]]

    @property
    def compression(self) -> str:
        """Compression of the file, one of `COMPRESSION_ENDINGS`; "" if there is none."""
        return split_name(self.path)[2]

    @property
    def ending(self) -> str:
        """File name ending of the uncompressed content, in lower case: ".txt" for notes.txt.gz."""
        return name_ending(self.path)

    @property
    def kind(self) -> Kind:
        """Format of the uncompressed content, by `ending`; "text" for all unknown endings."""
        return name_kind(self.path)


def split_name(name: str) -> tuple[str, str, str]:
    """Split a file name such as notes.txt.gz into notes, .txt and .gz.

    Returns:
        The stem; the ending of the uncompressed content, and that of the compression, one of
        `COMPRESSION_ENDINGS`. Endings are in lower case, with their dots; "" if there is none.
        `.tgz` is split into .tar and .gz.
    """
    stem, ending = _cut_ending(name)
    if ending == ".tgz":
        return stem, ".tar", ".gz"
    if ending not in COMPRESSION_ENDINGS:
        return stem, ending, ""
    stem, inner = _cut_ending(stem)
    return stem, inner, ending


def _cut_ending(name: str) -> tuple[str, str]:
    """Split a file name before its last dot; the second part is "" for names such as .bashrc."""
    stem, dot, ending = name.rpartition(".")
    if not dot or not ending or "/" in ending or not stem.rpartition("/")[2].strip("."):
        return name, ""
    return stem, f".{ending.lower()}"


def name_ending(name: str) -> str:
    """Return the file name ending of the uncompressed content: ".txt" for Notes.TXT.gz."""
    return split_name(name)[1]


def name_kind(name: str) -> Kind:
    """Return the format of a file's uncompressed content, by its name; "text" if unknown."""
    ending = name_ending(name)
    return "archive" if ending in ARCHIVE_ENDINGS else ROW_FORMATS.get(ending, "text")


def file_entry(path: Path, relative: str | None = None, where: str | None = None) -> Entry:
    """Create the entry of a file on the disk.

    Args:
        path: path of the file, which is not opened yet.
        relative: path of the file inside the folder that is read; default: its name.
        where: name of the file in messages; default: `path`.

    Returns:
        The entry, whose `open` raises an AnexaError if the file cannot be read.
    """
    where = where or str(path)

    @contextmanager
    def opened() -> Iterator[Reader]:
        try:
            with path.open("rb") as file:
                yield file
        except OSError as error:
            raise AnexaError(f"cannot read {where}: {error.strerror or error}") from error

    return Entry(relative or path.name, where, opened)


@contextmanager
def seekable(stream: Reader) -> Iterator[IO[bytes]]:
    """Open a stream for reading at any position, as a context manager.

    Yields:
        The stream itself if it is a file on the disk; otherwise a temporary copy of its content,
        in memory up to `MAX_SPOOLED_BYTES` bytes and else on the disk.
    """
    if isinstance(stream, io.BufferedReader):
        yield stream
        return
    with tempfile.SpooledTemporaryFile(MAX_SPOOLED_BYTES) as file:
        while data := stream.read(CHUNK_SIZE):
            file.write(data)
        file.seek(0)
        yield file

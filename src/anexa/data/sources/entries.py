"""Entries: the files of a folder or the members of an archive, as named streams of bytes."""

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

SPOOLED = 2**24  # bytes of a temporary copy that stay in memory

Kind = Literal["text", "jsonl", "csv", "parquet", "archive"]

# Endings of compressed files; what is compressed has the ending before it, as in notes.txt.gz.
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".zip", ".tar")
# Endings of the files that are read from a folder: prose, then source code.
PROSE = (".adoc", ".markdown", ".md", ".org", ".rst", ".tex", ".text", ".txt")
SOURCE_CODE = tuple(
    f".{ending}"
    for ending in (
        "asm bas bash c cc clj cpp cs css cxx d dart el erl ex exs f f90 fs go h hpp hs java jl js "
        "jsx kt lisp lua m mjs ml nim pas php pl pm proto ps1 py pyi r rb rs s scala scm sh sql "
        "swift tcl ts tsx v vim zig zsh"
    ).split()
)
RECORDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Entry:
    """A file, or a member of an archive.

    Attributes:
        path: path inside the folder or archive, with "/" between its parts; of a file that is given
            by itself, its name.
        where: name for messages, such as "notes/a.md" or "notes.zip: a.md".
        open: context manager of its stream of bytes, from the start.
    """

    path: str
    where: str
    open: Callable[[], AbstractContextManager[Reader]]

    @property
    def compression(self) -> str:
        """Ending of a compressed file, one of `COMPRESSED`; "" for another one."""
        return split_name(self.path)[2]

    @property
    def ending(self) -> str:
        """Ending of the name in lower case, without that of a compressed file."""
        return name_ending(self.path)

    @property
    def kind(self) -> Kind:
        """Format of the content by the ending of the name; "text" if it is no other."""
        return name_kind(self.path)


def split_name(name: str) -> tuple[str, str, str]:
    """Split the name of a file, such as notes.txt.gz, into notes, .txt and .gz.

    Returns:
        The stem, the ending in lower case, and the ending of a compressed file, or "".
    """
    stem, ending = _cut_ending(name)
    if ending == ".tgz":
        return stem, ".tar", ".gz"
    if ending not in COMPRESSED:
        return stem, ending, ""
    stem, inner = _cut_ending(stem)
    return stem, inner, ending


def _cut_ending(name: str) -> tuple[str, str]:
    """Cut off the ending of a name, unless it is all of the name but for dots."""
    stem, dot, ending = name.rpartition(".")
    if not dot or not ending or "/" in ending or not stem.rpartition("/")[2].strip("."):
        return name, ""
    return stem, f".{ending.lower()}"


def name_ending(name: str) -> str:
    """Return the ending of a file's name in lower case; ".txt" for notes.txt.gz."""
    return split_name(name)[1]


def name_kind(name: str) -> Kind:
    """Return the format of a file by its name: archive, table, JSON Lines or text."""
    ending = name_ending(name)
    return "archive" if ending in ARCHIVES else RECORDS.get(ending, "text")


def file_entry(path: Path, relative: str | None = None, where: str | None = None) -> Entry:
    """Return the entry of a file on the disk.

    Args:
        path: path of the file.
        relative: path inside its folder; default: its name.
        where: name for messages; default: the path.
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
    """Yield a file that can be read at any place: the stream itself, or a temporary copy of it."""
    if isinstance(stream, io.BufferedReader):
        yield stream
        return
    with tempfile.SpooledTemporaryFile(SPOOLED) as file:
        while data := stream.read(CHUNK_SIZE):
            file.write(data)
        file.seek(0)
        yield file

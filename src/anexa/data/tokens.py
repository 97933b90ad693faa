"""The tokens of a corpus: in memory, or, of a large corpus, in a file that is made once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from anexa.data.corpora import Documents
from anexa.data.download import Progress, cache_folder
from anexa.data.registry import Layout
from anexa.errors import AnexaError

Array: TypeAlias = npt.NDArray[Any]  # of whole numbers

LARGE = 8 * 2**20  # bytes of text: above it, tokens are kept in the cache
PART = ".anexa-"  # how the name of a folder begins while it is being written
STALE = 24 * 3600  # seconds after which nobody is writing such a folder any more


class Coder(Protocol):
    """What is needed of a tokenizer."""

    vocab_size: int

    @property
    def eot_token(self) -> int:
        """The id that stands between documents."""

    def encode_batch(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """The ids of all texts, one after another, and how many each has."""

    def to_json(self) -> str:
        """All that its ids depend on."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a corpus, one after another."""

    name: str
    """Of the corpus."""
    layout: Layout
    """That of the corpus."""
    ids: Array
    """A boundary, then running text; or the documents, each between two boundaries: neighbours
    share one."""
    borders: Array
    """With "lines": the places of the boundaries, one more than there are documents."""


def tokenize(documents: Documents, coder: Coder, progress: Progress | None = None) -> Tokens:
    """Encode a corpus: a large one into the cache, or not at all if its tokens are there already.

    The ids depend on neither that nor the number of processors. In memory there is a small part
    of a large corpus at a time; its arrays are mapped from their files, read-only.
    `progress` is told how far it is: bytes of text so far, and in all.

    Raises `AnexaError` if the corpus changed, or cannot be read, or its tokens cannot be kept.
    """
    dtype = np.dtype(np.uint16 if coder.vocab_size <= 2**16 else np.uint32)
    blocks = _blocks(documents, coder, dtype, progress)
    if documents.size <= LARGE:
        ids, borders = (np.concatenate(arrays) for arrays in zip(*blocks))
        return Tokens(documents.name, documents.layout, ids, borders)
    key = hashlib.sha256(f"1 {documents.sha256} {coder.to_json()}".encode()).hexdigest()
    folder = cache_folder() / "tokens" / key[:32]
    try:
        if not _is_whole(folder):
            _write(folder, blocks)
        ids = np.memmap(folder / "ids", dtype, mode="r")
        borders = np.zeros(1, np.int64)
        if documents.layout == "lines":
            borders = np.memmap(folder / "borders", np.int64, mode="r")
    except OSError as error:
        raise AnexaError(
            f"cannot keep the tokens of {documents.name} in {folder.parent}: "
            f"{error.strerror or error}; make room for {4 * documents.size / 2**20:,.0f} MiB "
            "there, or set the environment variable ANEXA_CACHE to a folder with room"
        ) from error
    # Slices of a memmap are slow to make, and those of the plain array in front of it are not.
    return Tokens(documents.name, documents.layout, np.asarray(ids), np.asarray(borders))


def _blocks(
    documents: Documents, coder: Coder, dtype: npt.DTypeLike, progress: Progress | None
) -> Iterator[tuple[Array, Array]]:
    """The ids, and the places of boundaries among all of them, some at a time."""
    yield np.array([coder.eot_token], dtype), np.zeros(1, np.int64)
    n = 1
    for texts in documents.groups(progress):
        ids, lengths = coder.encode_batch(texts)
        ends = np.zeros(0, np.int64)
        if documents.layout == "lines":
            ends = np.cumsum(lengths)
            ids = np.insert(ids, ends, coder.eot_token)
            ends += n + np.arange(len(ends))
        n += len(ids)
        yield ids.astype(dtype), ends


def _write(folder: Path, blocks: Iterator[tuple[Array, Array]]) -> None:
    """Make the folder of a corpus: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for part in folder.parent.glob(f"{PART}*"):  # what a writer that was killed has left
        if part.stat().st_mtime < time.time() - STALE:
            shutil.rmtree(part, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=PART))
    try:
        sizes = {}
        with (aside / "ids").open("wb") as ids, (aside / "borders").open("wb") as borders:
            for block in blocks:
                ids.write(block[0].tobytes())
                borders.write(block[1].tobytes())
            for name, file in (("ids", ids), ("borders", borders)):
                file.flush()
                os.fsync(file.fileno())
                sizes[name] = file.tell()
        (aside / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
        if not _is_whole(folder):  # another process may have made it meanwhile
            shutil.rmtree(folder, ignore_errors=True)
            aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    """Whether the files of a folder are there, as long as they were when they were written."""
    try:
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        return bool(sizes == {n: (folder / n).stat().st_size for n in ("ids", "borders")})
    except (OSError, ValueError):
        return False

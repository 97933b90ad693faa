"""Tokenization of a corpus: in memory, or, for a large corpus, in a cached file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from anexa.cache import cache_folder
from anexa.data.corpora import Documents
from anexa.data.download import Progress
from anexa.data.reading import split_text
from anexa.data.registry import Layout
from anexa.errors import AnexaError
from anexa.files import remove_leftovers, rename_unless_exists, temporary_folder

Array: TypeAlias = npt.NDArray[Any]  # integers, such as token ids, positions or indices

MAX_IN_MEMORY_BYTES = 8 * 2**20  # size of a text above which its tokens are cached on the disk
STALE_SECONDS = 24 * 3600  # age at which a temporary folder is considered abandoned


class Encoder(Protocol):
    """Protocol of a tokenizer for encoding a corpus."""

    vocab_size: int

    @property
    def eot_token_id(self) -> int:
        """Id of the end-of-text token, which separates documents."""

    def encode_batch(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Encode many texts at once.

        Returns:
            The concatenated ids of all N texts, and the number of ids of each text, shape (N,).
        """

    def to_json(self) -> str:
        """Serialize everything that the ids depend on, as JSON."""


@dataclass(frozen=True)
class TokenizedCorpus:
    """Token ids of a corpus, and where its documents begin and end.

    Attributes:
        name: name of the corpus.
        layout: layout of the corpus.
        ids: token ids, shape (N,), uint16 or for a large vocabulary uint32: an end-of-text token,
            then each document followed by another end-of-text token, or the running text (layout
            "text").
        boundaries: positions of the end-of-text tokens in `ids`, shape (D + 1,) for D documents,
            int64; [0] with "text".
    """

    name: str
    layout: Layout
    ids: Array
    boundaries: Array


def tokenize(
    documents: Documents, encoder: Encoder, progress: Progress | None = None
) -> TokenizedCorpus:
    """Encode a corpus to token ids: in memory, or in a cached file if the corpus is large.

    A cached file is memory-mapped, read-only, so a large corpus is never in memory as a whole. Its
    name is a hash of the text and the tokenizer, so the next run finds it. The ids depend neither
    on the cache nor on the number of CPUs.

    Args:
        documents: documents of the corpus.
        encoder: tokenizer of the model.
        progress: progress callback: `(bytes_done, bytes_total)` of text.

    Returns:
        The token ids.

    Raises:
        AnexaError: if the corpus changed or cannot be read, or its tokens cannot be cached.
    """
    dtype = np.dtype(np.uint16 if encoder.vocab_size <= 2**16 else np.uint32)
    blocks = _blocks(documents, encoder, dtype, progress)
    if documents.size <= MAX_IN_MEMORY_BYTES:
        ids, boundaries = (np.concatenate(arrays) for arrays in zip(*blocks))
        return TokenizedCorpus(documents.name, documents.layout, ids, boundaries)
    key = hashlib.sha256(f"1 {documents.sha256} {encoder.to_json()}".encode()).hexdigest()
    folder = cache_folder() / "tokens" / key[:32]
    try:
        if not _is_whole(folder):
            _write(folder, blocks)
        ids = np.memmap(folder / "ids", dtype, mode="r")
        boundaries = np.zeros(1, np.int64)
        if documents.layout != "text":
            boundaries = np.memmap(folder / "boundaries", np.int64, mode="r")
    except OSError as error:
        raise AnexaError(
            f"cannot write the tokens of {documents.name} to {folder.parent}: "
            f"{error.strerror or error}; free {-(-4 * documents.size // 2**20):,} MiB there, or "
            "set the environment variable ANEXA_CACHE to another folder"
        ) from error
    # Slicing a memmap is slow; slicing a plain array view of it is not.
    return TokenizedCorpus(
        documents.name, documents.layout, np.asarray(ids), np.asarray(boundaries)
    )


def _blocks(
    documents: Documents, encoder: Encoder, dtype: npt.DTypeLike, progress: Progress | None
) -> Iterator[tuple[Array, Array]]:
    """Yield blocks of token ids, and the positions of their end-of-text tokens in all ids."""
    yield np.array([encoder.eot_token_id], dtype), np.zeros(1, np.int64)
    n = 1
    for texts in documents.groups(progress):
        # Documents of many lines may be large, and are encoded piece by piece.
        has_lines = documents.layout == "documents"
        pieces = [split_text(text) if has_lines else [text] for text in texts]
        ids, lengths = encoder.encode_batch(list(chain.from_iterable(pieces)))
        ends = np.zeros(0, np.int64)
        if documents.layout != "text":
            ends = np.cumsum(lengths)[np.cumsum([len(each) for each in pieces]) - 1]
            ids = np.insert(ids, ends, encoder.eot_token_id)
            ends += n + np.arange(len(ends))
        n += len(ids)
        yield ids.astype(dtype), ends


def _write(folder: Path, blocks: Iterator[tuple[Array, Array]]) -> None:
    """Write the cached tokens of a corpus to a new folder atomically.

    Args:
        folder: path of the folder in the cache.
        blocks: token ids, and positions of the end-of-text tokens, block by block.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, STALE_SECONDS)
    with temporary_folder(folder.parent) as temporary:
        sizes = {}
        with (
            (temporary / "ids").open("wb") as ids,
            (temporary / "boundaries").open("wb") as boundaries,
        ):
            for block in blocks:
                ids.write(block[0].tobytes())
                boundaries.write(block[1].tobytes())
            for name, file in (("ids", ids), ("boundaries", boundaries)):
                file.flush()
                os.fsync(file.fileno())
                sizes[name] = file.tell()
        (temporary / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
        if not rename_unless_exists(temporary, folder) and not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)


def _is_whole(folder: Path) -> bool:
    """Return whether all files of a cached corpus exist, with their recorded sizes."""
    try:
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        return bool(sizes == {n: (folder / n).stat().st_size for n in ("ids", "boundaries")})
    except (OSError, ValueError):
        return False

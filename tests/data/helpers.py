"""Documents and tokens made from lists."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anexa.data import Documents, Layout
from anexa.data.reading import decode_chunks
from anexa.data.tokens import Array


def documents(layout: Layout, text: str, name: str = "x") -> Documents:
    """Make a corpus as if read from a file with this text."""
    data = text.encode("utf-8")
    return Documents.scan(name, layout, lambda: decode_chunks(io.BytesIO(data), name))


def whole_documents(texts: Sequence[str], name: str = "x") -> Documents:
    """Make a corpus of the layout "documents"."""
    return Documents.scan(name, "documents", lambda: iter(texts))


def texts(corpus: Documents) -> list[str]:
    """Return all documents, or the whole running text."""
    pieces = [text for group in corpus.groups() for text in group]
    return ["".join(pieces)] if corpus.layout == "text" else pieces


def framed(texts: Sequence[Sequence[int]], eot_token_id: int) -> tuple[Array, Array, Array]:
    """Tokenize documents for `SeparateDocuments`: ids, boundaries, document indices."""
    ids, boundaries = [eot_token_id], [0]
    for text in texts:
        ids += [*text, eot_token_id]
        boundaries.append(len(ids) - 1)
    return np.array(ids), np.array(boundaries), np.arange(len(texts))


def write(path: Path, data: str | bytes) -> str:
    """Write a file; returns its path as a user would give it."""
    path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    return str(path)

"""Corpora: those known by name (a registry, downloads into a cache, two that need no network),
files and standard input, all read as `Documents`; then as tokens, in rows for training and
validation (`tokens`, `batches`).
"""

from anexa.data.corpora import Documents, corpus_source, guess_layout, read_corpus
from anexa.data.download import Progress, cache_folder, fetch
from anexa.data.registry import CORPORA, CorpusInfo, Layout

__all__ = [
    "CORPORA",
    "CorpusInfo",
    "Documents",
    "Layout",
    "Progress",
    "cache_folder",
    "corpus_source",
    "fetch",
    "guess_layout",
    "read_corpus",
]

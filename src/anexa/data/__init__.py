"""Corpora, from text to batches of token sequences.

`registry` lists the named corpora, `download` fetches them into a cache, `sources` reads folders,
archives and tables, `corpora` reads any corpus as `Documents`, `tokens` encodes them, `splitting`
makes training and validation datasets, and `duplicates` keeps copies out of the validation.
"""

from anexa.cache import cache_folder
from anexa.data.corpora import (
    Documents,
    absolute_corpus_spec,
    corpus_stem,
    guess_layout,
    read_corpus,
)
from anexa.data.download import Progress, download_corpus
from anexa.data.registry import CORPORA, CorpusInfo, Layout

__all__ = [
    "CORPORA",
    "CorpusInfo",
    "Documents",
    "Layout",
    "Progress",
    "absolute_corpus_spec",
    "cache_folder",
    "corpus_stem",
    "download_corpus",
    "guess_layout",
    "read_corpus",
]

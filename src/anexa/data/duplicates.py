"""Deduplication of the validation data against the training data (contamination check).

Duplicates are removed from the validation data only, if enough of it is left, so that a few
duplicates do not change the training batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain

import numpy as np
import numpy.typing as npt

from anexa.data.batches import Dataset, evenly_spaced
from anexa.data.documents import DocumentDataset
from anexa.data.tokens import Array
from anexa.data.windows import TokenWindows

# Length in tokens of the n-grams that are compared in running text. With a character tokenizer
# these are about 13 words, the n-gram length of Brown et al. (2020).
GRAM = 64
ONE_IN = 4  # one n-gram in this many is compared, chosen by its hash
MAX_WINDOWS = 4096  # maximum number of validation windows that are checked
HASHED_TOKENS = 2**18  # tokens that are hashed at once
HASHED_DOCUMENTS = 2**16  # documents that are hashed at once
KNOWN = (
    "all of the validation text is in the training text too: its loss shows how well the text is "
    "known by heart"
)


def deduplicate(training: Dataset, validation: Dataset) -> tuple[Dataset, Dataset]:
    """Remove from the validation dataset the sequences that are in the training dataset too.

    If most of the validation documents are duplicates, the split is changed instead: all copies of
    a document move to the same dataset. If the whole validation text is duplicated, it is kept, and
    the dataset's `claim` says what its loss then measures.
    """
    if isinstance(training, DocumentDataset) and isinstance(validation, DocumentDataset):
        return _deduplicate_documents(training, validation)
    if isinstance(training, TokenWindows) and isinstance(validation, TokenWindows):
        return training, _deduplicate_windows(training, validation)
    return training, validation


def _deduplicate_documents(
    training: DocumentDataset, validation: DocumentDataset
) -> tuple[DocumentDataset, DocumentDataset]:
    ours = np.concatenate(list(_document_hashes(validation)))
    wanted = np.unique(ours)
    is_known = np.zeros(len(wanted), bool)
    for found in _document_hashes(training):
        places = np.minimum(wanted.searchsorted(found), len(wanted) - 1)
        is_known[places[wanted[places] == found]] = True
    is_copy = is_known[wanted.searchsorted(ours)]
    count, total = int(is_copy.sum()), len(ours)
    if not count:
        return training, validation
    if 2 * count <= total:
        note = (
            f"left out of the validation: {count:,} of {total:,} documents, which are trained on "
            "too"
        )
        return training, validation.select(validation.chosen[~is_copy], note)
    texts = _distinct(chain(_document_hashes(training), [ours]))
    if len(texts) == 1:
        return training, validation.select(validation.chosen, claim=KNOWN)
    num_documents = len(training.chosen) + total
    held_out = max(1, round(len(texts) * total / num_documents))
    trained = np.sort(texts[: -min(held_out, len(texts) - 1)])
    stays = np.concatenate([np.isin(found, trained) for found in _document_hashes(training)])
    moves = np.isin(ours, trained)
    note = (
        f"moved across the split: {int((~stays).sum() + moves.sum()):,} of {num_documents:,} "
        "documents, so that all copies of a text are on one side"
    )
    trained_on = np.concatenate([training.chosen[stays], validation.chosen[moves]])
    others = np.concatenate([training.chosen[~stays], validation.chosen[~moves]])
    return training.select(trained_on), validation.select(others, note)


def _distinct(parts: Iterable[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """List the different hashes of all parts, in the order in which they first occur."""
    known, ordered = np.zeros(0, np.uint64), []
    for found in parts:
        values, first = np.unique(found, return_index=True)
        is_new = ~np.isin(values, known)
        ordered.append(values[is_new][np.argsort(first[is_new])])
        known = np.union1d(known, values)
    return np.concatenate(ordered)


def _document_hashes(dataset: DocumentDataset) -> Iterator[npt.NDArray[np.uint64]]:
    """Hash the documents of a dataset, without the end-of-text tokens around them.

    Yields:
        The hashes of `HASHED_DOCUMENTS` documents, in the order of the dataset.
    """
    tokens, boundaries = dataset.tokens, dataset.boundaries
    for start in range(0, len(dataset.chosen), HASHED_DOCUMENTS):
        documents = dataset.chosen[start : start + HASHED_DOCUMENTS].astype(np.int64)
        begins, ends = boundaries[documents].tolist(), boundaries[documents + 1].tolist()
        digests = (
            blake2b(tokens[begin + 1 : end].tobytes(), digest_size=8).digest()
            for begin, end in zip(begins, ends)
        )
        yield np.frombuffer(b"".join(digests), np.uint64)


def _deduplicate_windows(training: TokenWindows, validation: TokenWindows) -> TokenWindows:
    """Remove validation windows of which more than half is in the training text.

    At most `MAX_WINDOWS` windows are checked. If some are duplicates, the dataset keeps only the
    checked windows that are not.
    """
    starts, length = (
        validation.starts[evenly_spaced(len(validation.starts), MAX_WINDOWS)],
        validation.length,
    )
    ends = starts + length + GRAM - 1
    each = [_hashes(validation.tokens[a:b]) for a, b in zip(starts.tolist(), ends.tolist())]
    hashes, sizes = np.concatenate(each), np.array([len(found) for found in each])
    wanted = np.unique(hashes)
    if not len(wanted):
        return validation
    is_known = np.zeros(len(wanted), bool)
    may_be_wanted = np.zeros((2**24 // ONE_IN), bool)
    may_be_wanted[wanted >> np.uint64(40)] = True
    for start in range(0, len(training.tokens), HASHED_TOKENS):
        found = _hashes(training.tokens[start : start + HASHED_TOKENS + GRAM - 1])
        found = found[may_be_wanted[found >> np.uint64(40)]]  # a quick look, before a search
        places = np.minimum(wanted.searchsorted(found), len(wanted) - 1)
        is_known[places[wanted[places] == found]] = True
    known = np.repeat(np.arange(len(starts)), sizes)[is_known[wanted.searchsorted(hashes)]]
    is_copy = 2 * np.bincount(known, minlength=len(starts)) > sizes
    copies = int(is_copy.sum())
    if copies == int((sizes > 0).sum()):
        return validation.select(validation.starts, claim=KNOWN)
    if not copies:
        return validation
    note = (
        f"left out of the validation: {copies:,} of {len(starts):,} windows of {length} tokens, "
        "which are trained on too"
    )
    return validation.select(starts[~is_copy], note)


def _hashes(tokens: Array) -> npt.NDArray[np.uint64]:
    """Return the hashes of a sample of the n-grams of `GRAM` tokens; the hash decides which.

    The hash is a polynomial in the tokens (Karp and Rabin, 1987), modulo 2 ** 64.
    """
    if len(tokens) < GRAM:
        return np.zeros(0, np.uint64)
    hashes = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(29)
    factor, width = 0xD1342543DE82EF95, 1
    while width < GRAM:
        hashes = hashes[:-width] * np.uint64(factor) + hashes[width:]
        factor, width = factor * factor % 2**64, 2 * width
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xD6E8FEB86659FD93)
    chosen: npt.NDArray[np.uint64] = hashes[hashes < np.uint64(2**64 // ONE_IN)]
    return chosen

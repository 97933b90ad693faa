"""Near-duplicates: validation text that shares most of its n-grams with the training text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from anexa.data.batches import Dataset, evenly_spaced_indices
from anexa.data.documents import DocumentDataset
from anexa.data.packing import PackedDocuments
from anexa.data.tokens import Array
from anexa.data.windows import TokenWindows

# Length in tokens of the n-grams that are compared in running text. With a character tokenizer
# these are about 13 words, the n-gram length of Brown et al. (2020).
NGRAM_TOKENS = 64
NGRAM_INTERVAL = 4  # one n-gram in this many is compared, chosen by its hash
MAX_HASHES = 2**21  # about the maximum number of n-grams in a sample of validation documents
MAX_WINDOWS = 4096  # maximum number of validation windows that are checked
HASH_BLOCK_TOKENS = 2**18  # number of tokens that are hashed at once
# `Dataset.claim` of a validation dataset whose whole text is in the training text.
KNOWN_TEXT_CLAIM = (
    "all of the validation text is in the training text too: its loss shows how well the text is "
    "known by heart"
)

Hashes = npt.NDArray[np.uint64]  # hashes of n-grams or documents, shape (N,)


def remove_duplicate_windows(training: Sequence[Dataset], validation: TokenWindows) -> TokenWindows:
    """Remove validation windows of which more than half of the n-grams are in the training text.

    At most `MAX_WINDOWS` windows are checked. If some are duplicates, the dataset keeps only the
    checked windows that are not. If all are, it keeps all windows, and `KNOWN_TEXT_CLAIM` is its
    claim.

    Args:
        training: training datasets, encoded by the same tokenizer.
        validation: validation dataset.

    Returns:
        The validation dataset: a copy with fewer windows or another claim, or itself.
    """
    starts, length = (
        validation.starts[evenly_spaced_indices(len(validation.starts), MAX_WINDOWS)],
        validation.length,
    )
    ends = starts + length + NGRAM_TOKENS - 1
    is_copy, is_checked = _copies(training, validation.tokens, starts, ends, NGRAM_INTERVAL)
    count = int(is_copy.sum())
    if not count:
        return validation
    if count == int(is_checked.sum()):
        return validation.select(validation.starts, claim=KNOWN_TEXT_CLAIM)
    note = (
        f"left out of the validation: {count:,} of {len(starts):,} windows of {length} tokens, "
        "which are trained on too"
    )
    return validation.select(starts[~is_copy], note)


def remove_duplicate_documents(
    training: Sequence[Dataset], validation: PackedDocuments
) -> PackedDocuments:
    """Remove validation documents of which more than half of the n-grams are in the training text.

    Documents shorter than `NGRAM_TOKENS` tokens are not compared. If all documents are duplicates,
    the dataset keeps them, and `KNOWN_TEXT_CLAIM` is its claim.

    Args:
        training: training datasets, encoded by the same tokenizer.
        validation: validation dataset.

    Returns:
        The validation dataset: a copy with fewer documents or another claim, or itself.
    """
    documents = validation.chosen.astype(np.int64)
    starts = np.asarray(validation.boundaries[documents]) + 1
    ends = np.asarray(validation.boundaries[documents + 1])
    one_in = max(NGRAM_INTERVAL, validation.num_tokens // MAX_HASHES)
    is_copy, _ = _copies(training, validation.tokens, starts, ends, one_in)
    count, total = int(is_copy.sum()), len(documents)
    if not count:
        return validation
    if count == total:
        return validation.select(validation.chosen, claim=KNOWN_TEXT_CLAIM)
    note = (
        f"left out of the validation: {count:,} of {total:,} documents, most of whose text is "
        "trained on too"
    )
    return validation.select(validation.chosen[~is_copy], note)


def _copies(
    training: Sequence[Dataset], tokens: Array, starts: Array, ends: Array, one_in: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Compare pieces of the validation text with the training text.

    Args:
        training: training datasets.
        tokens: token ids of the validation text.
        starts: start of each piece.
        ends: end of each piece.
        one_in: one n-gram in this many is compared.

    Returns:
        For each piece, whether more than half of its n-grams are in the training text, and whether
        any were compared.
    """
    each = [_hashes(tokens[a:b], one_in)[0] for a, b in zip(starts.tolist(), ends.tolist())]
    hashes, sizes = np.concatenate(each), np.array([len(found) for found in each])
    wanted = np.unique(hashes)
    if not len(wanted):
        return np.zeros(len(starts), bool), np.zeros(len(starts), bool)
    is_known = np.zeros(len(wanted), bool)
    may_be_wanted = np.zeros((2**24 // NGRAM_INTERVAL), bool)
    may_be_wanted[wanted >> np.uint64(40)] = True
    for dataset in training:
        for found, positions in _gram_blocks(dataset, one_in):
            quick = may_be_wanted[found >> np.uint64(40)]  # a quick look, before a search
            found, positions = found[quick], positions[quick]
            indices = np.minimum(wanted.searchsorted(found), len(wanted) - 1)
            matches = wanted[indices] == found
            matches[matches] = _is_trained(dataset, positions[matches])
            is_known[indices[matches]] = True
    known = np.repeat(np.arange(len(starts)), sizes)[is_known[wanted.searchsorted(hashes)]]
    return 2 * np.bincount(known, minlength=len(starts)) > sizes, sizes > 0


def _gram_blocks(dataset: Dataset, one_in: int) -> Iterator[tuple[Hashes, Array]]:
    """Yield hashes of n-grams of all tokens of a dataset of text, and their positions."""
    if not isinstance(dataset, TokenWindows | DocumentDataset):
        return
    for start in range(0, len(dataset.tokens), HASH_BLOCK_TOKENS):
        block = dataset.tokens[start : start + HASH_BLOCK_TOKENS + NGRAM_TOKENS - 1]
        hashes, positions = _hashes(block, one_in)
        yield hashes, positions + start


def _is_trained(dataset: Dataset, positions: Array) -> npt.NDArray[np.bool_]:
    """Return whether the tokens at some positions belong to the documents of a dataset.

    The array of tokens is shared with datasets of other documents, such as the validation.

    Args:
        dataset: training dataset.
        positions: positions in its array of tokens, shape (N,).

    Returns:
        Boolean array, shape (N,).
    """
    if not isinstance(dataset, DocumentDataset):
        return np.ones(len(positions), bool)
    is_chosen = np.zeros(len(dataset.boundaries), bool)
    is_chosen[dataset.chosen] = True
    chosen: npt.NDArray[np.bool_] = is_chosen[
        dataset.boundaries.searchsorted(positions, side="right") - 1
    ]
    return chosen


def _hashes(tokens: Array, one_in: int) -> tuple[Hashes, Array]:
    """Return the hashes of a sample of the n-grams of `NGRAM_TOKENS` tokens, and their positions.

    The hash decides which are in the sample. It is a polynomial in the tokens (Karp and Rabin,
    1987), modulo 2 ** 64.

    Args:
        tokens: token ids, shape (N,).
        one_in: one n-gram in this many is in the sample.

    Returns:
        The hashes, shape (N,), and the position of the first token of each n-gram, shape (N,).
    """
    if len(tokens) < NGRAM_TOKENS:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(29)
    factor, width = 0xD1342543DE82EF95, 1
    while width < NGRAM_TOKENS:
        hashes = hashes[:-width] * np.uint64(factor) + hashes[width:]
        factor, width = factor * factor % 2**64, 2 * width
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xD6E8FEB86659FD93)
    positions = np.flatnonzero(hashes < np.uint64(2**64 // one_in))
    return hashes[positions], positions

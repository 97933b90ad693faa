"""Deduplication of the validation data against the training data (contamination check).

Duplicates are removed from the validation data only, so that a few duplicates do not change the
training batches; `deduplicate` says what happens if too little of it is left. A duplicate is a
document with the same tokens as a training document, or a window of running text or a packed
document that shares more than half of its n-grams with the training text (`ngrams.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from anexa.data.batches import Dataset, with_notes
from anexa.data.documents import DocumentDataset
from anexa.data.ngrams import (
    KNOWN_TEXT_CLAIM,
    Hashes,
    remove_duplicate_documents,
    remove_duplicate_windows,
)
from anexa.data.packing import PackedDocuments
from anexa.data.windows import TokenWindows

HASH_BATCH_SIZE = 2**16  # number of documents that are hashed at once
# Up to this many documents, repeated ones are counted exactly; of more, a sample is counted.
MAX_COUNTED_DOCUMENTS = 2**22

Subset = TypeVar("Subset", bound=DocumentDataset)  # class of a dataset and its copies


def deduplicate(training: Dataset, validation: Dataset) -> tuple[Dataset, Dataset]:
    """Remove duplicates of the training data from the validation data of the same corpus.

    If more than half of the validation documents are copies of training documents, the split is
    changed first: all copies of a document move to the same dataset. If the whole validation text
    is duplicated, it is kept, and its `Dataset.claim` says what its loss then measures. The notes
    of the datasets say what was removed or moved, and how many documents occur more than once.
    Datasets of other kinds, such as conversations, are returned unchanged.

    Args:
        training: training dataset.
        validation: validation dataset of the same split.

    Returns:
        The training dataset and the validation dataset, each a copy with other documents or
        another claim, or itself; a note on repeated documents is added to `training` in place.
    """
    if isinstance(training, DocumentDataset) and isinstance(validation, DocumentDataset):
        training, validation = _deduplicate_documents(training, validation)
    return training, _leave_out_similar([training], validation)


def deduplicate_against(others: Sequence[Dataset], validation: Dataset) -> Dataset:
    """Remove duplicates of the training data of other corpora from a validation dataset.

    If the whole validation text is duplicated, it is kept, and its `Dataset.claim` says so.

    Args:
        others: training datasets of the other corpora, encoded by the same tokenizer.
        validation: validation dataset of one corpus.

    Returns:
        The validation dataset: a copy with fewer documents or another claim, or itself.
    """
    documents = [dataset for dataset in others if isinstance(dataset, DocumentDataset)]
    if documents and isinstance(validation, DocumentDataset):
        ours = np.concatenate(list(_document_hashes(validation)))
        is_copy = _are_known(ours, chain.from_iterable(map(_document_hashes, documents)))
        if is_copy.all():
            return validation.select(validation.chosen, claim=KNOWN_TEXT_CLAIM)
        validation = _without(validation, is_copy)
    return _leave_out_similar(others, validation)


def _leave_out_similar(training: Sequence[Dataset], validation: Dataset) -> Dataset:
    if validation.claim == KNOWN_TEXT_CLAIM:
        return validation
    if isinstance(validation, TokenWindows):
        return remove_duplicate_windows(training, validation)
    if isinstance(validation, PackedDocuments):
        return remove_duplicate_documents(training, validation)
    return validation


def _deduplicate_documents(training: Subset, validation: Subset) -> tuple[Subset, Subset]:
    ours = np.concatenate(list(_document_hashes(validation)))
    repeats = _Repeats(len(training.chosen) + len(ours))
    repeats.add(ours)
    is_copy = _are_known(ours, map(repeats.add, _document_hashes(training)))
    training = with_notes(training, repeats.note(), "")
    count, total = int(is_copy.sum()), len(ours)
    if not count:
        return training, validation
    if 2 * count <= total:
        return training, _without(validation, is_copy)
    texts = _distinct(chain(_document_hashes(training), [ours]))
    if len(texts) == 1:
        return training, validation.select(validation.chosen, claim=KNOWN_TEXT_CLAIM)
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


def _are_known(ours: Hashes, training: Iterable[Hashes]) -> npt.NDArray[np.bool_]:
    """Return whether each validation document is also a training document, by their hashes.

    Args:
        ours: hashes of the validation documents, shape (N,).
        training: hashes of the training documents, in parts.

    Returns:
        Boolean array, shape (N,).
    """
    wanted = np.unique(ours)
    is_known = np.zeros(len(wanted), bool)
    for found in training:
        indices = np.minimum(wanted.searchsorted(found), len(wanted) - 1)
        is_known[indices[wanted[indices] == found]] = True
    known: npt.NDArray[np.bool_] = is_known[wanted.searchsorted(ours)]
    return known


def _without(validation: Subset, is_copy: npt.NDArray[np.bool_]) -> Subset:
    count = int(is_copy.sum())
    if not count:
        return validation
    note = (
        f"left out of the validation: {count:,} of {len(is_copy):,} documents, which are trained "
        "on too"
    )
    return validation.select(validation.chosen[~is_copy], note)


class _Repeats:
    """Counter of the documents that occur more than once; of very many, a sample is counted.

    Args:
        total: number of documents.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._one_in = max(1, -(-total // MAX_COUNTED_DOCUMENTS))
        self._parts: list[Hashes] = []

    def add(self, hashes: Hashes) -> Hashes:
        """Add the hashes of documents, and return them."""
        limit = np.uint64((2**64 - 1) // self._one_in)
        self._parts.append(hashes[hashes <= limit])
        return hashes

    def note(self) -> str:
        """Return a sentence about repeated documents for the user; "" if there are none."""
        hashes = np.sort(np.concatenate(self._parts))
        is_same = hashes[1:] == hashes[:-1]
        is_repeated = np.zeros(len(hashes), bool)
        is_repeated[1:] |= is_same
        is_repeated[:-1] |= is_same
        count = int(is_repeated.sum()) * self._one_in
        about = "about " if self._one_in > 1 else ""
        if not count:
            return ""
        return f"{about}{count:,} of {self._total:,} documents occur more than once"


def _distinct(parts: Iterable[Hashes]) -> Hashes:
    """List the different hashes of all parts, in the order in which they first occur."""
    known, ordered = np.zeros(0, np.uint64), []
    for found in parts:
        values, first = np.unique(found, return_index=True)
        is_new = ~np.isin(values, known)
        ordered.append(values[is_new][np.argsort(first[is_new])])
        known = np.union1d(known, values)
    return np.concatenate(ordered)


def _document_hashes(dataset: DocumentDataset) -> Iterator[Hashes]:
    """Hash the documents of a dataset, without the end-of-text tokens around them.

    Yields:
        The hashes of `HASH_BATCH_SIZE` documents, in the order of the dataset.
    """
    tokens, boundaries = dataset.tokens, dataset.boundaries
    for start in range(0, len(dataset.chosen), HASH_BATCH_SIZE):
        documents = dataset.chosen[start : start + HASH_BATCH_SIZE].astype(np.int64)
        begins, ends = boundaries[documents].tolist(), boundaries[documents + 1].tolist()
        digests = (
            blake2b(tokens[begin + 1 : end].tobytes(), digest_size=8).digest()
            for begin, end in zip(begins, ends)
        )
        yield np.frombuffer(b"".join(digests), np.uint64)

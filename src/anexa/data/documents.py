"""Datasets of documents: their base class, and a dataset whose sequences do not mix documents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

import numpy as np

from anexa.data.batches import (
    LabeledSequence,
    TextDataset,
    evenly_spaced_indices,
    label_all,
    randperm,
    with_notes,
)
from anexa.data.tokens import Array

# Number of documents whose tokens are counted at once, which bounds the memory.
COUNT_BATCH_SIZE = 2**20

Subset = TypeVar("Subset", bound="DocumentDataset")  # class of a dataset and its copies


class DocumentDataset(TextDataset):
    """Base of datasets of documents: some documents of a corpus, or all of them.

    The tokens of the corpus are shared with the datasets of its other documents.

    Args:
        tokens: token ids of all documents, with one end-of-text token before each document and
            after the last one, shape (N,).
        boundaries: positions of the end-of-text tokens in `tokens`, shape (D + 1,) for D documents.
        chosen: indices of the documents in this dataset, each from 0 to D − 1.
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the order.

    Attributes:
        tokens: token ids of all documents, shape (N,).
        boundaries: positions of the end-of-text tokens, shape (D + 1,).
        chosen: indices of the documents in this dataset.
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the order.
    """

    def __init__(
        self, tokens: Array, boundaries: Array, chosen: Array, length: int, seed: int
    ) -> None:
        self.tokens, self.boundaries, self.chosen = tokens, boundaries, chosen
        self.length, self.seed = length, seed

    def select(self: Subset, chosen: Array, note: str = "", claim: str = "") -> Subset:
        """Return a copy of the dataset with other documents, which takes over notes and claim.

        Args:
            chosen: indices of the documents in the copy, shape (number of documents,).
            note: sentence that is added to the notes; "" for none.
            claim: new `Dataset.claim`, which is added to the notes, too; "" keeps the old claim.
        """
        dataset = type(self)(self.tokens, self.boundaries, chosen, self.length, self.seed)
        return with_notes(dataset, note, claim, self)

    @cached_property
    def num_tokens(self) -> int:
        """Number of predicted tokens: those of the documents, and an end-of-text token each."""
        return sum(int(lengths.sum()) for _, lengths in self.document_lengths(self.chosen))

    def document_lengths(self, documents: Array) -> Iterator[tuple[int, Array]]:
        """Count the predicted tokens of documents, slice by slice.

        Predicted are the tokens of a document, and the end-of-text token after it.

        Args:
            documents: indices of the documents, shape (n,).

        Yields:
            The start of a slice of `documents`, and the number of predicted tokens of each document
            in the slice.
        """
        for start in range(0, len(documents), COUNT_BATCH_SIZE):
            part = documents[start : start + COUNT_BATCH_SIZE].astype(np.int64)
            yield start, self.boundaries[part + 1] - self.boundaries[part]


class SeparateDocuments(DocumentDataset):
    """Dataset in which each sequence has tokens of one document only, reshuffled every epoch.

    A document of more than `length` predicted tokens is split into several sequences. Memory
    besides the tokens and boundaries: about 8 bytes per document, and 4 per sequence.
    """

    _epoch = -1
    _order: Array

    @cached_property
    def _first(self) -> Array:
        """Index of the first sequence of each document in `chosen`; then the number of sequences.

        Shape (number of documents + 1,).
        """
        first = np.zeros(len(self.chosen) + 1, np.min_scalar_type(len(self.tokens)))
        for start, counts in self._sequence_counts():
            ends = int(first[start]) + np.cumsum(counts)
            first[start + 1 : start + 1 + len(ends)] = ends
        return first

    @cached_property
    def num_long_documents(self) -> int:
        """Number of documents with more than `length` predicted tokens."""
        return sum(int((counts > 1).sum()) for _, counts in self._sequence_counts())

    def _sequence_counts(self) -> Iterator[tuple[int, Array]]:
        """Yield slices of `chosen`: start index, and number of sequences of each document."""
        for start, lengths in self.document_lengths(self.chosen):
            yield start, -(-lengths // self.length)

    @property
    def sequences_per_epoch(self) -> int:
        """Number of sequences in one epoch: one for each document, more for a long one."""
        return int(self._first[-1])

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the `size` sequences of a training step, in the random order of their epoch.

        Args:
            step: number of the step, from 0.
            size: number of sequences; if it is the same in all steps, each sequence occurs once in
                an epoch.
        """
        return [
            self._sequence(self._shuffled_number(number))
            for number in range(step * size, (step + 1) * size)
        ]

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences for evaluation, spread evenly over the dataset."""
        return [self._sequence(i) for i in evenly_spaced_indices(self.sequences_per_epoch, size)]

    def _shuffled_number(self, number: int) -> int:
        """Map the n-th sequence drawn since the start of training to its index in the dataset."""
        epoch, index = divmod(number, self.sequences_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = (
                epoch,
                randperm(self.sequences_per_epoch, f"{self.seed} {epoch}"),
            )
        return int(self._order[index])

    def _sequence(self, number: int) -> LabeledSequence:
        # `number` in the array's own type, so that NumPy does not convert the whole array.
        i = self._first.searchsorted(self._first.dtype.type(number), side="right") - 1
        document = int(self.chosen[i])
        begin, end = int(self.boundaries[document]), int(self.boundaries[document + 1])
        # The last target of a sequence is the first input of the next one of the same document.
        start = begin + (number - int(self._first[i])) * self.length
        return label_all(self.tokens[start : min(start + self.length, end) + 1])

"""Dataset of documents that are joined to one text, which is cut into sequences of one length."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from anexa.data.batches import LabeledSequence, evenly_spaced_indices, label_all, randperm
from anexa.data.documents import DocumentDataset
from anexa.data.tokens import Array


@dataclass(frozen=True)
class PackingOrder:
    """Order in which the documents are joined: a circle of tokens.

    Attributes:
        documents: indices of the documents, in this order, shape (D,).
        ends: position on the circle after each document and its end-of-text token, shape (D,).
        first: position of the first predicted token.
        order: numbers of the sequences, in the order in which they are trained on; empty for
            evaluation.
    """

    documents: Array
    ends: Array
    first: int
    order: Array


class PackedDocuments(DocumentDataset):
    """Dataset of documents joined by end-of-text tokens, in sequences of `length` + 1 tokens.

    Short documents share a sequence, and long ones continue in another. Every epoch joins the
    documents in a new random order, from the last one to the first again, and starts at a random
    token; its sequences overlap by a token, so that each token of the documents, and the
    end-of-text token after each, is predicted exactly once. (Random positions leave out a fraction
    of 1/e of the text in an epoch, which matters if there is little of it.) Memory besides the
    tokens and boundaries: about 12 bytes per document, and 4 per sequence.
    """

    _epoch = -1
    _arranged: PackingOrder

    @property
    def sequences_per_epoch(self) -> int:
        """Number of sequences in one epoch: those that the joined documents are cut into."""
        return -(-self.num_tokens // self.length)

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the `size` sequences of a training step, from 0, in the epoch's random order."""
        sequences = []
        for number in range(step * size, (step + 1) * size):
            epoch, index = divmod(number, self.sequences_per_epoch)
            if epoch != self._epoch:
                self._epoch, self._arranged = epoch, self._arrange(epoch)
            sequences.append(self._sequence(self._arranged, int(self._arranged.order[index])))
        return sequences

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences for evaluation, spread evenly over the dataset.

        The documents are joined in the order of `chosen`. The last sequence may be shorter.
        """
        joined = PackingOrder(self.chosen, self._ends(self.chosen), 0, self.chosen[:0])
        return [
            self._sequence(joined, i) for i in evenly_spaced_indices(self.sequences_per_epoch, size)
        ]

    def _arrange(self, epoch: int) -> PackingOrder:
        """Draw the order of the documents and the sequences of an epoch."""
        documents = self.chosen[randperm(len(self.chosen), f"{self.seed} {epoch} documents")]
        first = random.Random(f"{self.seed} {epoch} first").randrange(self.num_tokens)
        order = randperm(self.sequences_per_epoch, f"{self.seed} {epoch}")
        return PackingOrder(documents, self._ends(documents), first, order)

    def _ends(self, documents: Array) -> Array:
        ends = np.zeros(len(documents), np.min_scalar_type(len(self.tokens)))
        total = 0
        for start, lengths in self.document_lengths(documents):
            ends[start : start + len(lengths)] = total + np.cumsum(lengths)
            total += int(lengths.sum())
        return ends

    def _sequence(self, joined: PackingOrder, number: int) -> LabeledSequence:
        """Return the sequence of a number: up to `length` + 1 tokens of the joined documents.

        Its first token is the one before its first predicted token.
        """
        num_targets = min(self.length, self.num_tokens - number * self.length)
        start = (joined.first + number * self.length - 1) % self.num_tokens
        return self._read(joined, start, num_targets + 1)

    def _read(self, joined: PackingOrder, start: int, count: int) -> LabeledSequence:
        """Return `count` tokens of the joined documents, from a position on the circle."""
        pieces = []
        # `start` in the array's own type, so that NumPy does not convert the whole array.
        i = int(joined.ends.searchsorted(joined.ends.dtype.type(start), side="right"))
        left = int(joined.ends[i]) - start  # tokens of the document from `start` on
        while count:
            end = int(self.boundaries[int(joined.documents[i]) + 1]) + 1
            pieces.append(self.tokens[end - left : min(end, end - left + count)])
            count -= len(pieces[-1])
            i = (i + 1) % len(joined.ends)
            left = int(joined.ends[i]) - (int(joined.ends[i - 1]) if i else 0)
        return label_all(np.concatenate(pieces))

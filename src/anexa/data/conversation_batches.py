"""Datasets of conversations: batches of sequences of similar lengths, of about equal size.

No sequence is joined with another, so no conversation sees another one. Instead, a batch has as
many sequences as its tokens allow, and those of a batch have similar lengths, so that little of it
is padding. The batches of a step are a function of the seed and the step alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from anexa.data.batches import LabeledSequence, evenly_spaced_indices
from anexa.data.tokens import Array
from anexa.model.operations import IGNORE_INDEX

GROUP_STEPS = 16  # number of batches whose sequences are drawn together, then sorted by length


class ConversationDataset:
    """Dataset of conversations, reshuffled every epoch.

    Args:
        ids: token ids of all sequences, shape (N,).
        loss_mask: whether each token has a loss, shape (N,).
        spans: start and end of each sequence in `ids`, shape (number of sequences, 2).
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the order.
        claim: `Dataset.claim`: for a validation dataset, a sentence about what its loss measures.
        notes: `Dataset.notes`: sentences for the user, such as how many conversations were cut.
    """

    def __init__(
        self,
        ids: Array,
        loss_mask: npt.NDArray[np.bool_],
        spans: Array,
        length: int,
        seed: int,
        claim: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:
        self._ids, self._loss_mask, self._spans = ids, loss_mask, spans
        self._length, self._seed = length, seed
        self._sizes = spans[:, 1] - spans[:, 0]
        self._plan = lru_cache(maxsize=1)(self._make_plan)
        self.claim, self.notes = claim, notes

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self._sizes)

    @property
    def sequences_per_epoch(self) -> int:
        """Number of full sequences, at least 1, that would have the tokens of an epoch."""
        return max(1, int((self._sizes - 1).sum()) // self._length)

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the sequences of a training step, which have similar lengths.

        Args:
            step: number of the step, from 0.
            size: number of full sequences; the result has about as many tokens.
        """
        epoch, index = divmod(step, max(1, self.sequences_per_epoch // size))
        return [self._sequence(number) for number in self._plan(epoch, size)[index]]

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences for evaluation, spread evenly over the dataset."""
        return [self._sequence(number) for number in evenly_spaced_indices(len(self), size)]

    def _sequence(self, number: int) -> LabeledSequence:
        span = slice(*self._spans[number].tolist())
        ids = self._ids[span].astype(np.int64)
        labels = np.where(self._loss_mask[span], ids, IGNORE_INDEX)
        return LabeledSequence(ids.tolist(), labels.tolist())

    def _make_plan(self, epoch: int, size: int) -> list[list[int]]:
        """Divide all sequences among the batches of an epoch.

        Args:
            epoch: number of the epoch, from 0.
            size: batch size, in full sequences.

        Returns:
            For each batch the numbers of its sequences.
        """
        rng = random.Random(f"{self._seed} {epoch}")
        order = list(range(len(self)))
        rng.shuffle(order)
        num_batches = max(1, self.sequences_per_epoch // size)
        plan: list[list[int]] = []
        batches = self._divide(order, num_batches)
        for start in range(0, num_batches, GROUP_STEPS):
            group = batches[start : start + GROUP_STEPS]
            members = sorted((n for batch in group for n in batch), key=self._sizes.__getitem__)
            group = self._divide(members, len(group))
            rng.shuffle(group)
            plan += group
        return plan

    def _divide(self, numbers: list[int], count: int) -> list[list[int]]:
        """Divide a list of sequences into parts of about as many tokens, none of them empty.

        Args:
            numbers: numbers of the sequences.
            count: number of parts.
        """
        sizes = self._sizes[numbers]
        before = np.cumsum(sizes) - sizes
        parts: list[list[int]] = [[] for _ in range(count)]
        for number, part in zip(numbers, (before * count // sizes.sum()).tolist()):
            parts[part].append(number)
        for part in range(count):
            if not parts[part]:  # the sequence before it has the tokens of two parts
                parts[part].append(max(parts, key=len).pop())
        return parts


def padding_fraction(batches: Iterator[list[LabeledSequence]]) -> float:
    """Return the fraction of the input tokens of batches that is padding, from 0 to 1.

    Args:
        batches: batches, which are padded to their longest sequence; at least one.
    """
    filled = total = 0
    for batch in batches:
        lengths = [len(sequence.ids) - 1 for sequence in batch]
        filled += sum(lengths)
        total += len(lengths) * max(lengths)
    return 1 - filled / total

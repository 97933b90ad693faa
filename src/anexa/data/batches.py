"""Datasets: labeled token sequences for training and validation batches.

The sequences of a training step are a function of the seed and the step alone, so a resumed run
sees the same sequences as an uninterrupted one.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from anexa.data.tokens import Array

TokenSequence = Sequence[int]  # token ids, or labels

MAX_SHUFFLED_LIST = 2**21  # longest permutation that is drawn as a Python list; else by NumPy


class LabeledSequence(NamedTuple):
    """A token sequence for training or evaluation, and which of its tokens are predicted.

    Attributes:
        ids: token ids.
        labels: for each token its id, or `IGNORE_INDEX` for a token without a loss, such as that of
            a prompt. The first token is not predicted, whatever its label.
        positions: position of each token, for training with gaps; None: 0, 1, 2, …
    """

    ids: TokenSequence
    labels: TokenSequence
    positions: TokenSequence | None = None


class Dataset(Protocol):
    """Source of token sequences for training and evaluation.

    A sequence has 2 to `length` + 1 tokens, where `length` is the context length of the model: all
    tokens but the last are inputs, and the labels of all but the first are targets. At least one of
    these labels is a token id.

    Attributes:
        notes: sentences for the user, such as how many documents were left out or split.
        claim: for a validation dataset, a sentence about what its loss measures, such as how many
            of its documents are also in the training dataset; "" if there is nothing to say.
    """

    notes: tuple[str, ...]
    claim: str

    @property
    def sequences_per_epoch(self) -> int:
        """Number of training sequences in one epoch.

        Raises:
            UsageError: if the dataset is endless.
        """

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the sequences of a training step.

        Args:
            step: number of the step, from 0.
            size: number of sequences. A dataset of short sequences may return more, with about the
                tokens of `size` full ones. A `Mixture` draws single sequences: it calls `batch(n,
                1)` for the n-th sequence that it takes from a dataset.

        Returns:
            The sequences, which depend on the seed and the step alone.
        """

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences for evaluation, spread evenly over the dataset.

        They are the same at each call.
        """


class TextDataset:
    """Base of datasets of plain text: every token but the first is predicted.

    Its `claim` holds for a validation dataset that is split off a text; `with_notes` changes it.
    """

    notes: tuple[str, ...] = ()
    claim = "the validation text is not part of the training text"


Described = TypeVar("Described", bound=TextDataset)


def randperm(n: int, seed: int | str) -> Array:
    """Return a random permutation of 0, 1, …, n − 1, shape (n,), in the smallest unsigned type."""
    rng = random.Random(seed)
    if n > MAX_SHUFFLED_LIST:
        order = np.arange(n, dtype=np.min_scalar_type(n))
        # RandomState, because NumPy guarantees that its stream never changes.
        np.random.RandomState(rng.getrandbits(32)).shuffle(order)
        return order
    numbers = list(range(n))
    rng.shuffle(numbers)
    return np.array(numbers, np.min_scalar_type(n))


def with_notes(
    dataset: Described, note: str, claim: str, like: TextDataset | None = None
) -> Described:
    """Set the notes and the claim of a dataset; empty strings change nothing.

    Args:
        dataset: dataset that is changed.
        note: sentence that is added to `Dataset.notes`.
        claim: new `Dataset.claim`, which is also added to the notes.
        like: dataset whose notes and claim are taken over first; default: those of `dataset` stay.

    Returns:
        `dataset` itself.
    """
    if like is not None:
        dataset.notes, dataset.claim = like.notes, like.claim
    dataset.notes += (note,) if note else ()
    if claim:
        dataset.claim, dataset.notes = claim, (*dataset.notes, claim)
    return dataset


def label_all(tokens: Array) -> LabeledSequence:
    """Copy token ids, shape (T,), to a sequence in which every token has a loss."""
    ids = array("q", tokens.astype(np.int64).tobytes())
    return LabeledSequence(ids, ids)


def evenly_spaced_indices(count: int, size: int) -> list[int]:
    """Return min(`count`, `size`) evenly spaced indices below `count`, in ascending order."""
    size = min(count, size)
    return [i * count // size for i in range(size)]

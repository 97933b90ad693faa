"""Datasets: token sequences for training and validation batches.

The sequences of a training step are a function of the seed and the step alone, so a resumed run
sees the same sequences as an uninterrupted one.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from anexa.data.tokens import Array, TokenizedCorpus
from anexa.errors import AnexaError, UsageError

TokenSequence = Sequence[int]

MAX_SHUFFLED_LIST = 2**21  # longest permutation that is drawn as a Python list; else by NumPy
COUNTED_DOCUMENTS = 2**20  # documents in a chunk of the count of sequences, to bound its memory


class LabeledSequence(NamedTuple):
    """A token sequence for training or evaluation, and which of its tokens are predicted.

    Attributes:
        ids: token ids.
        labels: for each token its id, or `IGNORE_INDEX` for a token without a loss, such as that of
            a prompt. The first token is not predicted, whatever its label.
    """

    ids: TokenSequence
    labels: TokenSequence


class Dataset(Protocol):
    """Source of token sequences for training and evaluation.

    A sequence has 2 to `length` + 1 tokens, where `length` is the context length of the model: all
    tokens but the last are inputs, and the labels of all but the first are targets. At least one of
    these labels is a token id.

    Attributes:
        notes: sentences for the user about text that was left out or split.
        claim: sentence about the relation of a validation dataset to the training dataset.
    """

    notes: tuple[str, ...]
    claim: str

    @property
    def per_epoch(self) -> int:
        """Number of training sequences in one epoch.

        Raises:
            UsageError: if the dataset is endless.
        """

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the sequences of a training step.

        Args:
            step: number of the step, from 0.
            size: batch size. A dataset may return more sequences if they are shorter, with about
                the tokens of `size` full ones.
        """

    def sample(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences, spread evenly over the corpus, for evaluation."""


class TextDataset:
    """Base of datasets of plain text: every token but the first is predicted."""

    notes: tuple[str, ...] = ()
    claim = "the validation text is not part of the training text"


Described = TypeVar("Described", bound=TextDataset)


class TokenWindows(TextDataset):
    """Dataset of running text: each sequence is `length` + 1 tokens from a random position.

    Args:
        tokens: token ids of the text.
        length: number of predicted tokens in a sequence.
        seed: random seed of the positions.

    Attributes:
        tokens: token ids of the text.
        length: number of predicted tokens in a sequence.
    """

    def __init__(self, tokens: npt.ArrayLike, length: int, seed: int) -> None:
        self.tokens: Array = np.asarray(tokens)  # no copy of an array
        self.length = length
        self._seed = seed
        self._starts: Array | None = None

    def select(self, starts: Array, note: str = "", claim: str = "") -> TokenWindows:
        """Return a copy with other `starts`, an additional note, and another claim."""
        dataset = TokenWindows(self.tokens, self.length, self._seed)
        dataset._starts = starts
        return _described(dataset, note, claim)

    @property
    def starts(self) -> Array:
        """Positions of the sequences that `sample` chooses from."""
        if self._starts is None:
            return np.arange(0, len(self.tokens) - 1, self.length)
        return self._starts

    @property
    def per_epoch(self) -> int:
        """See `Dataset`."""
        return max(1, len(self.tokens) // self.length)

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return `size` sequences from random positions.

        Raises:
            AnexaError: if the text is shorter than a sequence.
        """
        rng = random.Random(f"{self._seed} {step}")
        last = len(self.tokens) - self.length - 1
        if last < 0:
            raise AnexaError(
                f"the text is too short: a training sequence has {self.length + 1} tokens, and "
                f"the text has {len(self.tokens)} besides those for validation: give a longer "
                f"text, or a --block-size below {max(2, len(self.tokens))}"
            )
        return [self._sequence(rng.randint(0, last)) for _ in range(size)]

    def sample(self, size: int) -> list[LabeledSequence]:
        """See `Dataset`."""
        starts = self.starts
        return [
            self._sequence(start) for start in starts[evenly_spaced(len(starts), size)].tolist()
        ]

    def _sequence(self, start: int) -> LabeledSequence:
        return _unmasked(self.tokens[start : start + self.length + 1])


class DocumentDataset(TextDataset):
    """Dataset of documents between end-of-text tokens, reshuffled every epoch.

    A document longer than `length` is split into several sequences. Memory: the tokens and about
    12 bytes a document.

    Args:
        tokens: token ids of all documents, with an end-of-text token before and after each.
        boundaries: positions of the end-of-text tokens in `tokens`.
        chosen: indices of the documents in this dataset.
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the order.

    Attributes:
        tokens: token ids of all documents.
        boundaries: positions of the end-of-text tokens.
        chosen: indices of the documents in this dataset.
        length: maximum number of predicted tokens in a sequence.
    """

    def __init__(
        self, tokens: Array, boundaries: Array, chosen: Array, length: int, seed: int
    ) -> None:
        self.tokens, self.boundaries, self.chosen = tokens, boundaries, chosen
        self.length = length
        self._seed = seed
        self._epoch = -1
        self._order = chosen[:0]

    def select(self, chosen: Array, note: str = "", claim: str = "") -> DocumentDataset:
        """Return a dataset of other documents, with an additional note, and another claim."""
        dataset = DocumentDataset(self.tokens, self.boundaries, chosen, self.length, self._seed)
        return _described(dataset, note, claim)

    @cached_property
    def _first(self) -> Array:
        """Number of the first sequence of each document in `chosen`; last, of all sequences."""
        first = np.zeros(len(self.chosen) + 1, np.min_scalar_type(len(self.tokens)))
        for start, counts in self._sequence_counts():
            ends = int(first[start]) + np.cumsum(counts)
            first[start + 1 : start + 1 + len(ends)] = ends
        return first

    @cached_property
    def num_long(self) -> int:
        """Number of documents that are longer than `length`."""
        return sum(int((counts > 1).sum()) for _, counts in self._sequence_counts())

    def _sequence_counts(self) -> Iterator[tuple[int, Array]]:
        """Yield slices of `chosen`: start index, and number of sequences of each document."""
        for start in range(0, len(self.chosen), COUNTED_DOCUMENTS):
            documents = self.chosen[start : start + COUNTED_DOCUMENTS].astype(np.int64)
            sizes = self.boundaries[documents + 1] - self.boundaries[documents]
            yield start, -(-sizes // self.length)

    @property
    def per_epoch(self) -> int:
        """See `Dataset`."""
        return int(self._first[-1])

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """See `Dataset`."""
        return [
            self._sequence(self._shuffled_number(number))
            for number in range(step * size, (step + 1) * size)
        ]

    def sample(self, size: int) -> list[LabeledSequence]:
        """See `Dataset`."""
        return [self._sequence(i) for i in evenly_spaced(self.per_epoch, size)]

    def _shuffled_number(self, number: int) -> int:
        """Map the n-th sequence drawn since the start of training to its index in the dataset."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, _shuffled(self.per_epoch, f"{self._seed} {epoch}")
        return int(self._order[place])

    def _sequence(self, number: int) -> LabeledSequence:
        # `number` in the array's own type, so that NumPy does not convert the whole array.
        i = self._first.searchsorted(self._first.dtype.type(number), side="right") - 1
        document = int(self.chosen[i])
        begin, end = int(self.boundaries[document]), int(self.boundaries[document + 1])
        # Sequences of a document overlap by a token: a last target, and the next first input.
        start = begin + (number - int(self._first[i])) * self.length
        return _unmasked(self.tokens[start : min(start + self.length, end) + 1])


def split(
    tokens: TokenizedCorpus, length: int, seed: int, fraction: float = 0.1
) -> tuple[Dataset, Dataset]:
    """Split a corpus into a training and a validation dataset.

    With the layout "lines", a random `fraction` of the documents is for validation: at least one,
    and never all. With "text" it is the last `fraction` of the tokens. No token is a target in both
    datasets.

    Args:
        tokens: the tokenized corpus.
        length: maximum number of predicted tokens in a sequence.
        seed: random seed of the split and of the order of the sequences.
        fraction: fraction of the corpus for validation, between 0 and 1.

    Raises:
        UsageError: if `fraction` is not between 0 and 1.
        AnexaError: if the corpus is too small for two datasets.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"the validation fraction must be between 0 and 1, such as 0.1, not {fraction}"
        )
    is_lines = tokens.layout == "lines"
    n = len(tokens.boundaries if is_lines else tokens.ids) - 1
    if n < 2:
        what, remedy = (
            (
                "a single document",
                "add a second line, or read it with --layout text",
            )
            if is_lines
            else ("a single character or word", "give a longer text")
        )
        raise AnexaError(
            f"{tokens.name} has {what}, but training and validation need one each: {remedy}"
        )
    cut = n - min(n - 1, max(1, round(n * fraction)))
    if is_lines:
        order = _shuffled(n, seed)
        training, validation = (
            DocumentDataset(tokens.ids, tokens.boundaries, chosen, length, seed)
            for chosen in (order[:cut], order[cut:])
        )
        return training, validation
    # The last training token is the first validation input, and is predicted only in training.
    return TokenWindows(tokens.ids[: cut + 1], length, seed), TokenWindows(
        tokens.ids[cut:], length, seed
    )


def dataset_notes(training: Dataset, validation: Dataset) -> tuple[str, ...]:
    """Return the notes of both datasets; long documents are counted over the whole corpus."""
    notes = (*training.notes, *validation.notes)
    if not isinstance(training, DocumentDataset) or not isinstance(validation, DocumentDataset):
        return notes
    num_long = training.num_long + validation.num_long
    if not num_long:
        return notes
    return (
        f"{num_long:,} of {len(training.chosen) + len(validation.chosen):,} documents are longer "
        f"than the context of {training.length} tokens, and are read in pieces",
        *notes,
    )


def _shuffled(n: int, seed: int | str) -> Array:
    """Return a random permutation of 0, 1, …, n − 1."""
    rng = random.Random(seed)
    if n > MAX_SHUFFLED_LIST:
        order = np.arange(n, dtype=np.min_scalar_type(n))
        # RandomState, because NumPy guarantees that its stream never changes.
        np.random.RandomState(rng.getrandbits(32)).shuffle(order)
        return order
    numbers = list(range(n))
    rng.shuffle(numbers)
    return np.array(numbers, np.min_scalar_type(n))


def _described(dataset: Described, note: str, claim: str) -> Described:
    """Return a dataset with an additional note and another claim; empty strings change nothing."""
    dataset.notes += (note,) if note else ()
    if claim:
        dataset.claim, dataset.notes = claim, (*dataset.notes, claim)
    return dataset


def _unmasked(tokens: Array) -> LabeledSequence:
    """Copy a slice of a memory-mapped array, as a sequence of which every token is predicted."""
    ids = array("q", tokens.astype(np.int64).tobytes())
    return LabeledSequence(ids, ids)


def evenly_spaced(count: int, size: int) -> list[int]:
    """Return at most `size` evenly spaced indices below `count`."""
    size = min(count, size)
    return [i * count // size for i in range(size)]

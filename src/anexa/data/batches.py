"""Tokens as the rows of training and validation batches.

Which rows a step sees depends on the seed and the number of the step alone: a run that goes on
after a stop sees the same rows as one that never stopped.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anexa.data.tokens import Array, Tokens
from anexa.errors import AnexaError, UsageError

Row = Sequence[int]

MANY = 2**21  # of more, an order is drawn by NumPy, without a list of them
STRETCH = 2**20  # documents whose rows are counted at once


class Dataset(Protocol):
    """A source of rows: pieces of text of at least two tokens, at most `length` + 1."""

    @property
    def per_epoch(self) -> int:
        """How many rows of training steps make one pass over all there is.

        Raises:
            UsageError: it has no end.
        """

    def batch(self, step: int, size: int) -> list[Row]:
        """The `size` rows of a training step, or more of them that are as much shorter."""

    def sample(self, size: int) -> list[Row]:
        """At most `size` rows, spread evenly over all the text: for evaluation."""

    def given(self, row: Row) -> int:
        """How many tokens at the beginning of a row are not to be learned; in a text the first."""


class TextDataset:
    """What all rows of texts have in common."""

    def given(self, row: Row) -> int:  # noqa: ARG002 (all rows are alike)
        """See `Dataset`."""
        return 1


class TokenWindows(TextDataset):
    """Rows out of running text: each is `length` + 1 tokens from a random place."""

    def __init__(self, tokens: npt.ArrayLike, length: int, seed: int) -> None:
        self._tokens: Array = np.asarray(tokens)  # itself, if it is an array
        self._length = length
        self._seed = seed

    @property
    def per_epoch(self) -> int:
        """See `Dataset`."""
        return max(1, len(self._tokens) // self._length)

    def batch(self, step: int, size: int) -> list[Row]:
        """See `Dataset`.

        Raises:
            AnexaError: the text is shorter than a row.
        """
        rng = random.Random(f"{self._seed} {step}")
        last = len(self._tokens) - self._length - 1
        if last < 0:
            raise AnexaError(
                f"the text is too short: training sees rows of {self._length + 1} tokens, and "
                f"without the part for validation it has {len(self._tokens)}: give a longer text, "
                f"or a --block-size below {max(2, len(self._tokens))}"
            )
        return [self._row(rng.randint(0, last)) for _ in range(size)]

    def sample(self, size: int) -> list[Row]:
        """See `Dataset`."""
        starts = range(0, len(self._tokens) - 1, self._length)
        return [self._row(starts[i]) for i in _spread(len(starts), size)]

    def _row(self, start: int) -> Row:
        return _as_row(self._tokens[start : start + self._length + 1])


class DocumentDataset(TextDataset):
    """Rows that are documents, each between two boundary tokens, in an order shuffled every epoch.

    A document longer than `length` is cut into several rows. Beside the tokens there are about
    12 bytes a document in memory.

    Args:
        tokens: all documents, each between two boundaries.
        borders: the places of the boundaries in `tokens`.
        chosen: the documents that are meant, by their numbers.
        length: at most so many tokens of a row are predicted.
        seed: of the order.
    """

    def __init__(
        self, tokens: Array, borders: Array, chosen: Array, length: int, seed: int
    ) -> None:
        self._tokens, self._borders, self._chosen = tokens, borders, chosen
        self._length = length
        self._seed = seed
        self._epoch = -1
        self._order = chosen[:0]
        # Before the rows of the i-th document there are _rows[i] others.
        self._rows = np.zeros(len(chosen) + 1, np.min_scalar_type(len(tokens)))
        for start in range(0, len(chosen), STRETCH):
            documents = chosen[start : start + STRETCH].astype(np.int64)
            counts = -((borders[documents] - borders[documents + 1]) // length)
            ends = int(self._rows[start]) + np.cumsum(counts)
            self._rows[start + 1 : start + 1 + len(ends)] = ends

    @property
    def per_epoch(self) -> int:
        """See `Dataset`."""
        return int(self._rows[-1])

    def batch(self, step: int, size: int) -> list[Row]:
        """See `Dataset`."""
        return [self._row(self._drawn(number)) for number in range(step * size, (step + 1) * size)]

    def sample(self, size: int) -> list[Row]:
        """See `Dataset`."""
        return [self._row(i) for i in _spread(self.per_epoch, size)]

    def _drawn(self, number: int) -> int:
        """Which row comes in a place, counted over all epochs."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, _shuffled(self.per_epoch, f"{self._seed} {epoch}")
        return int(self._order[place])

    def _row(self, number: int) -> Row:
        # The number in the array's own type, for which NumPy need not convert the array.
        i = self._rows.searchsorted(self._rows.dtype.type(number), side="right") - 1
        document = int(self._chosen[i])
        begin, end = int(self._borders[document]), int(self._borders[document + 1])
        # Neighbours share a token: the last to be predicted is the first to predict from.
        start = begin + (number - int(self._rows[i])) * self._length
        return _as_row(self._tokens[start : min(start + self._length, end) + 1])


def split(tokens: Tokens, length: int, seed: int, fraction: float = 0.1) -> tuple[Dataset, Dataset]:
    """Rows of at most `length` + 1 tokens to train on, and such to validate with.

    Of "lines", `fraction` of the documents, drawn by `seed`, are for validation: at least one,
    and never all. Of "text", it is that fraction of the tokens at the end. No token is to be
    predicted in both.

    Raises `UsageError` if `fraction` is not between 0 and 1, and `AnexaError` if there is too
    little to have both parts.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"the fraction for validation is {fraction}: choose one between 0 and 1, such as 0.1"
        )
    is_lines = tokens.layout == "lines"
    n = len(tokens.borders if is_lines else tokens.ids) - 1
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
            f"{tokens.name} has {what}, and training and validation need one each: {remedy}"
        )
    cut = n - min(n - 1, max(1, round(n * fraction)))
    if is_lines:
        order = _shuffled(n, seed)
        training, validation = (
            DocumentDataset(tokens.ids, tokens.borders, chosen, length, seed)
            for chosen in (order[:cut], order[cut:])
        )
        return training, validation
    # The last token of the one part is what the first of the other is predicted from.
    return TokenWindows(tokens.ids[: cut + 1], length, seed), TokenWindows(
        tokens.ids[cut:], length, seed
    )


def _shuffled(n: int, seed: int | str) -> Array:
    """The numbers below n in an order drawn by `seed`."""
    rng = random.Random(seed)
    if n > MANY:
        order = np.arange(n, dtype=np.min_scalar_type(n))
        np.random.RandomState(rng.getrandbits(32)).shuffle(order)  # the same in every NumPy
        return order
    numbers = list(range(n))
    rng.shuffle(numbers)
    return np.array(numbers, np.min_scalar_type(n))


def _as_row(tokens: Array) -> Row:
    """A piece of the tokens, out of its file, as numbers of Python."""
    return array("q", tokens.astype(np.int64).tobytes())


def _spread(count: int, size: int) -> list[int]:
    """At most `size` different numbers below `count`, evenly apart."""
    size = min(count, size)
    return [i * count // size for i in range(size)]

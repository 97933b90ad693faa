"""Documents, once they are token ids, as the rows of training and validation batches.

Which rows a step sees depends on the seed and the number of the step alone: a run that goes on
after a stop sees the same rows as one that never stopped.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Protocol

from anexa.errors import AnexaError

Row = Sequence[int]


class Rows(Protocol):
    """A source of rows: pieces of text of at least two tokens, at most `length` + 1."""

    def batch(self, step: int, size: int) -> list[Row]:
        """The `size` rows of a training step."""

    def sample(self, size: int) -> list[Row]:
        """At most `size` rows, spread evenly over all the text: for evaluation."""


class Windows:
    """Rows out of running text: each is `length` + 1 tokens from a random place."""

    def __init__(self, tokens: Sequence[int], length: int, seed: int) -> None:
        self._tokens = array("q", tokens)
        self._length = length
        self._seed = seed

    def batch(self, step: int, size: int) -> list[Row]:
        """See `Rows`.

        Raises:
            AnexaError: the text is shorter than a row.
        """
        rng = random.Random(f"{self._seed} {step}")
        last = len(self._tokens) - self._length - 1
        if last < 0:
            raise AnexaError(
                f"the text is too short: training sees rows of {self._length + 1} tokens, and "
                f"without the part for validation it has {len(self._tokens)}"
            )
        return [self._row(rng.randint(0, last)) for _ in range(size)]

    def sample(self, size: int) -> list[Row]:
        """See `Rows`."""
        starts = range(0, len(self._tokens) - 1, self._length)
        return [self._row(starts[i]) for i in _spread(len(starts), size)]

    def _row(self, start: int) -> Row:
        return self._tokens[start : start + self._length + 1]


class Lines:
    """Rows that are documents, each between two boundary tokens, in an order shuffled every epoch.

    A document longer than `length` is cut into several rows.
    """

    def __init__(
        self, documents: Sequence[Sequence[int]], boundary: int, length: int, seed: int
    ) -> None:
        self._rows: list[Row] = []
        for document in documents:
            row = array("q", [boundary, *document, boundary])
            # Neighbours share a token: the last to be predicted is the first to predict from.
            starts = range(0, len(row) - 1, length)
            self._rows += [row[start : start + length + 1] for start in starts]
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def batch(self, step: int, size: int) -> list[Row]:
        """See `Rows`."""
        return [self._row(number) for number in range(step * size, (step + 1) * size)]

    def sample(self, size: int) -> list[Row]:
        """See `Rows`."""
        return [self._rows[i] for i in _spread(len(self._rows), size)]

    def _row(self, number: int) -> Row:
        epoch, place = divmod(number, len(self._rows))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._rows)))
            random.Random(f"{self._seed} {epoch}").shuffle(self._order)
        return self._rows[self._order[place]]


def _spread(count: int, size: int) -> list[int]:
    """At most `size` different numbers below `count`, evenly apart."""
    size = min(count, size)
    return [i * count // size for i in range(size)]

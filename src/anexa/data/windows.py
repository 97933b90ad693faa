"""Dataset of running text: sequences of a fixed length, from random positions of the text."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from anexa.data.batches import (
    LabeledSequence,
    TextDataset,
    evenly_spaced_indices,
    label_all,
    with_notes,
)
from anexa.data.tokens import Array
from anexa.errors import AnexaError


class TokenWindows(TextDataset):
    """Dataset of running text: a training sequence is `length` + 1 tokens from a random position.

    Args:
        tokens: token ids of the text, shape (N,).
        length: number of predicted tokens in a sequence.
        seed: random seed of the positions.

    Attributes:
        tokens: token ids of the text, shape (N,).
        length: number of predicted tokens in a sequence.
    """

    def __init__(self, tokens: npt.ArrayLike, length: int, seed: int) -> None:
        self.tokens: Array = np.asarray(tokens)  # no copy of an array
        self.length = length
        self._seed = seed
        self._starts: Array | None = None

    def select(self, starts: Array, note: str = "", claim: str = "") -> TokenWindows:
        """Return a copy of the dataset that evaluates other sequences.

        Args:
            starts: positions in `tokens` of the sequences for evaluation, shape (S,).
            note: sentence that is added to the notes; "" for none.
            claim: sentence about what the validation loss measures (`Dataset.claim`), which is
                added to the notes too; "" keeps the old one.
        """
        dataset = TokenWindows(self.tokens, self.length, self._seed)
        dataset._starts = starts
        return with_notes(dataset, note, claim, self)

    @property
    def starts(self) -> Array:
        """Positions in `tokens` of the sequences for evaluation, shape (S,).

        By default, the sequences follow each other: 0, `length`, 2 · `length`, …; the last one may
        be shorter than the others.
        """
        if self._starts is None:
            return np.arange(0, len(self.tokens) - 1, self.length)
        return self._starts

    @property
    def sequences_per_epoch(self) -> int:
        """Number of training sequences in one epoch: len(tokens) / `length`, rounded down, ≥ 1."""
        return max(1, len(self.tokens) // self.length)

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return `size` sequences from random positions, a function of the seed and the step.

        Args:
            step: number of the training step, from 0.
            size: number of sequences.

        Raises:
            AnexaError: if the text has fewer than `length` + 1 tokens.
        """
        rng = random.Random(f"{self._seed} {step}")
        last = len(self.tokens) - self.length - 1
        if last < 0:
            raise AnexaError(
                f"the text is too short for training sequences of {self.length + 1} tokens, as it "
                f"has {len(self.tokens)} besides those for validation: give a longer text, or a "
                f"--block-size below {max(2, len(self.tokens))}"
            )
        return [self._sequence(rng.randint(0, last)) for _ in range(size)]

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return at most `size` sequences, evenly chosen from those at `starts`, for evaluation."""
        starts = self.starts
        return [
            self._sequence(start)
            for start in starts[evenly_spaced_indices(len(starts), size)].tolist()
        ]

    def _sequence(self, start: int) -> LabeledSequence:
        return label_all(self.tokens[start : start + self.length + 1])

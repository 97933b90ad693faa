"""Batches: token sequences with their targets and positions, which engines compute a loss of."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from anexa.model.operations import IGNORE_INDEX as IGNORE_INDEX

TokenPositions: TypeAlias = int | tuple[int, ...] | tuple[tuple[int, ...], ...]
"""Position of the first token of each sequence, which the others follow; a tuple for B sequences
has an entry for each: the position of its first token, or the positions of all its T tokens."""


class BatchSequence(NamedTuple):
    """A sequence of a batch, without padding.

    Attributes:
        inputs: token ids.
        targets: for each token the token to predict; `IGNORE_INDEX` where there is none.
        loss_denominator: divisor of the summed loss.
        positions: position of each token.
    """

    inputs: Sequence[int]
    targets: Sequence[int]
    loss_denominator: float
    positions: Sequence[int]


@dataclass(frozen=True)
class Batch:
    """B sequences of T tokens, and for each token its target: the token that should follow it.

    Attributes:
        inputs: B*T token ids, sequence by sequence; shorter sequences are padded with 0.
        targets: B*T token ids; `IGNORE_INDEX` where no token is to be predicted.
        shape: (B, T); in batches made by `from_sequences` and `from_labels`, T is the length of the
            longest sequence − 1.
        sequence_weights: per-sequence loss weights, shape (B,), nonzero; a negative weight lowers
            the likelihood of the sequence (policy gradient). None: 1 for every sequence.
        positions: positions of the B*T tokens, less than the context length; those of a padded
            sequence end with 0. None: 0, 1, 2, … in every sequence.
    """

    inputs: array[int]
    targets: array[int]
    shape: tuple[int, int]
    sequence_weights: array[float] | None = None
    positions: array[int] | None = None

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[Sequence[int]],
        num_prompt_tokens: Sequence[int] | None = None,
        sequence_weights: Sequence[float] | None = None,
    ) -> Batch:
        """Create a batch in which each token of a sequence is predicted from the tokens before it.

        Args:
            sequences: at least one sequence of token ids, each of at least two tokens; lengths may
                differ.
            num_prompt_tokens: for each sequence the number of tokens at its start that are not
                predicted, at least 1; default: 1.
            sequence_weights: loss weight of each sequence, nonzero; a negative weight lowers the
                likelihood of the sequence. Default: 1 for each.
        """
        prompts = num_prompt_tokens or [1] * len(sequences)
        labels = [[*[IGNORE_INDEX] * n, *ids[n:]] for ids, n in zip(sequences, prompts)]
        return cls.from_labels(sequences, labels, sequence_weights)

    @classmethod
    def from_labels(
        cls,
        sequences: Sequence[Sequence[int]],
        labels: Sequence[Sequence[int]],
        sequence_weights: Sequence[float] | None = None,
        positions: Sequence[Sequence[int] | None] | None = None,
    ) -> Batch:
        """Create a batch in which the labeled tokens of each sequence are predicted.

        Args:
            sequences: at least one sequence of token ids, each of at least two tokens; lengths may
                differ.
            labels: for each sequence, the label of every token: its id, or `IGNORE_INDEX` for a
                token without a loss. The first token is not predicted, whatever its label.
            sequence_weights: loss weight of each sequence, nonzero; a negative weight lowers the
                likelihood of the sequence. Default: 1 for each.
            positions: position of each token, by sequence; of a sequence with None, and by default,
                0, 1, 2, …

        Raises:
            ValueError: if a sequence has not as many positions as tokens.
        """
        length = max(map(len, sequences)) - 1
        inputs, targets = array("q"), array("q")
        for ids, label in zip(sequences, labels):
            padding = length + 1 - len(ids)
            inputs.extend(ids[:-1])
            inputs.extend([0] * padding)
            targets.extend(label[1:])
            targets.extend([IGNORE_INDEX] * padding)
        weights = None if sequence_weights is None else array("d", sequence_weights)
        placed = None
        if positions is not None and any(each is not None for each in positions):
            placed = array("q")
            for ids, each in zip(sequences, positions, strict=True):
                if each is not None and len(each) != len(ids):
                    raise ValueError("a sequence needs a position for each of its tokens")
                placed.extend(range(len(ids) - 1) if each is None else each[:-1])
                placed.extend([0] * (length + 1 - len(ids)))
        return cls(inputs, targets, (len(sequences), length), weights, placed)

    @property
    def num_targets(self) -> int:
        """The number of tokens to predict: the targets other than `IGNORE_INDEX`."""
        return len(self.targets) - self.targets.count(IGNORE_INDEX)

    @property
    def loss_denominators(self) -> array[float]:
        """Divisor of each sequence's summed loss, shape (B,): targets in the batch / weight."""
        weights = self.sequence_weights or [1.0] * self.shape[0]
        return array("d", (self.num_targets / weight for weight in weights))

    @property
    def token_positions(self) -> TokenPositions:
        """The positions of the tokens, as operations take them: 0, or T for each sequence."""
        if self.positions is None:
            return 0
        rows = range(0, len(self.positions), self.shape[1])
        return tuple(tuple(self.positions[row : row + self.shape[1]]) for row in rows)

    def sequences(self) -> Iterator[BatchSequence]:
        """Yield each sequence, up to its last target.

        A sequence without targets is left out: it has no loss.
        """
        length = self.shape[1]
        for index, loss_denominator in enumerate(self.loss_denominators):
            begin = index * length
            targets = self.targets[begin : begin + length]
            while targets and targets[-1] == IGNORE_INDEX:
                targets.pop()
            end = begin + len(targets)
            positions = range(len(targets)) if self.positions is None else self.positions[begin:end]
            if targets:
                yield BatchSequence(self.inputs[begin:end], targets, loss_denominator, positions)

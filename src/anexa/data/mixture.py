"""Mixture of datasets: several corpora at once, each with a share of the sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import cycle, islice
from math import lcm

from anexa.data.batches import Dataset, LabeledSequence, TextDataset


class Mixture:
    """Dataset that draws each sequence from one of several datasets, in proportion to weights.

    The share of a dataset is its weight divided by the sum of the weights. It is exact in any run
    of successive sequences as long as the sum of `weights`; in other runs, it is off by a few
    sequences. Each dataset has its own epochs. An epoch of the mixture has as many sequences as the
    epochs of all datasets together, so its length does not depend on the weights.

    Args:
        names: names of the datasets, for notes.
        datasets: datasets of the corpora.
        weights: weight of each dataset, above 0.

    Attributes:
        names: names of the datasets, for notes.
        datasets: datasets of the corpora.
        weights: weight of each dataset, as whole numbers in lowest terms.
        notes: always empty: the datasets have notes of their own.
        claim: `Dataset.claim`: the claim of all datasets if they agree; else the claims that differ
            from `TextDataset.claim`, each after the name of its dataset.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self, names: Sequence[str], datasets: Sequence[Dataset], weights: Sequence[Fraction | int]
    ) -> None:
        self.names, self.datasets = tuple(names), tuple(datasets)
        self.weights = integer_weights(weights)
        self.claim = self.datasets[0].claim
        if any(dataset.claim != self.claim for dataset in self.datasets):
            self.claim = "; ".join(
                f"{name}: {dataset.claim}"
                for name, dataset in zip(self.names, self.datasets)
                if dataset.claim != TextDataset.claim
            )

    @property
    def sequences_per_epoch(self) -> int:
        """Number of sequences in one epoch: the sum over all datasets."""
        return sum(dataset.sequences_per_epoch for dataset in self.datasets)

    @property
    def passes(self) -> list[Fraction]:
        """Number of epochs of each dataset in an epoch of the mixture."""
        total = sum(self.weights)
        return [
            Fraction(self.sequences_per_epoch * weight, total * dataset.sequences_per_epoch)
            for weight, dataset in zip(self.weights, self.datasets)
        ]

    def batch(self, step: int, size: int) -> list[LabeledSequence]:
        """Return the sequences of a training step (from 0): `size` draws from the datasets."""
        sequences: list[LabeledSequence] = []
        for number in range(step * size, (step + 1) * size):
            source, index = locate_sequence(number, self.weights)
            sequences += self.datasets[source].batch(index, 1)
        return sequences

    def eval_sequences(self, size: int) -> list[LabeledSequence]:
        """Return `size` sequences for evaluation, in the shares of the weights.

        The sequences of a dataset with fewer than its share are repeated.
        """
        return [sequence for sample in self.eval_sequences_by_dataset(size) for sequence in sample]

    def eval_sequences_by_dataset(self, size: int) -> list[list[LabeledSequence]]:
        """Return the sequences of `eval_sequences` as a list for each dataset.

        A dataset with too small a share has an empty list.
        """
        counts = Counter(locate_sequence(number, self.weights)[0] for number in range(size))
        return [
            list(islice(cycle(dataset.eval_sequences(counts[source])), counts[source]))
            for source, dataset in enumerate(self.datasets)
        ]


def locate_sequence(number: int, weights: Sequence[int]) -> tuple[int, int]:
    """Return the dataset of the n-th sequence of a mixture, and its number in that dataset.

    The first dataset gets its share of the numbers, evenly spaced, and the others share the rest
    in the same way. So the result needs no state, and no earlier number.

    Args:
        number: number of the sequence, from 0.
        weights: weight of each dataset, whole numbers.

    Returns:
        The index of the dataset, and the number of the sequence in it, from 0.
    """
    total = sum(weights)
    for dataset, weight in enumerate(weights):
        before, after = ((2 * n * weight + total) // (2 * total) for n in (number, number + 1))
        if after > before:
            return dataset, before
        number -= before
        total -= weight
    raise AssertionError("the last dataset gets all of the rest")


def integer_weights(weights: Sequence[Fraction | int]) -> tuple[int, ...]:
    """Return weights, all above 0, as whole numbers with the same ratios, in lowest terms."""
    fractions = [Fraction(weight) / sum(weights) for weight in weights]
    factor = lcm(*(fraction.denominator for fraction in fractions))
    return tuple(int(fraction * factor) for fraction in fractions)

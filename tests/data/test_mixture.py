"""Mixtures have exactly the shares of their weights, and need no state."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data.batches import Dataset, LabeledSequence
from anexa.data.documents import SeparateDocuments
from anexa.data.mixture import Mixture, integer_weights, locate_sequence
from anexa.data.packing import PackedDocuments
from anexa.data.windows import TokenWindows
from tests.data.helpers import framed

END = -1
weights = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(weights, st.integers(0, 10**12))
def test_shares_are_exact_over_every_block(weights: list[int], start: int) -> None:
    total = sum(weights)
    drawn = [locate_sequence(number, weights) for number in range(start, start + total)]
    assert Counter(dataset for dataset, _ in drawn) == Counter(dict(enumerate(weights)))


@given(weights, st.integers(0, 400))
def test_each_dataset_is_read_in_order_without_a_gap(weights: list[int], count: int) -> None:
    read: list[list[int]] = [[] for _ in weights]
    for number in range(count):
        dataset, place = locate_sequence(number, weights)
        read[dataset].append(place)
    for weight, places in zip(weights, read):
        assert places == [*range(len(places))]
        assert abs(len(places) - count * weight / sum(weights)) < len(weights)


@given(
    st.lists(st.fractions(Fraction(1, 1000), 1000, max_denominator=1000), min_size=1, max_size=4)
)
def test_weights_keep_their_ratios(weights: list[Fraction]) -> None:
    whole = integer_weights(weights)
    assert all(a * weights[0] == b * whole[0] for a, b in zip(whole, weights))
    assert np.gcd.reduce(np.array(whole, object)) == 1


def lines(first: int, count: int, seed: int = 1) -> SeparateDocuments:
    return SeparateDocuments(*framed([[first + i] for i in range(count)], END), 4, seed)


def targets(sequences: list[LabeledSequence]) -> Counter[int]:
    return Counter(t for sequence in sequences for t in sequence.labels[1:] if t != END)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7))
def test_without_weights_an_epoch_has_every_sequence_once(a: int, b: int, size: int) -> None:
    mixture = Mixture(["a", "b"], [lines(0, a), lines(100, b)], [a, b])
    assert mixture.sequences_per_epoch == a + b
    assert mixture.passes == [1, 1]
    for epoch in range(2):
        numbers = range(epoch * (a + b), (epoch + 1) * (a + b))
        found = targets([s for number in numbers for s in mixture.batch(number, 1)])
        assert found == Counter([*range(a), *range(100, 100 + b)])
    rows = [mixture.batch(step, size) for step in range(9)]
    ones = [mixture.batch(step, 1)[0] for step in range(9 * size)]
    assert [sequence for row in rows for sequence in row] == ones


def sources(seed: int) -> list[Dataset]:
    texts = [[i, i] for i in range(7)]
    return [
        lines(0, 9, seed),
        TokenWindows(range(50), 4, seed),
        PackedDocuments(*framed(texts, END), 4, seed),
    ]


@given(
    st.integers(0, 99),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=2, max_size=6),
)
def test_a_batch_depends_on_seed_and_step_alone(seed: int, asked: list[tuple[int, int]]) -> None:
    mixture = Mixture("abc", sources(seed), [3, 2, 1])
    once = [mixture.batch(*request) for request in asked]
    assert once == [Mixture("abc", sources(seed), [3, 2, 1]).batch(*request) for request in asked]
    assert [len(batch) for batch in once] == [size for _, size in asked]


def test_an_upweighted_dataset_is_read_more_often() -> None:
    mixture = Mixture("ab", [lines(0, 10), lines(100, 30)], [Fraction("1.5"), Fraction("0.5")])
    assert mixture.weights == (3, 1)
    assert mixture.sequences_per_epoch == 40
    assert mixture.passes == [3, Fraction(1, 3)]
    found = targets([s for step in range(10) for s in mixture.batch(step, 4)])
    assert {found[i] for i in range(10)} == {3}
    assert sum(found[i] for i in range(100, 130)) == 10


@pytest.mark.parametrize("size", [1, 4, 12, 40])
def test_validation_has_the_shares_of_the_weights(size: int) -> None:
    mixture = Mixture("ab", [lines(0, 2), lines(100, 90)], [3, 1])
    sample = mixture.eval_sequences(size)
    assert len(sample) == size
    few = sum(sequence.ids[1] < 100 for sequence in sample)
    assert few == round(0.75 * size)
    many = [sequence.ids[1] for sequence in sample if sequence.ids[1] >= 100]
    assert len({*many}) == len(many), "none of those is repeated"


def test_claims_are_told_apart() -> None:
    one, other = lines(0, 2), lines(5, 2)
    assert Mixture("ab", [one, other], [1, 1]).claim == one.claim
    known = other.select(other.chosen, claim="known")
    assert Mixture("ab", [one, known], [1, 1]).claim == "b: known"

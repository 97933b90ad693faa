"""Documents that share sequences: an epoch predicts each of their tokens once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data.batches import Dataset, LabeledSequence
from anexa.data.documents import COUNT_BATCH_SIZE
from anexa.data.packing import PackedDocuments
from anexa.data.splitting import dataset_notes, split
from anexa.data.tokens import TokenizedCorpus
from anexa.data.windows import TokenWindows
from anexa.errors import AnexaError
from tests.data.helpers import framed

END = -1
seeds = st.integers(0, 2**32)
lengths = st.integers(1, 9)
fractions = st.floats(0.001, 0.999)


@st.composite
def documents(draw: st.DrawFn, min_size: int = 1) -> list[list[int]]:
    """Make documents in which no token occurs twice, so that a token shows its position."""
    sizes = draw(st.lists(st.integers(0, 25), min_size=min_size, max_size=8))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [list(range(end - size, end)) for end, size in zip(ends, sizes)]


def packed(texts: list[list[int]], length: int, seed: int) -> PackedDocuments:
    return PackedDocuments(*framed(texts, END), length, seed)


def corpus(texts: list[list[int]]) -> TokenizedCorpus:
    ids, boundaries, _ = framed(texts, END)
    return TokenizedCorpus("x", "documents", ids, boundaries)


def listed(sequences: Sequence[LabeledSequence]) -> list[list[int]]:
    return [list(sequence.ids) for sequence in sequences]


def targets(sequences: Sequence[LabeledSequence]) -> Counter[int]:
    return Counter(token for sequence in sequences for token in sequence.labels[1:])


def expected(texts: list[list[int]]) -> Counter[int]:
    return Counter(token for text in texts for token in [*text, END])


def epoch(dataset: Dataset, number: int) -> list[LabeledSequence]:
    n = dataset.sequences_per_epoch
    return [dataset.batch(i, 1)[0] for i in range(number * n, (number + 1) * n)]


@given(documents(), lengths, seeds, st.integers(0, 3))
def test_an_epoch_predicts_every_token_once(
    texts: list[list[int]], length: int, seed: int, number: int
) -> None:
    dataset = packed(texts, length, seed)
    sequences = epoch(dataset, number)
    assert targets(sequences) == expected(texts)
    assert len(sequences) == -(-dataset.num_tokens // length)
    assert sum(len(each.ids) <= length for each in sequences) <= 1, "all but one are full"
    assert targets(dataset.eval_sequences(10**9)) == expected(texts)


@given(documents(), lengths, seeds)
def test_a_sequence_continues_documents_and_joins_them_by_end_of_text(
    texts: list[list[int]], length: int, seed: int
) -> None:
    first, last = {text[0] for text in texts if text}, {text[-1] for text in texts if text}
    for sequence in epoch(packed(texts, length, seed), 0):
        for a, b in zip(sequence.ids, sequence.ids[1:]):
            if END in (a, b):
                assert a == END or a in last
                assert b == END or b in first
            else:
                assert b == a + 1
        assert sequence.labels == sequence.ids


def test_a_validation_sample_joins_the_documents_in_their_order() -> None:
    dataset = packed([[1, 2, 3], [4], [], [5, 6]], 4, seed=1)
    assert listed(dataset.eval_sequences(9)) == [
        [END, 1, 2, 3, END],
        [END, 4, END, END, 5],
        [5, 6, END],
    ]
    assert listed(dataset.select(np.array([3, 0])).eval_sequences(9)) == [
        [END, 5, 6, END, 1],
        [1, 2, 3, END],
    ]
    assert listed(dataset.eval_sequences(2)) == [[END, 1, 2, 3, END], [END, 4, END, END, 5]]


def test_epochs_cut_the_documents_at_other_places() -> None:
    texts = [[*range(100)]]
    cuts = [sorted(each[0] for each in listed(epoch(packed(texts, 9, 1), i))) for i in range(4)]
    assert len({str(cut) for cut in cuts}) == 4


@given(documents(), lengths, seeds, st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5))))
def test_a_batch_depends_on_seed_and_step_alone(
    texts: list[list[int]], length: int, seed: int, asked: list[tuple[int, int]]
) -> None:
    dataset = packed(texts, length, seed)
    once = [dataset.batch(*request) for request in asked]
    assert once == [packed(texts, length, seed).batch(*request) for request in asked]
    for (step, size), batch in zip(asked, once):
        assert batch == [dataset.batch(i, 1)[0] for i in range(step * size, (step + 1) * size)]


def test_sequences_of_a_step_never_change_between_versions() -> None:
    """So that a run can be resumed with a later version."""
    dataset = packed([[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]], 5, seed=7)
    assert listed(dataset.batch(0, 3)) == [
        [8, 9, 10, END, 5],
        [5, 6, END, 4, END, 1],
        [1, 2, 3, END, 7, 8],
    ]


@given(documents(min_size=2), lengths, seeds, fractions)
def test_no_document_is_on_both_sides_of_the_split(
    texts: list[list[int]], length: int, seed: int, fraction: float
) -> None:
    training, validation = split(corpus(texts), length, seed, fraction)
    assert isinstance(training, PackedDocuments)
    assert isinstance(validation, PackedDocuments)
    assert sorted([*training.chosen, *validation.chosen]) == [*range(len(texts))]
    sides = [targets(part.eval_sequences(10**9)) for part in (training, validation)]
    assert sides[0] + sides[1] == expected(texts)
    assert sides[0].keys() & sides[1].keys() == {END}
    shortest = 1 + min(map(len, texts))
    total = sum(expected(texts).values())
    assert validation.num_tokens <= max(shortest, fraction * total)
    [note] = dataset_notes(training, validation)
    assert note.startswith(f"for validation: {len(validation.chosen)} of {len(texts)} documents")


def test_a_long_document_is_not_the_validation_of_short_ones() -> None:
    texts = [[7] * 5000, *([i] * 50 for i in range(100))]
    for seed in range(9):
        _, validation = split(corpus(texts), 8, seed)
        assert isinstance(validation, PackedDocuments)
        assert 0 not in validation.chosen
        assert 0.09 < validation.num_tokens / (5001 + 5100) <= 0.1


def test_a_single_document_is_split_within() -> None:
    training, validation = split(corpus([[*range(99)]]), 8, 1)
    assert isinstance(training, TokenWindows)
    assert validation.notes == ("there is a single document: the last 10% of it is for validation",)
    assert targets([*training.eval_sequences(99), *validation.eval_sequences(99)]) == expected(
        [[*range(99)]]
    )
    with pytest.raises(AnexaError, match="a single character or word"):
        split(corpus([[]]), 8, 1)


def test_very_many_documents_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [list(range(10 * i, 10 * i + i % 9)) for i in range(200)]
    whole = split(corpus(texts), 3, 1)
    batches = [whole[0].batch(i, 20) for i in range(20)]
    assert COUNT_BATCH_SIZE > 200
    monkeypatch.setattr("anexa.data.documents.COUNT_BATCH_SIZE", 7)
    parts = split(corpus(texts), 3, 1)
    assert [parts[0].batch(i, 20) for i in range(20)] == batches
    assert parts[1].eval_sequences(99) == whole[1].eval_sequences(99)
    assert parts[1].notes == whole[1].notes

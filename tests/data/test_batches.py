from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data import batches
from anexa.data import documents as documents_module
from anexa.data.batches import Dataset, LabeledSequence
from anexa.data.documents import SeparateDocuments
from anexa.data.splitting import split
from anexa.data.tokens import TokenizedCorpus
from anexa.data.windows import TokenWindows
from anexa.errors import AnexaError, UsageError
from tests.data.helpers import framed

END_OF_TEXT = -1
seeds = st.integers(0, 2**32)
lengths = st.integers(1, 9)
# (step, size) of batches that may be asked for, in the order of asking
requests = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=2, max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> list[list[int]]:
    """Make documents in which no token occurs twice, so that a sequence shows its position."""
    sizes = draw(st.lists(st.integers(0, 25), min_size=1, max_size=8))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [list(range(end - size, end)) for end, size in zip(ends, sizes)]


def listed(rows: Sequence[LabeledSequence]) -> list[list[int]]:
    return [list(row.ids) for row in rows]


def epoch(lines: SeparateDocuments, number: int) -> list[list[int]]:
    """Return all sequences of an epoch, from batches of one sequence."""
    n = len(lines.eval_sequences(10**9))
    return [list(lines.batch(step, 1)[0].ids) for step in range(number * n, (number + 1) * n)]


# Windows


@given(st.integers(0, 60), lengths, seeds, requests)
def test_windows_are_pieces_of_the_text(
    more: int, length: int, seed: int, asked: list[tuple[int, int]]
) -> None:
    n = length + 1 + more
    windows = TokenWindows(range(n), length, seed)
    for step, size in asked:
        rows = listed(windows.batch(step, size))
        assert len(rows) == size
        for row in rows:
            assert row == list(range(row[0], row[0] + length + 1))
            assert 0 <= row[0] <= n - length - 1


def test_windows_begin_at_every_position() -> None:
    windows = TokenWindows(range(14), 8, seed=1)
    starts = Counter(row.ids[0] for step in range(60) for row in windows.batch(step, 10))
    assert set(starts) == {0, 1, 2, 3, 4, 5}
    assert min(starts.values()) > 60  # of 100 expected


def test_a_text_of_exactly_one_window() -> None:
    assert listed(TokenWindows(range(9), 8, seed=1).batch(0, 2)) == [list(range(9))] * 2


@pytest.mark.parametrize("n", [0, 1, 8])
def test_a_text_shorter_than_a_window_is_refused(n: int) -> None:
    with pytest.raises(AnexaError, match=rf"sequences of 9 tokens, as it has {n} besides"):
        TokenWindows(range(n), 8, seed=1).batch(0, 1)


# Lines


@given(documents(), lengths, seeds, requests)
def test_sequences_have_two_tokens_or_more(
    texts: list[list[int]], length: int, seed: int, asked: list[tuple[int, int]]
) -> None:
    lines = SeparateDocuments(*framed(texts, END_OF_TEXT), length, seed)
    for step, size in asked:
        rows = listed(lines.batch(step, size))
        assert len(rows) == size
        assert all(2 <= len(row) <= length + 1 for row in rows)


@given(documents(), lengths, seeds, st.integers(0, 3))
def test_an_epoch_predicts_every_token_once(
    texts: list[list[int]], length: int, seed: int, number: int
) -> None:
    rows = epoch(SeparateDocuments(*framed(texts, END_OF_TEXT), length, seed), number)
    targets = Counter(token for row in rows for token in row[1:])
    expected = Counter(token for text in texts for token in text)
    expected[END_OF_TEXT] = len(texts)
    assert targets == expected


@given(documents(), lengths, seeds)
def test_sequences_of_a_document_share_a_token_and_have_boundaries(
    texts: list[list[int]], length: int, seed: int
) -> None:
    rows = epoch(SeparateDocuments(*framed(texts, END_OF_TEXT), length, seed), 0)
    following = {row[0]: row for row in rows if row[0] != END_OF_TEXT}
    whole = []
    for row in (row for row in rows if row[0] == END_OF_TEXT):
        text = row
        while text[-1] != END_OF_TEXT:
            assert len(row) == length + 1  # only the last row of a document is shorter
            row = following.pop(text[-1])
            text = text + row[1:]
        whole.append(text)
    assert not following
    assert sorted(whole) == sorted([END_OF_TEXT, *text, END_OF_TEXT] for text in texts)


def test_epochs_are_shuffled_differently() -> None:
    lines = SeparateDocuments(*framed([[i] for i in range(20)], END_OF_TEXT), 8, seed=1)
    orders = [epoch(lines, number) for number in range(4)]
    assert len({str(order) for order in orders}) == 4
    assert orders[0] != listed(lines.eval_sequences(20))
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_a_batch_may_span_epochs() -> None:
    lines = SeparateDocuments(*framed([[0], [1], [2]], END_OF_TEXT), 8, seed=1)
    one_by_one = [list(lines.batch(i, 1)[0].ids) for i in range(8)]
    assert listed(lines.batch(0, 8)) == one_by_one


# Both


@given(seeds, requests, st.booleans())
def test_a_batch_depends_on_seed_and_step_alone(
    seed: int, asked: list[tuple[int, int]], of_lines: bool
) -> None:
    def rows() -> Dataset:
        if of_lines:
            return SeparateDocuments(*framed([[i, i] for i in range(7)], END_OF_TEXT), 4, seed)
        return TokenWindows(range(50), 4, seed)

    source = rows()
    once = [listed(source.batch(*request)) for request in asked]
    repeated = [listed(source.batch(*request)) for request in reversed(asked)]
    fresh = [listed(rows().batch(*request)) for request in asked]
    assert once == repeated[::-1] == fresh


def test_other_seeds_and_steps_give_other_batches() -> None:
    texts = [[i] for i in range(100)]
    sources: list[Dataset] = [
        SeparateDocuments(*framed(texts, END_OF_TEXT), 8, seed) for seed in range(5)
    ]
    assert len({str(listed(source.batch(0, 20))) for source in sources}) == 5
    sources = [TokenWindows(range(10_000), 8, seed) for seed in range(5)]
    assert len({str(listed(source.batch(0, 20))) for source in sources}) == 5
    assert len({str(listed(sources[0].batch(step, 20))) for step in range(5)}) == 5


@given(st.integers(1, 200), st.integers(1, 300))
def test_samples_are_distinct_and_evenly_spread(n: int, size: int) -> None:
    texts = [[i] for i in range(n)]
    places = [
        row.ids[1]
        for row in SeparateDocuments(*framed(texts, END_OF_TEXT), 8, seed=1).eval_sequences(size)
    ]
    assert len(places) == min(n, size)
    assert places[0] == 0
    gaps = {b - a for a, b in pairwise([*places, n])}
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@given(st.integers(2, 200), lengths)
def test_a_whole_sample_of_windows_predicts_every_token_once(n: int, length: int) -> None:
    if n < length + 1:
        return
    rows = listed(TokenWindows(range(n), length, seed=1).eval_sequences(n))
    assert [token for row in rows for token in row[1:]] == list(range(1, n))
    assert all(2 <= len(row) <= length + 1 for row in rows)


def test_samples_do_not_depend_on_the_seed() -> None:
    texts = [[i] for i in range(100)]
    samples = [
        str(listed(SeparateDocuments(*framed(texts, END_OF_TEXT), 8, seed).eval_sequences(9)))
        for seed in range(3)
    ]
    assert len(set(samples)) == 1
    samples = [
        str(listed(TokenWindows(range(500), 8, seed).eval_sequences(9))) for seed in range(3)
    ]
    assert len(set(samples)) == 1


# The split

fractions = st.floats(0.001, 0.999)


def rows_of(source: Dataset) -> list[list[int]]:
    return listed(source.eval_sequences(10**9))


def predicted(source: Dataset) -> list[int]:
    return [token for row in rows_of(source) for token in row[1:]]


def as_tokens(texts: list[list[int]]) -> TokenizedCorpus:
    ids, boundaries, _ = framed(texts, END_OF_TEXT)
    return TokenizedCorpus("x", "lines", ids, boundaries)


def running(n: int) -> TokenizedCorpus:
    return TokenizedCorpus("x", "text", np.array([END_OF_TEXT, *range(n)]), np.zeros(1, np.int64))


@given(st.integers(2, 200), fractions, seeds, lengths)
def test_split_of_lines_keeps_every_document(
    n: int, fraction: float, seed: int, length: int
) -> None:
    texts = [list(range(10 * i, 10 * i + i % 7)) for i in range(n)]
    training, validation = split(as_tokens(texts), length, seed, fraction)
    parts = [Counter(predicted(part)) for part in (training, validation)]
    assert parts[0] + parts[1] == Counter(t for text in texts for t in [*text, END_OF_TEXT])
    assert parts[0].keys() & parts[1].keys() == {END_OF_TEXT}
    assert abs(parts[1][END_OF_TEXT] - fraction * n) <= 1
    assert parts[0][END_OF_TEXT]
    assert parts[1][END_OF_TEXT]
    assert training.sequences_per_epoch == len(rows_of(training))


@given(st.integers(2, 300), fractions, seeds, lengths)
def test_split_of_text_keeps_every_token(n: int, fraction: float, seed: int, length: int) -> None:
    training, validation = split(running(n), length, seed, fraction)
    assert predicted(training) + predicted(validation) == list(range(n))
    assert rows_of(training)[0][0] == END_OF_TEXT
    assert abs(len(predicted(validation)) - fraction * n) <= 1
    assert predicted(training)
    assert predicted(validation)
    assert training.sequences_per_epoch == max(1, (len(predicted(training)) + 1) // length)


def test_split_of_lines_is_drawn_by_the_seed() -> None:
    shuffled = list(range(100))
    random.Random(42).shuffle(shuffled)
    training, validation = split(as_tokens([[i] for i in range(100)]), 8, seed=42)
    assert [row[1] for row in rows_of(training)] == shuffled[:90]
    assert [row[1] for row in rows_of(validation)] == shuffled[90:]
    other = split(as_tokens([[i] for i in range(100)]), 8, seed=1)
    assert rows_of(other[1]) != rows_of(validation)


def test_sequences_of_a_step_never_change_between_versions() -> None:
    """So that a run can be resumed with a later version."""
    order = list(range(9))
    random.Random("7 2").shuffle(order)
    lines = SeparateDocuments(*framed([[i] for i in range(9)], END_OF_TEXT), 8, seed=7)
    assert [row[1] for row in epoch(lines, 2)] == order
    rng = random.Random("7 3")
    starts = [rng.randint(0, 91) for _ in range(4)]
    assert [row.ids[0] for row in TokenWindows(range(100), 8, seed=7).batch(3, 4)] == starts


def test_too_small_corpus_cannot_be_split() -> None:
    with pytest.raises(AnexaError, match="x has a single document"):
        split(as_tokens([[1, 2]]), 8, 1)
    with pytest.raises(AnexaError, match="x has a single character or word"):
        split(running(1), 8, 1)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 10.0, float("nan")])
def test_invalid_validation_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(as_tokens([[1], [2]]), 8, 1, fraction)


def test_very_many_documents_are_shuffled_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy shuffles and counts the documents; the results are the same."""
    monkeypatch.setattr(batches, "MAX_SHUFFLED_LIST", 50)
    monkeypatch.setattr(documents_module, "COUNT_BATCH_SIZE", 7)
    texts = [list(range(10 * i, 10 * i + i % 9)) for i in range(200)]
    training, validation = split(as_tokens(texts), 3, seed=1)
    both = Counter(predicted(training)) + Counter(predicted(validation))
    assert both == Counter(t for text in texts for t in [*text, END_OF_TEXT])
    repeated, _ = split(as_tokens(texts), 3, seed=1)
    n = training.sequences_per_epoch
    assert n > 50
    assert [repeated.batch(i, 1) for i in range(n)] == [training.batch(i, 1) for i in range(n)]
    assert sorted(listed(training.batch(0, n))) == sorted(rows_of(training))
    assert listed(training.batch(0, n)) != listed(training.batch(1, n))
    # Written down, since what is drawn must not depend on the version of NumPy.
    _, validation = split(as_tokens([[i] for i in range(100)]), 8, seed=1)
    assert [row[1] for row in rows_of(validation)] == [13, 39, 2, 73, 53, 16, 30, 19, 17, 62]

"""No text is on both sides of the split."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data import duplicates, ngrams
from anexa.data.batches import Dataset
from anexa.data.documents import DocumentDataset, SeparateDocuments
from anexa.data.duplicates import deduplicate, deduplicate_against
from anexa.data.ngrams import KNOWN_TEXT_CLAIM
from anexa.data.packing import PackedDocuments
from anexa.data.splitting import split
from anexa.data.tokens import TokenizedCorpus
from anexa.data.windows import TokenWindows
from tests.data.helpers import framed

END = -1


def parts(texts: list[list[int]], seed: int = 1) -> tuple[tuple[Dataset, Dataset], ...]:
    """Split documents, without and with a look at duplicates."""
    ids, boundaries, _ = framed(texts, END)
    whole = split(TokenizedCorpus("x", "lines", ids, boundaries), 100, seed)
    return whole, deduplicate(*whole)


def listed(source: Dataset) -> list[tuple[int, ...]]:
    return [tuple(row.ids[1:-1]) for row in source.eval_sequences(10**9)]


def running(tokens: Sequence[int], length: int = 32) -> tuple[Dataset, Dataset]:
    ids = np.array([0, *tokens])
    return deduplicate(*split(TokenizedCorpus("x", "text", ids, np.zeros(1, np.int64)), length, 1))


def test_documents_that_are_trained_on_are_left_out_of_the_validation() -> None:
    rng = random.Random(1)
    texts = [[rng.randrange(150), 7] for _ in range(300)]
    texts += [[1000 + i] for i in range(700)]
    (training, before), (same, after) = parts(texts)
    assert same is training, "so that batches are those of before"
    trained = set(listed(training))
    assert listed(after) == [text for text in listed(before) if text not in trained]
    left_out = len(listed(before)) - len(listed(after))
    assert left_out > 10
    assert after.notes == (
        f"left out of the validation: {left_out} of 100 documents, which are trained on too",
    )
    assert "not part of the training text" in after.claim


def test_documents_without_duplicates_stay_as_they_are() -> None:
    whole, separated = parts([[i] for i in range(50)])
    assert whole == separated
    assert separated[1].notes == ()


@pytest.mark.parametrize("seed", range(5))
def test_copies_of_many_documents_are_moved_to_one_side(seed: int) -> None:
    texts = [[i, i + 1, i] for i in range(150)] * 10
    (before, _), (training, validation) = parts(texts, seed)
    sides = [Counter(listed(part)) for part in (training, validation)]
    assert not sides[0].keys() & sides[1].keys()
    assert sides[0] + sides[1] == Counter(map(tuple, texts))
    assert len(sides[1]) == 15
    moved = sum((Counter(listed(before)) - sides[0]).values()) + sum(
        (sides[0] - Counter(listed(before))).values()
    )
    assert validation.notes[0].startswith(f"moved across the split: {moved} of 1,500 documents")


def test_a_single_text_in_many_copies_is_kept_and_said() -> None:
    whole, (training, validation) = parts([[1, 2]] * 20)
    assert listed(validation) == listed(whole[1])
    assert len(listed(training)) == 18
    assert validation.notes == (KNOWN_TEXT_CLAIM,)
    assert validation.claim == KNOWN_TEXT_CLAIM


def test_two_texts_are_on_two_sides() -> None:
    _, (training, validation) = parts([[1], [2]] * 10)
    assert {*listed(training)} | {*listed(validation)} == {(1,), (2,)}
    assert not {*listed(training)} & {*listed(validation)}


def test_windows_of_running_text_are_left_out() -> None:
    rng = random.Random(1)
    fresh = [rng.randrange(50) for _ in range(40_000)]
    held_out = fresh[36_000:]
    # A window from the start, at another offset: half of the validation text.
    tokens = fresh[:36_000] + fresh[1003:3003] + held_out[:2000]
    assert running(fresh)[1].notes == ()
    _, validation = running(tokens)
    copies = {(*fresh[i : i + 8],) for i in range(1003, 3003)}
    rows = [(*row.ids[1:9],) for row in validation.eval_sequences(10**9)]
    assert rows
    assert len(copies & {*rows}) <= 3, "at the end of the copy"
    [note] = validation.notes
    count = int(note.split()[5])
    assert count + len(rows) == -(-4000 // 32)
    assert 2000 / 32 - 3 <= count <= 2000 / 32 + 1


def test_text_that_only_repeats_is_kept_and_said() -> None:
    rng = random.Random(1)
    once = [rng.randrange(50) for _ in range(500)]
    _, validation = running(once * 10)
    assert validation.notes == (KNOWN_TEXT_CLAIM,)
    assert [token for row in validation.eval_sequences(10**9) for token in row.ids[1:]] == once


def test_a_text_shorter_than_a_window_is_kept() -> None:
    _, validation = running(range(90), 4)
    assert validation.notes == ()


def test_results_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    tokens = [rng.randrange(50) for _ in range(5000)]
    tokens += tokens[20:300]
    texts = [[i % 40] for i in range(200)]

    def found() -> list[object]:
        _, windows = running(tokens)
        _, (training, validation) = parts(texts)
        return [
            windows.eval_sequences(99),
            windows.notes,
            listed(training),
            listed(validation),
        ]

    before = found()
    monkeypatch.setattr(ngrams, "HASH_BLOCK_TOKENS", 97)
    monkeypatch.setattr(duplicates, "HASH_BATCH_SIZE", 7)
    assert found() == before


def test_few_of_many_windows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    fresh = [rng.randrange(50) for _ in range(9000)]
    monkeypatch.setattr(ngrams, "MAX_WINDOWS", 10)
    _, validation = running(fresh + fresh[:500] + [rng.randrange(50) for _ in range(500)])
    assert isinstance(validation, TokenWindows)
    assert 0 < len(validation.starts) < 10
    assert " of 10 windows of 32 tokens" in validation.notes[0]


def test_the_documents_of_a_dataset_are_hashed_by_their_tokens() -> None:
    training, _ = parts([[1, 2], [1, 2], [2, 1], [1], [], [258]])[0]
    assert isinstance(training, SeparateDocuments)
    [hashes] = duplicates._document_hashes(training.select(np.arange(6)))
    assert hashes[0] == hashes[1]
    assert len({*hashes.tolist()}) == 5


# Documents of many lines


def whole(texts: list[list[int]], seed: int = 1) -> tuple[Dataset, Dataset]:
    """Split documents of many lines, with a look at duplicates."""
    ids, boundaries, _ = framed(texts, END)
    return deduplicate(*split(TokenizedCorpus("x", "documents", ids, boundaries), 100, seed))


def lines(texts: list[list[int]], seed: int = 1) -> tuple[Dataset, Dataset]:
    """Split documents of a line, with a look at duplicates."""
    return parts(texts, seed)[1]


def documents_of(dataset: Dataset) -> set[tuple[int, ...]]:
    assert isinstance(dataset, DocumentDataset)
    return {
        tuple(dataset.tokens[dataset.boundaries[i] + 1 : dataset.boundaries[i + 1]].tolist())
        for i in dataset.chosen.tolist()
    }


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=2, max_size=40),
    st.sampled_from([lines, whole]),
    st.integers(0, 9),
)
def test_no_text_is_on_both_sides(
    texts: list[list[int]], divide: Callable[..., tuple[Dataset, Dataset]], seed: int
) -> None:
    training, validation = divide(texts, seed)
    sides = documents_of(training), documents_of(validation)
    assert sides[0] | sides[1] == {*map(tuple, texts)}
    if len(sides[0] | sides[1]) > 1:
        assert not sides[0] & sides[1]
    else:
        assert validation.claim == KNOWN_TEXT_CLAIM


def test_repeated_documents_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[i] for i in range(1000)] + [[7]] + [[8]] * 3
    for divide in (whole, lines):
        training, _ = divide(texts)
        assert training.notes == ("6 of 1,004 documents occur more than once",)
        assert divide(texts[:1000])[0].notes == ()
    monkeypatch.setattr(duplicates, "MAX_COUNTED_DOCUMENTS", 250)
    training, _ = whole(texts[:1000] + [[i] for i in range(500)])
    about = int(training.notes[0].split()[1].replace(",", ""))
    assert training.notes == (f"about {about:,} of 1,500 documents occur more than once",)
    assert 700 < about < 1300


def test_similar_documents_are_left_out() -> None:
    """A document is left out if most of its n-grams are in a training document, not if some are."""
    rng = random.Random(1)
    texts = [[rng.randrange(50) for _ in range(400)] for _ in range(100)]
    before = split(TokenizedCorpus("x", "documents", *framed(texts, END)[:2]), 100, 1)
    held_out, trained = (part.chosen.tolist() for part in reversed(before))  # type: ignore[attr-defined]
    assert len(held_out) == 10
    copied, partly = held_out[2], held_out[5]
    texts[copied] = [*texts[trained[0]][100:350], *texts[copied][250:]]
    texts[partly] = [*texts[trained[1]][:150], *texts[partly][150:]]
    training, validation = whole(texts)
    assert documents_of(validation) == {tuple(texts[i]) for i in held_out if i != copied}
    assert validation.notes == (
        "left out of the validation: 1 of 10 documents, most of whose text is trained on too",
    )
    assert training.notes == ()


# Several corpora


def test_what_is_in_another_corpus_is_left_out() -> None:
    rng = random.Random(1)
    long = [[rng.randrange(50) for _ in range(400)] for _ in range(100)]
    _, held_out = whole(long)
    assert isinstance(held_out, PackedDocuments)
    chosen = held_out.chosen.tolist()
    copies = [long[chosen[0]], long[chosen[1]][:390], long[chosen[2]][:100]]
    other = PackedDocuments(*framed(copies, END), 100, 1)
    left = deduplicate_against([other], held_out)
    assert documents_of(left) == {tuple(long[i]) for i in chosen[2:]}
    assert [note.split(",")[0] for note in left.notes] == [
        "left out of the validation: 1 of 10 documents",
        "left out of the validation: 1 of 9 documents",
    ]
    running_text, _ = running([token for i in chosen[2:4] for token in long[i]] * 2)
    left = deduplicate_against([running_text], held_out)
    assert documents_of(left) == {tuple(long[i]) for i in [*chosen[:2], *chosen[4:]]}
    everything, _ = running([token for text in long for token in text] * 2)
    assert deduplicate_against([everything], held_out).claim == KNOWN_TEXT_CLAIM
    assert deduplicate_against([], held_out) is held_out


def test_the_lines_of_another_corpus_are_left_out() -> None:
    _, held_out = parts([[i] for i in range(100)])[0]
    other, _ = parts([[i] for i in range(50)])[0]
    left = deduplicate_against([other], held_out)
    assert documents_of(left) == documents_of(held_out) - documents_of(other)
    assert deduplicate_against([parts([[i] for i in range(200)], 5)[0][0], other], held_out).notes

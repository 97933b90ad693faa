"""Random gaps between the positions of training tokens."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.position_gaps import MAX_GAP, draw_positions
from anexa.training.evaluation import to_batch

LENGTH = 2560
TOKENIZER = ArithmeticCorpus().make_tokenizer("char")


@given(
    ids=st.lists(st.integers(0, 3), min_size=2, max_size=40),
    num_positions=st.integers(1, 100),
    rng=st.randoms(use_true_random=False),
)
def test_positions_jump_only_after_separators(
    ids: list[int], num_positions: int, rng: random.Random
) -> None:
    positions = draw_positions(ids, {2, 3}, num_positions, rng)
    if positions is None:
        return
    assert positions[0] == 0
    assert len(positions) == len(ids)
    assert positions[-2] < num_positions
    for token, at, following in zip(ids, positions, positions[1:]):
        assert 1 <= following - at <= 1 + (MAX_GAP if token in (2, 3) else 0)


def test_every_gap_occurs_and_some_sequences_have_none() -> None:
    rng = random.Random(0)
    drawn = [draw_positions([2] * 9, {2}, 100, rng) for _ in range(400)]
    assert 0.2 < sum(positions is None for positions in drawn) / len(drawn) < 0.3
    gaps = {b - a for one in drawn if one for a, b in pairwise(one)}
    assert gaps == set(range(1, MAX_GAP + 2))


def test_training_has_gaps_and_validation_has_none() -> None:
    training, validation = ArithmeticCorpus(0).make_datasets(TOKENIZER, LENGTH, seed=3)
    rows = [row for step in range(16) for row in training.batch(step, 2)]
    ends = {*TOKENIZER.encode(",;:\n")}
    for row in rows:
        positions = row.positions or ()
        jumps = zip(row.ids, positions, positions[1:])
        assert {token for token, at, following in jumps if following - at > 1} <= ends
    assert 0.6 < sum(row.positions is not None for row in rows) / len(rows) < 0.9
    assert all(row.positions is None for row in validation.eval_sequences(50))


def test_batch_has_the_positions_of_its_sequences() -> None:
    training, _ = ArithmeticCorpus(0).make_datasets(TOKENIZER, LENGTH, seed=3)
    rows = training.batch(0, 2)
    batch = to_batch(rows)
    _, length = batch.shape
    assert batch.positions is not None
    for number, row in enumerate(rows):
        expected = range(len(row.ids)) if row.positions is None else row.positions
        padding = [0] * (length + 1 - len(row.ids))
        placed = batch.positions[number * length : (number + 1) * length]
        assert list(placed) == [*expected[:-1], *padding]

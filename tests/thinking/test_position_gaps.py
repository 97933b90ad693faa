"""Random gaps between the positions of training tokens."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.position_gaps import MAX_DIGIT_GAP_RATE, MAX_SEPARATOR_GAP, PositionGaps
from anexa.training.evaluation import to_batch

LENGTH = 2560
TOKENIZER = ArithmeticCorpus().make_tokenizer("char")
GAPS = PositionGaps(TOKENIZER)
CONVERSATION = (
    "<|user|>A4*A2<|assistant|>8<|endoftext|>"
    "<|user|>B1A3*A7<|assistant|><think>A3B1*a7:A3*a7+0=21;A1,B1*a7+2=9;B9:B9A1</think>91"
    "<|endoftext|>"
)
COMPARISON = (
    "<|user|>Which is larger, B1A3 or A7?<|assistant|>"
    "<think>A3B1?>a7b0:B:1>0:B1A3</think>13<|endoftext|>"
)


@given(
    text=st.text(alphabet="0123456789AXbz+*=,;:\n", min_size=2, max_size=40),
    num_positions=st.integers(1, 100),
    rng=st.randoms(use_true_random=False),
)
def test_positions_increase_and_fit(text: str, num_positions: int, rng: random.Random) -> None:
    ids = TOKENIZER.encode(text)
    positions = GAPS.draw(ids, num_positions, rng)
    if positions is None:
        return
    assert positions[0] == 0
    assert len(positions) == len(ids)
    assert positions[-2] < num_positions
    assert all(1 <= b - a <= 1 + MAX_SEPARATOR_GAP for a, b in pairwise(positions))


def gap_places(text: str) -> dict[int, set[int]]:
    """Draw positions 400 times, and return the sizes of the gaps after each token that has any."""
    ids, rng, places = TOKENIZER.encode(text), random.Random(0), dict[int, set[int]]()
    for _ in range(400):
        for index, (a, b) in enumerate(pairwise(GAPS.draw(ids, LENGTH, rng) or ())):
            if b - a > 1:
                places.setdefault(index, set()).add(b - a - 1)
    return places


@pytest.mark.parametrize(
    ("conversation", "inside_numbers"),
    [(CONVERSATION, ["A3B", "B1A"]), (COMPARISON, ["A3B", "B1A", "a7b"])],
)
def test_gaps_are_after_separators_and_inside_numbers_before_the_last_value(
    conversation: str, inside_numbers: list[str]
) -> None:
    """After the 1 of B1A3, but not inside 21, which is in a fact, the last value, or the answer."""
    places = gap_places(conversation)
    tokens = [TOKENIZER.decode([id_]) for id_ in TOKENIZER.encode(conversation)]
    digits = [index for index, gaps in places.items() if gaps == {1}]
    found = ["".join(tokens[index - 1 : index + 2]) for index in digits]
    assert sorted(found) == inside_numbers
    separators = {index for index, token in enumerate(tokens) if token in {*",;:"}}
    assert {index for index, gaps in places.items() if gaps == {1, 2, 3}} == separators


def test_example_without_a_thought_has_gaps_in_its_question_only() -> None:
    assert gap_places("<|user|>B1A2 A3<|assistant|>12 + 3 or 12 - 3?<|endoftext|>") == {2: {1}}


def test_some_sequences_have_no_gaps_and_rates_vary() -> None:
    number = TOKENIZER.encode("A1" * 400 + ":1")
    rng = random.Random(0)
    drawn = [GAPS.draw(number, LENGTH, rng) for _ in range(400)]
    assert 0.05 < sum(positions is None for positions in drawn) / len(drawn) < 0.15
    rates = [(positions[799] - 799) / 400 for positions in drawn if positions]
    assert 0.3 < sum(rate == 0 for rate in rates) / len(rates) < 0.45
    assert MAX_DIGIT_GAP_RATE - 0.05 < max(rates) < MAX_DIGIT_GAP_RATE + 0.08


def test_training_has_gaps_and_validation_has_none() -> None:
    training, validation = ArithmeticCorpus(0).make_datasets(TOKENIZER, LENGTH, seed=3)
    rows = [row for step in range(16) for row in training.batch(step, 2)]
    assert 0.8 < sum(row.positions is not None for row in rows) / len(rows) < 0.98
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

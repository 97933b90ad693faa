"""Sequences of conversations: cut between turns, batched by length, copies on one side."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anexa.data.batches import LabeledSequence
from anexa.data.conversation_batches import ConversationDataset, padding_fraction
from anexa.data.conversation_file import Conversations
from anexa.data.conversation_sequences import EncodedConversations, encode_conversations
from anexa.errors import AnexaError
from anexa.model.general_template import general_template, general_tokens
from anexa.model.operations import IGNORE_INDEX
from anexa.model.tokenizer import Tokenizer

TEMPLATE = general_template(thinking=False)
TOKENIZER = Tokenizer.from_characters(
    [" abcdefghijklmnopqrstuvwxyz0123456789"], False, general_tokens(thinking=False)
)
LENGTH = 40

Turns = list[tuple[str, str]]


def encode(
    conversations: list[Turns], *, system: str = "", length: int = LENGTH
) -> EncodedConversations:
    """Encode conversations of questions and answers, with the same system prompt."""
    rows = []
    for turns in conversations:
        messages = [{"role": "system", "content": system}] if system else []
        for question, answer in turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        rows.append(json.dumps({"messages": messages}))
    found = Conversations.scan("chat.jsonl", lambda: iter(["\n".join(rows)]))
    return encode_conversations(found, TEMPLATE, TOKENIZER, length)


def message_texts(encoded: EncodedConversations) -> list[str]:
    """Decode all sequences, with their tags."""
    special = {
        TOKENIZER.token_to_id(t): t for t in (*general_tokens(thinking=False), "<|endoftext|>")
    }
    return [
        "".join(special.get(i) or TOKENIZER.decode([i]) for i in encoded.ids[slice(*span)].tolist())
        for span in encoded.spans.tolist()
    ]


def dataset(sizes: list[int], length: int = LENGTH, seed: int = 1) -> ConversationDataset:
    """Make a dataset of sequences with these lengths; their first token is their number."""
    ends = np.cumsum(sizes)
    spans = np.stack([ends - sizes, ends], axis=1)
    ids = np.zeros(ends[-1], np.int64)
    ids[spans[:, 0]] = np.arange(len(sizes))
    return ConversationDataset(ids, ids >= 0, spans, length, seed)


def numbers(batch: list[LabeledSequence]) -> list[int]:
    return [sequence.ids[0] for sequence in batch]


# Cut between turns

words = st.text("abcxyz", min_size=1, max_size=20)


@hypothesis_settings(max_examples=12)
@given(
    conversations=st.lists(
        st.lists(st.tuples(words, words), min_size=1, max_size=8), min_size=1, max_size=4
    ),
    system=st.sampled_from(["", "be brief"]),
)
def test_each_answer_is_learned_once_with_its_question_and_the_system_prompt(
    conversations: list[Turns], system: str
) -> None:
    start = f"<|system|>{system}" if system else ""

    def fits(turn: tuple[str, str]) -> bool:
        return len(TOKENIZER.encode(f"{start}<|user|>{turn[0]}<|assistant|>{turn[1]}")) <= LENGTH

    conversations = [[(f"a{n}", "b"), *turns] for n, turns in enumerate(conversations)]
    encoded = encode(conversations, system=system)
    expected = [turn for turns in conversations for turn in turns if fits(turn)]
    found = []
    for text, span in zip(message_texts(encoded), encoded.spans.tolist()):
        assert len(text) > 0
        assert span[1] - span[0] <= LENGTH + 1
        assert text.startswith(start)
        for turn in text.removeprefix(start).split("<|user|>")[1:]:
            question, answer = turn.removesuffix("<|endoftext|>").split("<|assistant|>")
            found.append((question, answer))
        learned = encoded.ids[slice(*span)][encoded.loss_mask[slice(*span)]]
        assert int((learned == TOKENIZER.eot_token_id).sum()) == text.count("<|assistant|>")
    assert found == expected


def test_a_template_that_refuses_a_piece_refuses_the_row() -> None:
    guard = "{% if messages[0].content == 'third' %}{{ raise_exception('no') }}{% endif %}"
    questions = ("first", "second", "third")
    answers = ({"role": "assistant", "content": "ten words"},) * 3
    turns = zip(({"role": "user", "content": question} for question in questions), answers)
    row = [message for turn in turns for message in turn]
    rows = [json.dumps({"messages": messages}) + "\n" for messages in (row, row[:2])]
    for skip_bad in (False, True):
        found = Conversations.scan("chat", lambda: iter(rows), skip_bad=skip_bad)
        if skip_bad:
            encoded = encode_conversations(found, guard + TEMPLATE, TOKENIZER, LENGTH)
            assert len(message_texts(encoded)) == 1
            assert encoded.notes == ("left out: line 1, which is refused by the chat template",)
        else:
            with pytest.raises(AnexaError, match="line 1 of chat is refused by the chat template"):
                encode_conversations(found, guard + TEMPLATE, TOKENIZER, LENGTH)


def test_pieces_are_as_long_as_possible_and_counted() -> None:
    turns = [(f"question {n}", "yes") for n in range(5)]  # each of 16 tokens
    encoded = encode([[*turns, ("x" * 50, "too long"), *turns[:1]], [("short", "one")]])
    assert Counter(text.count("<|user|>") for text in message_texts(encoded)) == {2: 2, 1: 3}
    assert encoded.notes == (
        "1 of 2 conversations are longer than the context of 40 tokens, and are cut between turns",
        "left out: 1 turn longer than the context of 40 tokens",
    )


# Split


@hypothesis_settings(max_examples=30)
@given(
    choices=st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(lambda x: len({*x}) > 1),
    seed=st.integers(0, 3),
)
def test_copies_of_a_conversation_are_on_the_same_side(choices: list[int], seed: int) -> None:
    encoded = encode([[(f"question {n}", "yes")] for n in choices])
    training, validation = encoded.split(LENGTH, seed)
    sides = [
        {tuple(sequence.ids) for sequence in side.eval_sequences(100)}
        for side in (training, validation)
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert len(training) + len(validation) == len(choices)
    copies = len(choices) - len(set(choices))
    assert bool(copies) == any("are copies of another one" in note for note in encoded.notes)


def test_a_tenth_of_the_conversations_is_for_validation() -> None:
    encoded = encode([[(f"question {n}", "yes")] for n in range(200)])
    training, validation = encoded.split(LENGTH, 7)
    assert (len(training), len(validation)) == (180, 20)
    again = encoded.split(LENGTH, 7)[1]
    assert [s.ids for s in again.eval_sequences(20)] == [
        s.ids for s in validation.eval_sequences(20)
    ]
    assert [s.ids for s in encoded.split(LENGTH, 8)[1].eval_sequences(20)] != [
        s.ids for s in validation.eval_sequences(20)
    ]


# Batches


@hypothesis_settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(2, LENGTH + 1), min_size=1, max_size=120),
    size=st.integers(1, 9),
)
def test_an_epoch_has_every_sequence_once_in_batches_that_fill(sizes: list[int], size: int) -> None:
    data = dataset(sizes)
    count = max(1, data.sequences_per_epoch // size)
    for epoch in range(2):
        batches = [data.batch(epoch * count + place, size) for place in range(count)]
        assert all(batches)
        assert sorted(n for batch in batches for n in numbers(batch)) == list(range(len(sizes)))
        tokens = [sum(len(sequence.ids) for sequence in batch) for batch in batches]
        assert max(tokens) <= 2 * (size + 2) * (LENGTH + 1)


def test_batches_are_a_function_of_seed_and_step() -> None:
    sizes = [random.Random(n).randint(2, LENGTH + 1) for n in range(300)]
    data, again = dataset(sizes), dataset(sizes)
    steps = [5, 0, 200, 31]
    wanted = {step: numbers(data.batch(step, 4)) for step in range(210)}
    assert [numbers(again.batch(step, 4)) for step in steps] == [wanted[step] for step in steps]
    assert numbers(dataset(sizes, seed=2).batch(0, 4)) != wanted[0]
    assert len({tuple(batch) for batch in wanted.values()}) > 100


def test_little_is_padding() -> None:
    rng = random.Random(0)
    data = dataset([min(LENGTH + 1, 2 + int(rng.expovariate(1 / 12))) for _ in range(2000)])
    naive = [
        [data.batch(step, 4)[0] for step in range(start, start + 4)] for start in range(0, 80, 4)
    ]
    ours = padding_fraction(data.batch(step, 4) for step in range(80))
    assert ours < 0.12
    assert ours < padding_fraction(iter(naive)) / 3


def test_labels_ignore_all_but_the_answers() -> None:
    encoded = encode([[("what", "yes"), ("who", "me")], [("other", "no")]])
    for side in encoded.split(LENGTH, 0):
        [sequence] = side.eval_sequences(9)
        learned = [label for label in sequence.labels if label != IGNORE_INDEX]
        assert TOKENIZER.decode(learned) in ("yesme", "no")
        assert all(label in (i, IGNORE_INDEX) for i, label in zip(sequence.ids, sequence.labels))


@pytest.mark.slow
def test_many_conversations_take_memory_for_their_tokens_alone() -> None:
    count = 4_000
    tracemalloc.start()
    encoded = encode([[(f"question {n}", "yes")] for n in range(count)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(encoded.spans) == count
    assert used < 600 * count  # bytes

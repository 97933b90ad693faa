"""The arithmetic corpus: which tokens have a loss, and the sequences of a step."""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import lru_cache
from itertools import chain
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data.batches import LabeledSequence, TokenSequence
from anexa.engines import IGNORE_INDEX
from anexa.errors import UsageError
from anexa.model.chat_format import (
    ASSISTANT,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    END_THINK,
    THINK,
    USER,
    render_messages,
)
from anexa.model.place_marks import mark_places
from anexa.model.tokenizer import END_OF_TEXT
from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL
from anexa.thinking.corpus import (
    MAX_PREDICTED_TOKENS,
    ArithmeticCorpus,
    ChatDataset,
    render_example,
)
from anexa.thinking.examples import (
    CURRICULUM_STEPS,
    INITIAL_MAX_THOUGHT_CHARS,
    MAX_THOUGHT_CHARS,
    Example,
    ExampleGenerator,
)
from anexa.thinking.refusals import NOT_ARITHMETIC_REFUSAL, TOO_LARGE_REFUSAL, UNSUPPORTED_REFUSAL
from anexa.thinking.splits import Split, split_of
from anexa.training.evaluation import to_batch
from anexa.training.opening import open_corpus
from tests.examples import examples
from tests.thinking.reading import assert_true, plain, read_line, split_asked

LENGTH = 2560
TOKENIZER = ArithmeticCorpus().make_tokenizer("char")
REFUSALS = (
    NOT_ARITHMETIC_REFUSAL,
    UNSUPPORTED_REFUSAL,
    TOO_LARGE_REFUSAL,
    BY_ZERO_REFUSAL,
    INEXACT_REFUSAL,
)
ENDINGS = (
    EQUAL_ANSWER,
    INEXACT_REFUSAL,
    BY_ZERO_REFUSAL,
)  # answers to thoughts that are no numbers
MARK_IDS = {TOKENIZER.token_to_id(mark): mark for mark in (*CHAT_TOKENS, END_OF_TEXT)}
PIECES = [MARK_IDS.get(i) or TOKENIZER.decode([i]) for i in range(TOKENIZER.vocab_size)]


def rows_of(*, length: int = LENGTH, seed: int = 1, split: Split = "training") -> ChatDataset:
    return ChatDataset(TOKENIZER, length, ExampleGenerator(length + 1, seed, split), seed)


def text(ids: TokenSequence) -> str:
    """Decode tokens, special tokens included."""
    return "".join(PIECES[token] for token in ids)


@lru_cache(maxsize=1)
def some_rows() -> list[LabeledSequence]:
    """Return sequences of late steps, which have examples of all kinds."""
    rows = rows_of()
    return list(
        chain.from_iterable(
            rows.batch(step, 2) for step in range(CURRICULUM_STEPS, CURRICULUM_STEPS + 64)
        )
    )


def last_turn(row: LabeledSequence) -> tuple[str, str]:
    """Return the last question, without place marks, and all text after it."""
    question, _, answer = text(row.ids).rpartition(USER)[2].partition(ASSISTANT)
    return plain(question), answer


def is_refusal(answer: str) -> bool:
    return answer in REFUSALS or answer.startswith("Do you mean ")


# What is learned


def learned(row: LabeledSequence) -> str:
    """Return the targets of a sequence that have a loss."""
    batch = to_batch([row])
    ids = list(row.ids)
    assert list(batch.inputs) == ids[:-1]
    targets = list(batch.targets)
    count = sum(target != IGNORE_INDEX for target in targets)
    assert batch.num_targets == count > 0
    assert targets == [IGNORE_INDEX] * (len(targets) - count) + ids[len(ids) - count :]
    return text(targets[-count:])


def test_only_the_last_answer_is_learned() -> None:
    kinds: dict[str, int] = dict.fromkeys(("thought", "direct", "refusal", "later"), 0)
    for row in some_rows():
        question, answer = last_turn(row)
        assert answer.endswith(END_OF_TEXT)
        if answer.startswith(THINK + END_THINK):
            kinds["direct"] += 1
            assert learned(row) == answer.removeprefix(THINK + END_THINK)
        else:
            assert learned(row) == answer
            thought = re.fullmatch(rf"{THINK}(.+){END_THINK}(.+)<\|endoftext\|>", answer, re.S)
            kinds["thought"] += thought is not None
            if thought is None:
                kinds["refusal"] += 1
                assert is_refusal(answer.removesuffix(END_OF_TEXT)), question
            else:
                assert re.fullmatch(r"-?\d+(?: R \d+)?", thought[2]) or thought[2] in ENDINGS
        kinds["later"] += text(row.ids).count(USER) > 1
    assert min(kinds.values()) > 10
    assert kinds["thought"] > 0.8 * len(some_rows())


def test_targets_do_not_depend_on_the_rest_of_the_batch() -> None:
    some = some_rows()[:40]
    batch = to_batch(some)
    height, width = batch.shape
    assert (height, width) == (40, max(len(row.ids) for row in some) - 1)
    for number, row in enumerate(some):
        targets = batch.targets[number * width : (number + 1) * width]
        alone = to_batch([row]).targets
        assert list(targets) == list(alone) + [IGNORE_INDEX] * (width - len(alone))


def test_sequences_equal_examples_written_by_hand() -> None:
    rows = rows_of()
    examples = {
        Example((), "2+3", "t", "5"): f"{THINK}t{END_THINK}5{END_OF_TEXT}",
        Example((), "2+3", None, "5", direct=True): f"5{END_OF_TEXT}",
        Example((), "hi", None, NOT_ARITHMETIC_REFUSAL): f"{NOT_ARITHMETIC_REFUSAL}{END_OF_TEXT}",
        Example((("1+1", "2"),), "2+3", "t", "5"): f"{THINK}t{END_THINK}5{END_OF_TEXT}",
        Example((("1+1", "2"),), "2+3", None, "5", direct=True): f"5{END_OF_TEXT}",
        Example((), "2+3", "t", "5", ones_letter=7): f"{THINK}t{END_THINK}5{END_OF_TEXT}",
    }
    for example, expected in examples.items():
        assert learned(rows.label(example)) == expected


@given(seed=st.integers(0, 2**32), step=st.integers(0, 3000))
@examples(20)
def test_a_sequence_is_the_rendered_prompt_and_the_answer(seed: int, step: int) -> None:
    for example in ExampleGenerator(LENGTH + 1, seed).batch(step, LENGTH):
        if example.ones_letter:  # the template has an A for the ones
            assert (
                f"{USER}{mark_places(example.question, example.ones_letter)}{ASSISTANT}"
                in render_example(example)
            )
            continue
        messages = []
        for question, answer in example.earlier_turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": example.question})
        answer = f"{example.answer}{END_OF_TEXT}"
        if example.thought is not None:
            answer = f"{THINK}{example.thought}{END_THINK}{answer}"
        prompt = render_messages(CHAT_TEMPLATE, messages, thinking=not example.direct)
        assert render_example(example) == prompt + answer
        row = TOKENIZER.encode(render_example(example))
        assert row == TOKENIZER.encode_prompt(prompt) + TOKENIZER.encode(answer)
        assert text(row) == render_example(example)
        ids = TOKENIZER.encode(example.question)
        assert TOKENIZER.eot_token_id not in ids, "it knows all of it"


# The rows of a step


@given(
    length=st.integers(64, 2600),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    step=st.integers(0, 2500),
    split=st.sampled_from(get_args(Split)),
)
@examples(15)
def test_sequences_fit_the_context_and_fill_the_batch(
    length: int, size: int, seed: int, step: int, split: Split
) -> None:
    rows = rows_of(length=length, seed=seed, split=split)
    batch = rows.batch(step, size)
    assert batch, "no step is without rows"
    assert max(len(row.ids) for row in batch) <= length + 1
    assert all(row.labels[0] == IGNORE_INDEX for row in batch)
    tokens = sum(len(row.ids) for row in batch)
    assert abs(tokens - size * length) <= 1.1 * (length + 1) + 2 * len(batch)
    assert all(len(row.ids) <= length + 1 for row in rows.eval_sequences(20))


def test_no_example_is_longer_than_the_longest() -> None:
    rows = rows_of()
    longest = max(
        len(row.ids)
        for step in range(CURRICULUM_STEPS, CURRICULUM_STEPS + 128)
        for row in rows.batch(step, 2)
    )
    assert 1100 < longest <= MAX_PREDICTED_TOKENS + 1
    assert rows.notes == ()
    assert rows_of(length=MAX_PREDICTED_TOKENS - 1).notes == (
        "examples of more than 2047 tokens are not drawn",
    )


def test_batches_of_few_tokens_are_not_empty() -> None:
    for seed in range(20):  # of which three had steps without any
        rows = rows_of(length=64, seed=seed)
        for step in range(16):
            batch = rows.batch(step, 1)
            assert to_batch(batch).num_targets


def test_sequences_of_a_step_have_similar_lengths() -> None:
    rows = rows_of()
    batches = [rows.batch(step, 2) for step in range(CURRICULUM_STEPS, CURRICULUM_STEPS + 64)]
    lengths = [[len(row.ids) - 1 for row in batch] for batch in batches]
    read = sum(len(batch) * max(batch) for batch in lengths)
    useful = sum(map(sum, lengths))
    assert useful > 0.85 * read
    mixed = list(chain.from_iterable(lengths))
    random.Random(1).shuffle(mixed)
    read_mixed = sum(
        len(some) * max(some) for some in (mixed[i : i + 20] for i in range(0, len(mixed), 20))
    )
    assert useful < 0.6 * read_mixed, "it is worth it"
    longest = list(map(max, lengths))
    assert longest != sorted(longest), "and no step is known by its neighbours"


def test_equal_seeds_and_steps_give_equal_sequences() -> None:
    steps = [0, 1, 15, 16, 17, 500, 1499, 1500, 3000]
    alone = {step: rows_of(length=1024).batch(step, 2) for step in steps}
    assert len({str(batch) for batch in alone.values()}) == len(steps)
    rows = rows_of(length=1024)
    for order in (steps, steps[::-1], random.Random(1).sample(steps * 2, 2 * len(steps))):
        for step in order:
            assert rows.batch(step, 2) == alone[step]
            rows.eval_sequences(3)
    assert rows_of(length=1024, seed=2).batch(0, 2) != alone[0]
    assert rows.eval_sequences(30) == rows_of(length=1024).eval_sequences(30)
    assert rows.eval_sequences(30) != rows_of(length=1024, seed=2).eval_sequences(30)
    assert rows.eval_sequences(30)[:10] == rows.eval_sequences(10)


def thoughts(steps: range, curriculum_steps: int = CURRICULUM_STEPS) -> list[str]:
    examples = ExampleGenerator(LENGTH + 1, 1, curriculum_steps=curriculum_steps)
    drawn = chain.from_iterable(examples.batch(step, 5120) for step in steps)
    return [example.thought for example in drawn if example.thought]


def test_without_a_curriculum_the_first_steps_have_long_thoughts() -> None:
    assert max(map(len, thoughts(range(16)))) <= INITIAL_MAX_THOUGHT_CHARS
    assert max(map(len, thoughts(range(16), 0))) > MAX_THOUGHT_CHARS / 2


def test_short_thoughts_come_first() -> None:
    longest = [max(map(len, thoughts(range(at, at + 32)))) for at in (0, 1600, 3200, 5040)]
    assert longest[0] <= INITIAL_MAX_THOUGHT_CHARS + MAX_THOUGHT_CHARS * 16 / CURRICULUM_STEPS
    assert longest == sorted(longest)
    assert longest[-1] > 0.85 * MAX_THOUGHT_CHARS
    early, late = thoughts(range(16)), thoughts(range(5040, 5072))
    assert max(map(len, early)) <= INITIAL_MAX_THOUGHT_CHARS
    assert any(thought.count("\n") == 2 for thought in late)
    assert min(map(len, late)) < INITIAL_MAX_THOUGHT_CHARS, "short ones stay"


# Held out


def splits(rows: list[LabeledSequence]) -> list[list[Split]]:
    """Return the splits of the problems that are answered in each sequence."""
    found = []
    for row in rows:
        turns = re.findall(
            r"<\|user\|>(.*?)<\|assistant\|>(.*?)<\|endoftext\|>", text(row.ids), re.S
        )
        assert turns
        answered = []
        for question, answer in turns:
            if not is_refusal(answer.removeprefix(THINK + END_THINK)):
                answered.append(split_asked(plain(question)))
        found.append(answered)
    return found


def test_no_line_of_a_training_thought_is_held_out_or_false() -> None:
    operations: Counter[str] = Counter()
    for thought in thoughts(range(CURRICULUM_STEPS, CURRICULUM_STEPS + 32)):
        for line in map(read_line, thought.split("\n")):
            assert_true(line)
            assert split_of(line.operation, line.a, line.b) == "training"
            operations[line.operation] += 1
    assert set(operations) == {"+", "-", "*", "/", "?>", "?<"}


def test_no_training_sequence_is_held_out() -> None:
    rows = rows_of()
    seen: Counter[Split] = Counter()
    for step in range(CURRICULUM_STEPS, CURRICULUM_STEPS + 160):
        seen.update(chain.from_iterable(splits(rows.batch(step, 2))))
    seen.update(chain.from_iterable(splits(rows.eval_sequences(500))))
    assert set(seen) == {"training"}
    assert seen.total() > 3000


def test_validation_sequences_are_held_out_and_not_from_the_test_split() -> None:
    _, rows = ArithmeticCorpus().make_datasets(TOKENIZER, LENGTH, seed=1)
    sample = rows.eval_sequences(500)
    last = [
        answered[-1]
        for row, answered in zip(sample, splits(sample))
        if not is_refusal(
            last_turn(row)[1].removesuffix(END_OF_TEXT).removeprefix(THINK + END_THINK)
        )
    ]
    assert set(last) == {"validation"}
    assert len(last) > 430


def test_validation_does_not_depend_on_training() -> None:
    first = ArithmeticCorpus().make_datasets(TOKENIZER, LENGTH, seed=1)[1].eval_sequences(64)
    training, validation = ArithmeticCorpus().make_datasets(TOKENIZER, LENGTH, seed=1)
    training.batch(700, 3)
    assert validation.eval_sequences(64) == first
    lengths = {len(row.ids) // 200 for row in validation.eval_sequences(256)}
    assert lengths >= {0, 1, 2, 3, 4, 5}, "of all lengths"


def test_arithmetic_corpus_has_a_name_and_a_hash() -> None:
    corpus = open_corpus("arithmetic", "auto")
    assert corpus.sha256 == ArithmeticCorpus().sha256
    assert re.fullmatch("[0-9a-f]{64}", corpus.sha256)
    assert corpus.name == "arithmetic"


@pytest.mark.parametrize("max_tokens", [63, 8, 0, -1])
def test_examples_that_nearly_all_are_too_long_are_refused(max_tokens: int) -> None:
    """Else drawing one that fits would not end."""
    with pytest.raises(UsageError, match=f"^max_tokens must be at least 64, not {max_tokens}$"):
        ExampleGenerator(max_tokens, 1)
    assert max(one.num_tokens for one in ExampleGenerator(64, 1).sample(50)) <= 64

"""Continuous batching: a sequence generates the same tokens in a batch as alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import BatchKVCache, Engine, KVCache, Logits, open_engine
from anexa.errors import OutOfMemoryError
from anexa.generation import Sampler, SamplingParams, generate_tokens
from anexa.generation import scheduler as scheduling
from anexa.generation.scheduler import (
    MAX_PREFILL_TOKENS,
    PREFILL_CHUNK,
    BatchScheduler,
)
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import ALL_ENGINES, BATCH_ENGINES, needs_torch, random_weights
from tests.examples import examples
from tests.generation.models import random_engine

VOCABULARY, BLOCK_SIZE = 23, 96
ASKED = st.tuples(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=BLOCK_SIZE),  # prompt
    st.integers(1, 24),  # tokens
    st.sampled_from([(0.0, None, 1.0), (0.7, 3, 1.0), (1.5, None, 0.8), (1.0, 5, 0.9)]),
    st.integers(0, 9),  # the step in which it comes
    st.none() | st.integers(0, 20),  # the step in which nobody wants it any more
)
Asked = tuple[list[int], int, tuple[float, int | None, float], int, int | None]


def engine_of(name: str, model_type: str) -> Any:
    return random_engine(name, model_type, VOCABULARY, BLOCK_SIZE)


def written(engine: Engine, asked: Sequence[Asked], max_num_seqs: int) -> list[list[int]]:
    """The tokens of each request, with at most `max_num_seqs` running at a time."""
    scheduler, texts = BatchScheduler(engine, max_num_seqs), [list[int]() for _ in asked]
    inside: dict[scheduling.Sequence, int] = {}
    step = 0
    while step < 10 or inside:
        for number, (prompt, _, sampling, comes, _) in enumerate(asked):
            if comes == step:
                sampler = Sampler(SamplingParams(*sampling, number))
                inside[scheduler.add(prompt, sampler)] = number
        for sequence in [one for one, number in inside.items() if asked[number][4] == step]:
            scheduler.remove(sequence)
            del inside[sequence]
        for sequence, token, _, error in scheduler.step():
            assert error is None
            texts[inside[sequence]].append(token)
            if len(texts[inside[sequence]]) == asked[inside[sequence]][1]:
                scheduler.remove(sequence)
                del inside[sequence]
        assert scheduler.num_running <= max_num_seqs
        assert scheduler.num_running + scheduler.num_waiting == len(inside)
        step += 1
    return texts


# The scheduler knows no architecture: what differs is the KV cache, by its heads and its windows.
SCHEDULED = [
    pytest.param(model_type, marks=() if model_type in ("llama", "gpt_neo") else pytest.mark.slow)
    for model_type in ARCHITECTURES
]


@pytest.mark.parametrize("name", BATCH_ENGINES)
@pytest.mark.parametrize("model_type", SCHEDULED)
@given(asked=st.lists(ASKED, min_size=1, max_size=7), max_num_seqs=st.integers(1, 7))
@examples(25)
def test_tokens_do_not_depend_on_other_sequences(
    name: str, model_type: str, asked: list[Asked], max_num_seqs: int
) -> None:
    """Whichever sequences are in the batch, and whenever they are added and removed."""
    engine = engine_of(name, model_type)
    together = written(engine, asked, max_num_seqs)
    for number, (prompt, tokens, sampling, comes, goes) in enumerate(asked):
        if goes is None or goes < comes:
            assert len(together[number]) == tokens
        scheduler = BatchScheduler(engine, 1)
        scheduler.add(prompt, Sampler(SamplingParams(*sampling, number)))
        alone: list[int] = []
        while len(alone) < len(together[number]):
            alone += [output.token for output in scheduler.step()]
        assert together[number] == alone


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_every_engine_schedules_what_it_generates_alone(name: str) -> None:
    """Also far beyond the context."""
    config = ModelConfig("llama", 7, block_size=12, n_embd=8, n_head=2, n_layer=1)
    engine = open_engine(name, config, random_weights(config, seed=3))
    prompts = [[1, 2, 3], [4], [5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2]]
    scheduler = BatchScheduler(engine, 2)
    sequences = [scheduler.add(p, Sampler(SamplingParams(1.0, seed=5))) for p in prompts]
    while any(len(s.tokens) < 26 for s in sequences):
        for output in scheduler.step():
            if len(output.sequence.tokens) == 26:
                scheduler.remove(output.sequence)
    for prompt, sequence in zip(prompts, sequences):
        tokens = generate_tokens(engine, prompt, Sampler(SamplingParams(1.0, seed=5)))
        assert sequence.tokens == [*prompt, *islice(tokens, 26 - len(prompt))]


def test_a_long_prompt_does_not_stall_other_sequences() -> None:
    class Counting:
        """An engine that records how many tokens each call reads."""

        name = "counting"
        config = ModelConfig("llama", VOCABULARY, block_size=2000, n_embd=8, n_head=2, n_layer=1)
        read: ClassVar[list[int]] = []

        def new_kv_cache(self) -> KVCache:
            return KVCache([])

        def next_logits(self, tokens: Sequence[int], cache: KVCache) -> list[float]:
            cache.length += len(tokens)
            self.read.append(len(tokens))
            return [0.0] * VOCABULARY

    engine: Any = Counting()
    scheduler = BatchScheduler(engine)
    quick = scheduler.add([1], Sampler(SamplingParams()))
    scheduler.step()
    slow = scheduler.add([2] * 1000, Sampler(SamplingParams()))
    for step in range(3):
        engine.read.clear()
        assert [output.sequence for output in scheduler.step()] == [quick]
        assert max(engine.read) <= PREFILL_CHUNK
        assert sum(engine.read) <= 1 + MAX_PREFILL_TOKENS
        assert len(quick.tokens) == 3 + step
    assert {output.sequence for output in scheduler.step()} == {quick, slow}


# What goes wrong


@needs_torch
def test_a_removed_sequence_makes_room_in_the_next_step() -> None:
    scheduler = BatchScheduler(engine_of("torch", "llama"), 2)
    sequences = [scheduler.add([n], Sampler(SamplingParams(seed=n))) for n in range(4)]
    scheduler.step()
    assert (scheduler.num_running, scheduler.num_waiting) == (2, 2)
    scheduler.remove(sequences[0])
    scheduler.remove(sequences[3])  # which was waiting
    scheduler.remove(sequences[3])
    assert {output.sequence for output in scheduler.step()} == {sequences[1], sequences[2]}
    assert (scheduler.num_running, scheduler.num_waiting) == (2, 0)


@needs_torch
def test_a_failed_step_ends_only_the_sequences_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("torch", "llama")
    scheduler = BatchScheduler(engine, 3)
    first = [scheduler.add([n], Sampler(SamplingParams(seed=n))) for n in range(2)]
    scheduler.step()
    later = scheduler.add([5], Sampler(SamplingParams(seed=5)))
    with monkeypatch.context() as broken:
        broken.setattr(engine, "batch_next_logits", lambda *_: 1 / 0)
        drawn = scheduler.step()
    failed = {one.sequence: str(one.error) for one in drawn if one.error}
    assert failed == dict.fromkeys(first, "the model could not be computed: division by zero")
    assert [one.sequence for one in drawn if not one.error] == [later]
    assert [one.sequence for one in scheduler.step()] == [later]
    assert scheduler.num_running == 1


def test_a_prompt_that_fails_ends_no_other_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("numpy", "llama")
    read = engine.next_logits

    def choosy(tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        if 13 in tokens:
            raise MemoryError
        logits = read(tokens, cache)
        return [math.nan] * VOCABULARY if 12 in tokens else logits

    monkeypatch.setattr(engine, "next_logits", choosy)
    scheduler = BatchScheduler(engine)
    sequences = [scheduler.add([n], Sampler(SamplingParams(0.0))) for n in (13, 1, 12)]
    drawn = [*scheduler.step(), *scheduler.step()]
    assert [one.sequence for one in drawn if not one.error] == [sequences[1]]
    (failed,) = [one for one in drawn if one.error]
    assert failed.sequence == sequences[2]
    assert "not a number" in str(failed.error)
    # There might be memory for the first one, once there is nobody else.
    assert (scheduler.num_running, scheduler.num_waiting) == (1, 1)
    scheduler.remove(sequences[1])
    (failed,) = scheduler.step()
    assert failed.sequence == sequences[0]
    assert isinstance(failed.error, OutOfMemoryError)
    assert (scheduler.num_running, scheduler.num_waiting) == (0, 0)


@needs_torch
def test_out_of_memory_ends_the_shortest_half_and_runs_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of("torch", "llama")
    read = engine.batch_next_logits

    def narrow(tokens: Sequence[int], rows: BatchKVCache) -> Logits:
        if len(tokens) > 2:
            raise MemoryError
        logits: Logits = read(tokens, rows)
        return logits

    scheduler = BatchScheduler(engine, 5)
    sequences = [scheduler.add([n], Sampler(SamplingParams(seed=n))) for n in range(7)]
    scheduler.step()
    monkeypatch.setattr(engine, "batch_next_logits", narrow)
    failed = {one.sequence: one.error for one in scheduler.step() if one.error}
    assert list(failed) == sequences[2:5]
    assert {type(error) for error in failed.values()} == {OutOfMemoryError}
    assert (scheduler.num_running, scheduler.num_waiting) == (2, 2)
    assert [one.sequence for one in scheduler.step()] == sequences[:2]
    scheduler.remove(sequences[0])
    assert {one.sequence for one in scheduler.step()} == {sequences[1], sequences[5]}
    for sequence in sequences:
        scheduler.remove(sequence)
    monkeypatch.undo()
    for number in range(5):
        scheduler.add([number], Sampler(SamplingParams(seed=number)))
    scheduler.step()
    assert scheduler.num_running == 5, "and as many as before, once those are done"


def test_sequences_that_outlive_a_lack_of_memory_are_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also with an engine of one sequence at a time, which fails in the middle of a step."""
    config = ModelConfig("llama", 7, block_size=12, n_embd=8, n_head=2, n_layer=1)
    engine = open_engine("lists", config, random_weights(config, seed=3))
    scheduler = BatchScheduler(engine, 4)
    sequences = [scheduler.add([n], Sampler(SamplingParams(1.0, seed=n))) for n in range(4)]
    scheduler.step()
    read, calls = engine.next_logits, list[int]()

    def fail_at_third(tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        calls.append(len(tokens))
        if len(calls) == 3:
            raise MemoryError
        return read(tokens, cache)

    monkeypatch.setattr(engine, "next_logits", fail_at_third)
    failed = [output.sequence for output in scheduler.step() if output.error]
    assert failed == sequences[2:]
    while len(sequences[0].tokens) < 30:
        scheduler.step()
    for number, sequence in enumerate(sequences[:2]):
        sampler = Sampler(SamplingParams(1.0, seed=number))
        expected = islice(generate_tokens(engine, [number], sampler), 29)
        assert sequence.tokens[1:] == [*expected]

"""Texts that are written together: each is what it would be alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.engines import ENGINES, BatchKVCache, Engine, KVCache, Logits, open_engine
from anexa.generation import Sampler, SamplingParams, decode
from anexa.generation.scheduler import CHUNK, PROMPTS, BatchScheduler, ShortOfMemoryError, Stream
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import needs_torch, random_weights

VOCABULARY, BLOCK_SIZE = 23, 96
ASKED = st.tuples(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=BLOCK_SIZE),  # prompt
    st.integers(1, 40),  # tokens
    st.sampled_from([(0.0, None, 1.0), (0.7, 3, 1.0), (1.5, None, 0.8), (1.0, 5, 0.9)]),
    st.integers(0, 9),  # the step in which it comes
    st.none() | st.integers(0, 20),  # the step in which nobody wants it any more
)
Asked = tuple[list[int], int, tuple[float, int | None, float], int, int | None]

_engines: dict[tuple[str, str], Engine] = {}


def engine_of(name: str, model_type: str) -> Any:
    if (name, model_type) not in _engines:
        config = ModelConfig(model_type, VOCABULARY, BLOCK_SIZE, n_embd=16, n_head=4, n_layer=2)
        _engines[name, model_type] = open_engine(name, config, random_weights(config, seed=2))
    return _engines[name, model_type]


def written(engine: Engine, asked: Sequence[Asked], most: int) -> list[list[int]]:
    """What is written for each, as many at a time."""
    batcher, texts = BatchScheduler(engine, most), [list[int]() for _ in asked]
    inside: dict[Stream, int] = {}
    step = 0
    while step < 10 or inside:
        for number, (prompt, _, sampling, comes, _) in enumerate(asked):
            if comes == step:
                sampler = Sampler(SamplingParams(*sampling, number))
                inside[batcher.add(prompt, sampler)] = number
        for stream in [one for one, number in inside.items() if asked[number][4] == step]:
            batcher.remove(stream)
            del inside[stream]
        for stream, token, _, error in batcher.step():
            assert error is None
            texts[inside[stream]].append(token)
            if len(texts[inside[stream]]) == asked[inside[stream]][1]:
                batcher.remove(stream)
                del inside[stream]
        assert batcher.running <= most
        assert batcher.running + batcher.waiting == len(inside)
        step += 1
    return texts


@pytest.mark.parametrize("name", ["numpy", pytest.param("torch", marks=needs_torch)])
@pytest.mark.parametrize("model_type", ARCHITECTURES)
@given(asked=st.lists(ASKED, min_size=1, max_size=7), most=st.integers(1, 7))
@settings(max_examples=30)
def test_company_changes_nothing(name: str, model_type: str, asked: list[Asked], most: int) -> None:
    """Whoever else is there, whenever they come and go, and however many at a time."""
    engine = engine_of(name, model_type)
    together = written(engine, asked, most)
    for number, (prompt, tokens, sampling, comes, goes) in enumerate(asked):
        batcher = BatchScheduler(engine, 1)
        batcher.add(prompt, Sampler(SamplingParams(*sampling, number)))
        alone: list[int] = []
        while len(alone) < tokens:
            alone += [drawn.token for drawn in batcher.step()]
        if goes is None or goes < comes:
            assert together[number] == alone
        else:
            assert together[number] == alone[: len(together[number])]


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_writes_what_decoding_writes(name: str) -> None:
    """Far beyond the context, too."""
    if name == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    config = ModelConfig("llama", 7, block_size=12, n_embd=8, n_head=2, n_layer=1)
    engine = open_engine(name, config, random_weights(config, seed=3))
    prompts = [[1, 2, 3], [4], [5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2]]
    batcher = BatchScheduler(engine, 2)
    streams = [batcher.add(p, Sampler(SamplingParams(1.0, seed=5))) for p in prompts]
    while any(len(s.tokens) < 40 for s in streams):
        for drawn in batcher.step():
            if len(drawn.stream.tokens) == 40:
                batcher.remove(drawn.stream)
    for prompt, stream in zip(prompts, streams):
        tokens = decode(engine, prompt, Sampler(SamplingParams(1.0, seed=5)))
        assert stream.tokens == [*prompt, *islice(tokens, 40 - len(prompt))]


def test_a_long_prompt_stalls_nobody() -> None:
    class Counting:
        """An engine that says how many tokens it has been given."""

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
    batcher = BatchScheduler(engine)
    quick = batcher.add([1], Sampler(SamplingParams()))
    batcher.step()
    slow = batcher.add([2] * 1000, Sampler(SamplingParams()))
    for step in range(3):
        engine.read.clear()
        assert [drawn.stream for drawn in batcher.step()] == [quick]
        assert max(engine.read) <= CHUNK
        assert sum(engine.read) <= 1 + PROMPTS
        assert len(quick.tokens) == 3 + step
    assert {drawn.stream for drawn in batcher.step()} == {quick, slow}


# What goes wrong


@needs_torch
def test_a_place_is_free_within_a_step() -> None:
    batcher = BatchScheduler(engine_of("torch", "llama"), 2)
    streams = [batcher.add([n], Sampler(SamplingParams(seed=n))) for n in range(4)]
    batcher.step()
    assert (batcher.running, batcher.waiting) == (2, 2)
    batcher.remove(streams[0])
    batcher.remove(streams[3])  # which was waiting
    batcher.remove(streams[3])
    assert {drawn.stream for drawn in batcher.step()} == {streams[1], streams[2]}
    assert (batcher.running, batcher.waiting) == (2, 0)


@needs_torch
def test_a_step_that_fails_is_the_end_of_its_own_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("torch", "llama")
    batcher = BatchScheduler(engine, 3)
    first = [batcher.add([n], Sampler(SamplingParams(seed=n))) for n in range(2)]
    batcher.step()
    later = batcher.add([5], Sampler(SamplingParams(seed=5)))
    with monkeypatch.context() as broken:
        broken.setattr(engine, "batch_next_logits", lambda *_: 1 / 0)
        drawn = batcher.step()
    failed = {one.stream: str(one.error) for one in drawn if one.error}
    assert failed == dict.fromkeys(first, "the model could not be computed: division by zero")
    assert [one.stream for one in drawn if not one.error] == [later]
    assert [one.stream for one in batcher.step()] == [later]
    assert batcher.running == 1


def test_a_prompt_that_cannot_be_read_is_alone_in_that(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("numpy", "llama")
    read = engine.next_logits

    def choosy(tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        if 13 in tokens:
            raise MemoryError
        logits = read(tokens, cache)
        return [math.nan] * VOCABULARY if 12 in tokens else logits

    monkeypatch.setattr(engine, "next_logits", choosy)
    batcher = BatchScheduler(engine)
    streams = [batcher.add([n], Sampler(SamplingParams(0.0))) for n in (13, 1, 12)]
    drawn = [*batcher.step(), *batcher.step()]
    assert [one.stream for one in drawn if not one.error] == [streams[1]]
    (failed,) = [one for one in drawn if one.error]
    assert failed.stream == streams[2]
    assert "not a number" in str(failed.error)
    # There might be memory for the first one, once there is nobody else.
    assert (batcher.running, batcher.waiting) == (1, 1)
    batcher.remove(streams[1])
    (failed,) = batcher.step()
    assert failed.stream == streams[0]
    assert isinstance(failed.error, ShortOfMemoryError)
    assert (batcher.running, batcher.waiting) == (0, 0)


@needs_torch
def test_where_memory_is_short_fewer_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("torch", "llama")
    read = engine.batch_next_logits

    def narrow(tokens: Sequence[int], rows: BatchKVCache) -> Logits:
        if len(tokens) > 2:
            raise MemoryError
        logits: Logits = read(tokens, rows)
        return logits

    batcher = BatchScheduler(engine, 5)
    streams = [batcher.add([n], Sampler(SamplingParams(seed=n))) for n in range(7)]
    batcher.step()
    monkeypatch.setattr(engine, "batch_next_logits", narrow)
    lost = {one.stream: one.error for one in batcher.step() if one.error}
    assert list(lost) == streams[2:5]
    assert {type(error) for error in lost.values()} == {ShortOfMemoryError}
    assert (batcher.running, batcher.waiting) == (2, 2)
    assert [one.stream for one in batcher.step()] == streams[:2]
    batcher.remove(streams[0])
    assert {one.stream for one in batcher.step()} == {streams[1], streams[5]}
    for stream in streams:
        batcher.remove(stream)
    monkeypatch.undo()
    for number in range(5):
        batcher.add([number], Sampler(SamplingParams(seed=number)))
    batcher.step()
    assert batcher.running == 5, "and as many as before, once those are done"

"""Prefix reuse and log probabilities of prompts: the same bits as without, in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import KVBlock, KVCache, open_engine
from anexa.engines.sequential import as_batch_engine
from anexa.errors import AnexaError
from anexa.generation import Sampler, SamplingParams
from anexa.generation import scheduler as scheduling
from anexa.generation.prefix_cache import PrefixCache
from anexa.generation.scheduler import PREFILL_CHUNK, BatchScheduler
from anexa.generation.scheduler import Sequence as Scheduled
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import ALL_ENGINES, BATCH_ENGINES, random_weights
from tests.examples import examples
from tests.generation.models import random_engine

VOCABULARY, BLOCK_SIZE = 11, 300
TEXTS = [[(7 * i * i + 3 * text) % VOCABULARY for i in range(BLOCK_SIZE)] for text in range(2)]
# A prompt: how much of which text, and what stands after it; whether it is scored; when it comes.
ASKED = st.tuples(
    st.integers(0, 1),
    st.integers(1, 220),
    st.lists(st.integers(0, VOCABULARY - 1), max_size=70),
    st.booleans(),
    st.integers(0, 9),
)
Asked = tuple[int, int, list[int], bool, int]
Written = list[tuple[int, list[float]]]  # the tokens of a sequence with their logits


def engine_of(name: str, model_type: str) -> Any:
    return random_engine(name, model_type, VOCABULARY, BLOCK_SIZE)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of four tokens, as the slowest engine reads some in a moment."""
    monkeypatch.setattr(scheduling, "PREFILL_CHUNK", 4)


@cache
def small_engine(name: str) -> Any:
    config = ModelConfig("llama", VOCABULARY, block_size=12, n_embd=4, n_head=1, n_layer=1)
    return open_engine(name, config, random_weights(config, seed=3))


def run(
    scheduler: BatchScheduler, asked: Sequence[Asked], num_tokens: int = 3
) -> list[tuple[Scheduled, Written]]:
    """Generate some tokens for each prompt, which come at the steps that they name."""
    written: dict[int, tuple[Scheduled, Written]] = {}
    running: dict[Scheduled, int] = {}
    for step in itertools.count():
        for number, (text, length, end, is_scored, comes) in enumerate(asked):
            if comes == step:
                sampler = Sampler(SamplingParams(1.0, seed=length))
                prompt = TEXTS[text][:length] + end
                sequence = scheduler.add(prompt, sampler, 2 if is_scored else None)
                written[number], running[sequence] = (sequence, []), number
        for output in scheduler.step():
            assert output.error is None
            tokens = written[running[output.sequence]][1]
            tokens.append((output.token, np.asarray(output.logits).tolist()))
            if len(tokens) == num_tokens:
                scheduler.remove(output.sequence)
                del running[output.sequence]
        if not running and len(written) == len(asked):
            return [written[number] for number in range(len(asked))]
    raise AssertionError


@pytest.mark.parametrize("name", BATCH_ENGINES)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
@given(
    asked=st.lists(ASKED, min_size=2, max_size=4),
    max_num_seqs=st.integers(1, 4),
    max_bytes=st.sampled_from([50_000, 10**9]),  # two or three chunks, or all of them
)
@examples(8)
def test_reuse_changes_no_bit(
    name: str, model_type: str, asked: list[Asked], max_num_seqs: int, max_bytes: int
) -> None:
    """Alone, in company, with reuse and without: the same tokens, logits and log probabilities."""
    engine = engine_of(name, model_type)
    together = run(BatchScheduler(engine, max_num_seqs, max_bytes), asked)
    for one, (sequence, written) in zip(asked, together, strict=True):
        [(alone, expected)] = run(BatchScheduler(engine, 1), [(*one[:4], 0)])
        assert written == expected
        assert sequence.prompt_logprobs == alone.prompt_logprobs
        assert sequence.num_cached_tokens % PREFILL_CHUNK == alone.num_cached_tokens == 0
        assert sequence.num_cached_tokens < sequence.num_prompt_tokens


@pytest.mark.parametrize("name", ALL_ENGINES)
@pytest.mark.usefixtures("small_chunks")
def test_every_engine_reuses_the_chunks_of_earlier_prompts(name: str) -> None:
    engine = small_engine(name)
    scheduler = BatchScheduler(engine, 2, 10**9)
    asked: list[Asked] = [(0, 6, [1], False, 0), (0, 10, [], False, 3), (0, 5, [], False, 5)]
    reused = run(scheduler, asked)
    assert [sequence.num_cached_tokens for sequence, _ in reused] == [0, 4, 4]
    for one, (_, written) in zip(asked, reused, strict=True):
        [(_, expected)] = run(BatchScheduler(engine, 1), [(*one[:4], 0)])
        assert written == expected
    [(whole, _)] = run(scheduler, [(0, 8, [], False, 0)])
    assert whole.num_cached_tokens == 4, "the chunk with the last token is computed"
    [(scored, _)] = run(scheduler, [(0, 10, [], True, 0)])
    assert scored.num_cached_tokens == 0, "all positions of a scored prompt are computed"
    [(moved, written)] = run(scheduler, [(0, 11, [], False, 0)], num_tokens=9)
    assert moved.num_cached_tokens == 8
    [(_, expected)] = run(BatchScheduler(engine, 1), [(0, 11, [], False, 0)], num_tokens=9)
    assert written == expected, "also beyond the context"


@pytest.mark.parametrize("name", ALL_ENGINES)
@pytest.mark.usefixtures("small_chunks")
def test_prompt_logprobs_are_those_of_the_uncached_logits(name: str) -> None:
    engine = small_engine(name)
    tokens = TEXTS[1][:12]
    [(sequence, written)] = run(BatchScheduler(engine, 1), [(1, 12, [], True, 0)])
    logits_TV = np.array(engine.logits(tokens), np.float64)
    expected_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=-1, keepdims=True))
    assert [one.token for one in sequence.prompt_logprobs] == tokens[1:]
    for logprob, expected_V in zip(sequence.prompt_logprobs, expected_TV):
        assert logprob.logprob == pytest.approx(expected_V[logprob.token], abs=2e-5)
        assert logprob.rank == 1 + sum(z > expected_V[logprob.token] + 1e-6 for z in expected_V)
        top = sorted(expected_V, reverse=True)[:2]
        assert [p for _, p in logprob.top] == pytest.approx(top, abs=2e-5)
    [(_, unscored)] = run(BatchScheduler(engine, 1), [(1, 12, [], False, 0)])
    assert written == unscored


def test_the_least_recently_used_chunks_are_dropped_first() -> None:
    engine = as_batch_engine(engine_of("numpy", "llama"))

    def computed(tokens: list[int]) -> KVCache:
        cache = engine.new_kv_cache()
        for start in range(0, len(tokens), 2):
            engine.next_logits(tokens[start : start + 2], cache)
        return cache

    def keep(tokens: list[int]) -> None:
        for end in range(2, len(tokens) + 1, 2):
            kept.store(tokens, computed(tokens[:end]))

    def num_found(tokens: list[int]) -> int:
        cache = engine.new_kv_cache()
        kept.restore([*tokens, 0], cache)
        return cache.length

    block_bytes = engine.copy_block(computed([1, 2]), 0, 2).num_bytes
    kept = PrefixCache(engine, 2, 4 * block_bytes + 100)
    keep([1, 2, 3, 4, 5, 6])
    keep([7, 8])
    assert num_found([1, 2, 3, 4, 5, 6]) == 6
    assert num_found([7, 8, 9]) == 2
    keep([2, 1])
    assert kept.num_bytes <= 4 * block_bytes + 100
    assert num_found([1, 2, 3, 4, 5, 6]) == 4, "the end of a prompt goes before its beginning"
    assert num_found([7, 8]) == num_found([2, 1]) == 2
    assert num_found([1, 2, 4, 3]) == 2
    assert kept.suspend()
    assert not kept.suspend()
    keep([1, 2])
    assert num_found([1, 2]) == kept.num_bytes == 0
    kept.resume()
    keep([1, 2])
    assert num_found([1, 2]) == 2
    kept = PrefixCache(engine, 2, 100)  # less than one chunk
    keep([1, 2])
    assert num_found([1, 2]) == kept.num_bytes == 0


def test_kept_chunks_make_room_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("numpy", "llama")
    scheduler = BatchScheduler(engine, 2, 10**9)
    copy, blocks = engine.copy_block, list[KVBlock]()

    def copy_one(cache: KVCache, start: int, end: int) -> KVBlock:
        if blocks:
            raise MemoryError
        blocks.append(copy(cache, start, end))
        return blocks[0]

    monkeypatch.setattr(engine, "copy_block", copy_one)
    asked: list[Asked] = [(0, 200, [], False, 0), (1, 200, [], False, 0)]
    short = run(scheduler, asked)
    monkeypatch.undo()
    assert [written for _, written in short] == [
        written for one in asked for _, written in run(BatchScheduler(engine, 1), [one])
    ]
    read, calls = engine.batch_next_logits, list[int]()

    def fail_once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return read(*arguments)

    monkeypatch.setattr(engine, "batch_next_logits", fail_once)
    repeated = run(scheduler, asked)
    assert [written for _, written in repeated] == [written for _, written in short]
    [(sequence, _)] = run(scheduler, asked[:1])
    assert sequence.num_cached_tokens == 0, "what was kept has made room"


def test_a_position_that_is_no_number_fails_the_scored_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of("numpy", "llama")
    read = engine.prompt_logits

    def damaged(tokens: Sequence[int], cache: KVCache) -> Any:
        logits_TV = np.array(read(tokens, cache))
        logits_TV[2, 3] = math.nan
        return logits_TV

    monkeypatch.setattr(engine, "prompt_logits", damaged)
    scheduler = BatchScheduler(engine, 2)
    scored = scheduler.add([1, 2, 3, 4, 5], Sampler(SamplingParams(0.0)), 1)
    other = scheduler.add([1, 2, 3, 4, 5], Sampler(SamplingParams(0.0)))
    outputs = {output.sequence: output.error for output in scheduler.step()}
    assert isinstance(outputs[scored], AnexaError)
    assert "not a number" in str(outputs[scored])
    assert outputs[other] is None

"""`SequentialEngine`: batched decoding by an engine that computes one sequence at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from anexa.engines import BatchEngine, Engine, KVCache, open_engine
from anexa.engines.sequential import SequentialEngine, as_batch_engine
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights
from tests.training.runs import each_engine

PROMPTS = [[1, 2, 3], [4], [5, 6]]


def engine_of(name: str) -> Engine:
    config = ModelConfig("llama", 7, block_size=12, n_embd=8, n_head=2, n_layer=2)
    return open_engine(name, config, random_weights(config, seed=3))


@each_engine
def test_only_engines_that_compute_batches_are_batch_engines(engine: str) -> None:
    opened = engine_of(engine)
    assert isinstance(SequentialEngine(opened), BatchEngine)
    assert isinstance(as_batch_engine(opened), type(opened)) == isinstance(opened, BatchEngine)


@each_engine
def test_sequences_have_the_logits_of_next_logits(engine: str) -> None:
    opened = engine_of(engine)
    batched = SequentialEngine(opened)
    batch_cache = batched.new_batch_cache(2)
    alone: list[KVCache] = []
    for prompt in PROMPTS:
        for caches in (alone, None):
            cache = batched.new_kv_cache()
            batched.next_logits(prompt, cache)
            if caches is None:
                batched.add_sequence(batch_cache, cache)
            else:
                caches.append(cache)
    for tokens in ([1, 2, 3], [4, 5]):
        logits_BV = batched.batch_next_logits(tokens, batch_cache)
        expected = [opened.next_logits([t], cache) for t, cache in zip(tokens, alone)]
        assert np.array_equal(logits_BV, expected)
        assert batch_cache.lengths == [cache.length for cache in alone]
        batched.remove_sequence(batch_cache, 0)
        alone[0] = alone[-1]
        alone.pop()


@each_engine
def test_a_step_that_fails_has_read_nothing(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if memory runs out after some layers of some sequences."""
    opened = engine_of(engine)
    batched = SequentialEngine(opened)
    batch_cache, untouched = batched.new_batch_cache(3), batched.new_batch_cache(3)
    for prompt in PROMPTS:
        for cache_of_all in (batch_cache, untouched):
            cache = batched.new_kv_cache()
            batched.next_logits(prompt, cache)
            batched.add_sequence(cache_of_all, cache)
    expected = batched.batch_next_logits([1, 2, 3], untouched)
    read = opened.next_logits

    def fail_at_two(tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        if tokens == [2]:
            read(tokens, KVCache([cache.layers[0]] * 2, cache.length))
            raise MemoryError
        return read(tokens, cache)

    with monkeypatch.context() as patch:
        patch.setattr(opened, "next_logits", fail_at_two)
        with pytest.raises(MemoryError):
            batched.batch_next_logits([1, 2, 3], batch_cache)
    assert batch_cache.lengths == [3, 1, 2]
    assert np.array_equal(batched.batch_next_logits([1, 2, 3], batch_cache), expected)

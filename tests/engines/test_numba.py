"""The numba engine: more than `MAX_ROWS_PER_CALL` rows, and weights that are packed again."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from anexa.engines import Batch, OptimizerConfig, open_engine
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights

if not find_spec("numba"):
    pytest.skip("Numba is not installed", allow_module_level=True)

from anexa.engines.numba import NumbaEngine
from anexa.engines.program.inference import MAX_ROWS_PER_CALL

CONFIG = ModelConfig("llama", 17, 2 * MAX_ROWS_PER_CALL + 5, 16, 4, 2, n_kv_head=2, n_inner=7)
TOKENS = [(5 * n + n * n // 7) % 17 for n in range(CONFIG.block_size)]


def opened(config: ModelConfig = CONFIG) -> NumbaEngine:
    return NumbaEngine(config, random_weights(config, seed=3), OptimizerConfig())


def test_a_prompt_may_have_more_tokens_than_a_call_has_rows() -> None:
    engine = opened()
    whole, one_by_one = engine.new_kv_cache(), engine.new_kv_cache()
    logits_TV = np.asarray(engine.prompt_logits(TOKENS, whole))
    alone = [engine.next_logits([token], one_by_one) for token in TOKENS]
    assert np.array_equal(logits_TV, alone)
    assert whole.length == one_by_one.length == len(TOKENS)


def test_a_batch_may_have_more_sequences_than_a_call_has_rows() -> None:
    engine, count = opened(), MAX_ROWS_PER_CALL + 3
    batch, alone = engine.new_batch_cache(count), [engine.new_kv_cache() for _ in range(count)]
    for index, cache in enumerate(alone):
        engine.next_logits(TOKENS[index : index + 1 + index % 5], cache)
        engine.add_sequence(batch, cache)
    for token in (3, 11):
        tokens = [(token + index) % 17 for index in range(count)]
        expected = [engine.next_logits([t], cache) for t, cache in zip(tokens, alone)]
        assert np.array_equal(engine.batch_next_logits(tokens, batch), expected)


def test_without_memory_for_one_sequence_no_token_is_appended() -> None:
    engine = opened()
    batch, cache = engine.new_batch_cache(2), engine.new_kv_cache()
    engine.next_logits(TOKENS[:3], cache)
    engine.add_sequence(batch, cache)
    engine.add_sequence(batch, cache)
    batch.lengths[1] = 1 << 45
    with pytest.raises(MemoryError):
        engine.batch_next_logits([1, 2], batch)
    batch.lengths[1] = 3
    assert batch.lengths == [3, 3]
    first, second = engine.batch_next_logits([1, 1], batch)
    assert np.array_equal(first, engine.next_logits([1], cache))
    assert np.array_equal(second, first)


@pytest.mark.slow
def test_a_training_step_changes_what_is_generated_after_it() -> None:
    engine = opened()
    before = engine.logits(TOKENS[:5]), engine.hidden_states(TOKENS[:5])
    engine.train_step(Batch.from_sequences([TOKENS[:9]]), 0.1)
    after = engine.logits(TOKENS[:5]), engine.hidden_states(TOKENS[:5])
    other = open_engine("numba", CONFIG, engine.weights())
    assert after == (other.logits(TOKENS[:5]), other.hidden_states(TOKENS[:5]))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_vocabulary_of_one_token() -> None:
    config = ModelConfig("gpt2", 1, block_size=3, n_embd=2, n_head=2, n_layer=1)
    expected = open_engine("numpy", config, random_weights(config, seed=3)).logits([0, 0, 0])
    np.testing.assert_allclose(opened(config).logits([0, 0, 0]), expected, rtol=1e-5)


def test_several_threads_may_ask_for_the_first_logits() -> None:
    """None of them gets those of weights that are not prepared yet."""
    expected, interval = opened().logits([1, 2, 3]), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(30):
                engine = opened()
                assert [*pool.map(engine.logits, [[1, 2, 3]] * 8)] == [expected] * 8
    finally:
        sys.setswitchinterval(interval)

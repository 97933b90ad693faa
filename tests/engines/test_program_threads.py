"""Threads that share the rows of a compiled call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Barrier

import numpy as np
import pytest

from anexa.engines import BatchEngine, open_engine
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights

if not find_spec("numba"):
    pytest.skip("Numba is not installed", allow_module_level=True)

from anexa.engines.program import inference, threads

CONFIG = ModelConfig("llama", 17, 50, 16, 4, 2, n_kv_head=2, n_inner=7)
PROMPTS = [[(7 * n + i) % 17 for i in range(20 + n)] for n in range(5)]


@pytest.fixture(params=[1, 2, 3])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Number of threads, which also share calls that are not worth it."""
    threads._helpers.cache_clear()
    monkeypatch.setattr(threads, "available_cpus", lambda: 3)
    monkeypatch.setattr(inference, "WORK_OF_A_THREAD", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    yield request.param
    threads._helpers.cache_clear()


def numbers() -> list[bytes]:
    """Logits of prompts that are read at once, then of a batch that is decoded, as bytes."""
    engine = open_engine("numba", CONFIG, random_weights(CONFIG, seed=3))
    assert isinstance(engine, BatchEngine)
    batch = engine.new_batch_cache(8)
    found = []
    for prompt in PROMPTS:
        cache = engine.new_kv_cache()
        found.append(np.asarray(engine.prompt_logits(prompt, cache)).tobytes())
        engine.add_sequence(batch, cache)
    for token in range(3):
        found.append(engine.batch_next_logits([token] * len(PROMPTS), batch).tobytes())
    return found


ALONE: list[bytes] = []


@pytest.mark.usefixtures("count")
def test_threads_change_no_bit() -> None:
    found = numbers()
    ALONE[:] = ALONE or found
    assert found == ALONE


def test_calls_of_several_threads_wait_for_each_other(count: int) -> None:
    """Else parts of two calls could take the threads that others of them wait for."""
    met = []

    def call(_: int) -> None:
        together = Barrier(count)
        threads.run_together([lambda: met.append(together.wait())] * count)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(call, number) for number in range(200)]:
            done.result(timeout=60)
    assert len(met) == 200 * count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.usefixtures("count")
def test_a_forked_process_has_threads_of_its_own() -> None:
    expected = numbers()
    child = os.fork()
    if not child:
        os._exit(0 if numbers() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""Threads that share the rows of a compiled call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Barrier, Event

import numpy as np
import pytest

from anexa.engines import OptimizerConfig
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights

if not find_spec("numba"):
    pytest.skip("Numba is not installed", allow_module_level=True)

from anexa.engines.numba import NumbaEngine
from anexa.engines.program import inference, threads

CONFIG = ModelConfig("llama", 17, 50, 16, 4, 2, n_kv_head=2, n_inner=7)
PROMPTS = [[(7 * n + i) % 17 for i in range(20 + n)] for n in range(5)]


@pytest.fixture(params=[2, 3])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Number of threads, which also share calls that are not worth it."""
    use(request.param, monkeypatch)
    yield request.param
    threads.num_threads.cache_clear()
    threads._helpers.cache_clear()


def use(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls computed by a number of threads."""
    threads.num_threads.cache_clear()
    threads._helpers.cache_clear()
    monkeypatch.setattr(threads, "available_cpus", lambda: 3)
    monkeypatch.setattr(inference, "MIN_WORK_PER_THREAD", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))


def opened() -> NumbaEngine:
    return NumbaEngine(CONFIG, random_weights(CONFIG, seed=3), OptimizerConfig())


def numbers() -> list[bytes]:
    """Logits of prompts that are read at once, then of a batch that is decoded, as bytes."""
    engine = opened()
    batch = engine.new_batch_cache(8)
    found = []
    for prompt in PROMPTS:
        cache = engine.new_kv_cache()
        found.append(np.asarray(engine.prompt_logits(prompt, cache)).tobytes())
        engine.add_sequence(batch, cache)
    for token in range(3):
        found.append(engine.batch_next_logits([token] * len(PROMPTS), batch).tobytes())
    return found


def test_threads_change_no_bit(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(1, monkeypatch)
    expected = numbers()
    use(count, monkeypatch)
    assert numbers() == expected


@pytest.mark.usefixtures("count")
def test_after_an_interrupted_call_all_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread waits for rows that nobody computes, and the cache can be used again."""
    engine = opened()
    cache, (first, second, *_) = engine.new_kv_cache(), PROMPTS
    engine.next_logits(first, cache)
    expected = np.asarray(engine.next_logits(second, engine.new_kv_cache())).tobytes()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine._inference._threads[0], "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.next_logits(second, cache)
    assert cache.length == len(first)
    cache.truncate(0)
    assert np.asarray(engine.next_logits(second, cache)).tobytes() == expected


def test_calls_of_several_threads_wait_for_each_other(count: int) -> None:
    """Else parts of two calls could take the threads that others of them wait for."""
    met = []

    def call(_: int) -> None:
        together = Barrier(count)
        threads.run_together([lambda: met.append(together.wait())] * count, together.abort)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(call, number) for number in range(200)]:
            done.result(timeout=60)
    assert len(met) == 200 * count


def test_the_others_end_before_an_exception_is_raised(count: int) -> None:
    stop, ended = Event(), list[bool]()

    def fail() -> None:
        raise KeyboardInterrupt

    waiting = [lambda: ended.append(stop.wait())] * (count - 1)
    with pytest.raises(KeyboardInterrupt):
        threads.run_together([fail, *waiting], stop.set)
    assert ended == [True] * (count - 1)


def test_no_thread_waits_for_one_that_has_failed(count: int) -> None:
    stop, waited = Event(), list[bool]()

    def fail() -> None:
        raise ZeroDivisionError

    waiting = [lambda: waited.append(stop.wait(60))] * (count - 1)
    with pytest.raises(ZeroDivisionError):
        threads.run_together([*waiting, fail], stop.set)
    assert waited == [True] * (count - 1)


@pytest.mark.usefixtures("count")
def test_an_exception_in_another_thread_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.run_together([lambda: None, fail], lambda: None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.usefixtures("count")
def test_a_forked_process_has_threads_of_its_own() -> None:
    expected = numbers()
    child = os.fork()
    if not child:
        os._exit(0 if numbers() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

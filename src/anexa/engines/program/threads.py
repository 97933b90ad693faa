"""Thread pool that executes the parts of a call in parallel."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock

from anexa.engines.device import available_cpus


@cache
def num_threads() -> int:
    """Return the number of threads that compute in parallel.

    It is the number of available CPUs, or the environment variable OMP_NUM_THREADS if that is a
    smaller positive number. It is determined once per process.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cpus = available_cpus()
    return min(cpus, int(asked) or cpus) if re.fullmatch("[0-9]{1,9}", asked) else cpus


def run_together(parts: Sequence[Callable[[], None]], stop_waiting: Callable[[], None]) -> None:
    """Execute functions in parallel, the first one in this thread; return when all have returned.

    The functions may wait for each other, so each has a thread of its own: a second call of
    `run_together` waits until the first one has returned.

    Args:
        parts: functions to execute, at least one and at most `num_threads()`.
        stop_waiting: function that is called, in any thread, if a function raises
            (KeyboardInterrupt, too); after this call no function may wait for another one any more.

    Raises:
        RuntimeError: if the operating system refuses to start the threads.
        BaseException: the exception of the first function, or else of the first other one that
            raises, when all have ended.
    """
    helpers, one_call = _helpers(os.getpid())

    def call(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException:
            stop_waiting()  # else the first function might wait for this one forever
            raise

    with one_call:
        others: list[Future[None]] = []
        try:
            for part in parts[1:]:
                others.append(helpers.submit(call, part))
            parts[0]()
        except BaseException:
            stop_waiting()
            raise
        finally:
            wait(others)  # they write into memory that the caller may free
        for other in others:
            other.result()


@cache
def _helpers(process: int) -> tuple[ThreadPoolExecutor, Lock]:  # noqa: ARG001
    """Start the thread pool of a process, and make the lock of its calls.

    The process id is the key of the cache: a forked process does not have its parent's threads.

    Raises:
        RuntimeError: if the operating system refuses to start the threads.
    """
    count = max(1, num_threads() - 1)
    pool = ThreadPoolExecutor(count, "anexa-compute")
    together = Barrier(count + 1)
    try:
        for _ in range(count):
            pool.submit(together.wait)  # a thread is started for each, as none is free
    except RuntimeError:
        together.abort()  # else the process could not end
        raise
    together.wait()
    return pool, Lock()

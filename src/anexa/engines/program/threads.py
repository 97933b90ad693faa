"""Threads that execute parts of a call side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock

from anexa.engines.device import available_cpus


@cache
def num_threads() -> int:
    """Return the number of threads: that of the available CPUs, or less by OMP_NUM_THREADS.

    It stays the same for as long as the process lives.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cpus = available_cpus()
    return min(cpus, int(asked)) if asked.isdecimal() and int(asked) else cpus


def run_together(parts: Sequence[Callable[[], None]], stop_waiting: Callable[[], None]) -> None:
    """Execute parts at the same time, the first one in this thread; returns when all are done.

    A part may wait for the others, so all of them get a thread: another call waits until this one
    is done.

    Args:
        parts: what to execute, at most `num_threads` of it.
        stop_waiting: called if the first part does not come to its end, as after Ctrl-C: then no
            part may wait for it any more.
    """
    helpers, one_call = _helpers(os.getpid())
    with one_call:
        others: list[Future[None]] = []
        try:
            for part in parts[1:]:
                others.append(helpers.submit(part))
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
    """Start the threads that help this one; a process that was forked has none of its parent's.

    Raises:
        RuntimeError: if the operating system does not allow so many threads.
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

"""Sides of a comparison, each in a process of its own, measured in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from anexa.errors import AnexaError, short_repr

# Variables that set the number of threads of NumPy, PyTorch and llama.cpp, and of Numba.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class SideUnavailable(Exception):
    """A side that cannot be measured: the message says why, and what to install."""


def environment(threads: int | None) -> dict[str, str]:
    """Copy the environment for the process of a side.

    Args:
        threads: number of threads; None: what each library chooses.
    """
    chosen = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    # OpenBLAS may be set to the kernels of another processor, which are slower here.
    return {key: os.environ[key] for key in os.environ if key != "OPENBLAS_CORETYPE"} | chosen


class Side:
    """Handle on the process of a side.

    Args:
        arguments: arguments of Python; the program calls `answer_requests`.
        threads: as in `environment`.
    """

    def __init__(self, arguments: Sequence[str], threads: int | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def measure(self, count: int) -> float:
        """Request a measurement over `count` steps, or texts, and return its figure.

        Raises:
            SideUnavailable: if the side cannot be measured.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(count, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SideUnavailable(f"its process ended with status {self._process.wait()}")
        try:
            return float(answer)
        except ValueError:
            raise SideUnavailable(answer.strip()) from None

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.communicate()


def answer_requests(measure: Callable[[], Callable[[int], float]]) -> None:
    """Run as the process of a side: answer each count on standard input with a figure.

    Args:
        measure: prepares the side, and returns the function that measures it; its errors become
            the answer.
    """
    figure: Callable[[int], float] | None = None
    try:
        for line in sys.stdin:
            figure = figure or measure()
            print(figure(int(line)), flush=True)
    except (AnexaError, SideUnavailable, ImportError, NotImplementedError) as error:
        print(short_repr(error), flush=True)
    except Exception as error:  # a part that an engine lacks
        traceback.print_exc()
        print(f"{type(error).__name__}: {short_repr(error)}", flush=True)


def seconds_each(step: Callable[[], object], count: int) -> float:
    """Measure the wall-clock seconds of one step, over `count` of them."""
    begun = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begun) / count


def processor_seconds_each(step: Callable[[], object], count: int) -> float:
    """Measure the seconds that the processor computes for one step, over `count` of them.

    With one thread it is the wall-clock time on a quiet machine, and on others is disturbed less.
    """
    begun = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - begun) / count


@contextmanager
def warm_up_sides(sides: Mapping[str, Side]) -> Iterator[tuple[dict[str, Side], dict[str, str]]]:
    """Warm the sides up; yields those that can be measured, and why the others cannot."""
    ready: dict[str, Side] = {}
    reasons: dict[str, str] = {}
    try:
        for name, side in sides.items():
            try:
                side.measure(1)
                ready[name] = side
            except SideUnavailable as reason:
                reasons[name] = str(reason)
        yield ready, reasons
    finally:
        for side in sides.values():
            side.close()


def measure_in_turn(sides: Mapping[str, Side], count: int, rounds: int) -> dict[str, list[float]]:
    """Measure all sides in each round; returns the figures of each side, by round."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            figures[name].append(side.measure(count))
    return figures


def ratios(base: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Compute other / base within each round: the median, the smallest and the largest."""
    found = [theirs / mine for mine, theirs in zip(base, other)]
    return statistics.median(found), min(found), max(found)

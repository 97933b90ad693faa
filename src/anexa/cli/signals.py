"""Handlers of Ctrl-C, SIGTERM and SIGHUP, which end a training after its current step."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from anexa.process import discard_lost_output, stop_signals


class StoppableRun(Protocol):
    """A run that ends after its current step once `stopping` is True."""

    stopping: bool


def exit_on_signals() -> None:
    """Install handlers of SIGTERM and SIGHUP that raise SystemExit, so that files are cleaned up.

    The exit status is 128 plus the number of the signal. Signals that the parent process has chosen
    to ignore stay ignored; Windows has no SIGHUP.
    """
    for number in stop_signals():
        if number != signal.SIGINT:  # which raises KeyboardInterrupt
            signal.signal(number, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    discard_lost_output()
    sys.exit(128 + number)


@contextmanager
def stop_on_signals(run: StoppableRun) -> Iterator[list[int]]:
    """Context manager in which a signal of `stop_signals` ends a run after its current step.

    The handlers before are restored at its end. Only the main thread can use it.

    Args:
        run: run whose `stopping` is set to True.

    Yields:
        The numbers of the received signals: empty at first, with one number after a signal.

    Raises:
        KeyboardInterrupt: at the second signal, in the code of the context.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        discard_lost_output()  # SIGHUP: the terminal has been closed
        if received:  # at the second signal, do not wait for the step to end
            raise KeyboardInterrupt
        received.append(number)
        run.stopping = True

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

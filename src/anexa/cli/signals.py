"""Ctrl-C and SIGTERM, which end what is trained in good order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """What ends after the step that it is at, once it is told to."""

    stopping: bool


@contextmanager
def stop_signals(training: Stoppable) -> Iterator[list[int]]:
    """Let the signals stop a training; those that came."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:  # the second time, do not wait for the step to end
            raise KeyboardInterrupt
        received.append(number)
        training.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Handlers of Ctrl-C and SIGTERM, which end a training after its current step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """A run that ends after its current step once `stopping` is True."""

    stopping: bool


@contextmanager
def stop_signals(run: Stoppable) -> Iterator[list[int]]:
    """Stop a run at SIGINT or SIGTERM; yields the list of received signals."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:  # at the second signal, do not wait for the step to end
            raise KeyboardInterrupt
        received.append(number)
        run.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""A timer that advances as the test says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Timer:
    """Timer of a `Clock` or of a whole run.

    Attributes:
        now: its time in seconds.
        tick: seconds by which each reading advances it.
    """

    now: float = 1000.0
    tick: float = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

"""Speed of this CPU core, to scale limits on CPU time for slow and busy machines."""

from __future__ import annotations

import time

REFERENCE = 0.075  # seconds, of a core of the AMD EPYC on which the bounds were set


def slowness() -> float:
    """Return the CPU time of a loop, relative to the reference machine; at least 1.

    CPU time excludes other processes, but they also slow down a core by sharing its caches and
    execution units, and so does a low clock rate. All this slows down the loop as well.
    """
    seconds = []
    for _ in range(3):
        began = time.process_time()
        total = 0
        for i in range(1_000_000):
            total += i * i % 7
        seconds.append(time.process_time() - began)
    return max(1.0, min(seconds) / REFERENCE)


def is_within(seconds: float, limit: float) -> bool:
    """Return whether a CPU time is below a limit, which is that of the reference machine."""
    return seconds < limit or seconds < limit * slowness()

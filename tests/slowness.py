"""How slow a core is, so that bounds on its time hold on any machine, and on a busy one."""

from __future__ import annotations

import time

REFERENCE = 0.075  # seconds, of a core of the AMD EPYC on which the bounds were set


def slowness() -> float:
    """Compute how many times as long as the reference this core takes at the moment; 1 at least.

    It is a time of the processor, without what other processes use; but where they share the core's
    caches and its units, or its clock is low, everything takes longer, and this does too.
    """
    seconds = []
    for _ in range(3):
        began = time.process_time()
        total = 0
        for i in range(1_000_000):
            total += i * i % 7
        seconds.append(time.process_time() - began)
    return max(1.0, min(seconds) / REFERENCE)

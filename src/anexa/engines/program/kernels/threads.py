"""Kernel that synchronizes the threads that compute rows of one sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.language import Pointer

if TYPE_CHECKING:
    from anexa.engines.program.vectors import atomic_increment, atomic_load


def wait_for_rows(progress: Pointer, *, layer: int, n_layer: int) -> None:
    """Wait until all threads of a call have appended their rows of a layer to the caches.

    `progress` has, for each layer, the number of threads that have done so, and after the last
    layer the number of threads to wait for.
    """
    atomic_increment(progress, layer)
    while atomic_load(progress, layer) < progress[n_layer]:
        pass

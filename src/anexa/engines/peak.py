"""How much a computer can multiply, and how much of that a model uses."""

from __future__ import annotations

import time
from collections.abc import Callable

from anexa.engines.device import DeviceConfig

REPEATS = 5


def measure_peak_flops(engine: str, machine: DeviceConfig) -> float | None:
    """The most multiplications and additions a second in products of matrices, as measured.

    In float32 on a CPU, whatever the precision of the training, so that figures can be compared;
    on a GPU in the precision of the training. It takes about a tenth of a second.

    Returns:
        None for the engines that compute without a library of products.
    """
    if engine == "numpy":
        import numpy as np

        a = np.ones((768, 768), np.float32)
        return _best(lambda: a @ a, 2 * 768**3)
    if engine != "torch":
        return None
    import torch

    on_cpu = machine.device == "cpu"
    size = 768 if on_cpu else 4096
    bf16 = machine.dtype == "bf16" and not on_cpu
    x = torch.ones(size, size, device=machine.device, dtype=torch.bfloat16 if bf16 else None)

    def product() -> None:
        torch.mm(x, x)
        if machine.device.startswith("cuda"):
            torch.cuda.synchronize()

    return _best(product, 2 * size**3)


def _best(product: Callable[[], object], flops: int) -> float:
    """The speed of the fastest of some repetitions: the others were disturbed."""
    product()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - began)
    return flops / min(seconds)

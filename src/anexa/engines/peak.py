"""Peak speed of matrix products on a device: the denominator of model FLOPs utilization (MFU)."""

from __future__ import annotations

import time
from collections.abc import Callable

from anexa.engines.device import DeviceConfig

REPEATS = 5  # timed products, of which the fastest counts


def measure_peak_flops(
    engine: str, device_config: DeviceConfig, timer: Callable[[], float] = time.perf_counter
) -> float | None:
    """Measure the peak speed of matrix products, in about a tenth of a second.

    On a CPU the product is in float32, whatever the precision of the training, so that figures can
    be compared; on a GPU it is in bfloat16 if the training is, else in float32.

    Args:
        engine: name of the engine.
        device_config: device and precision of the training.
        timer: function that returns a time in seconds, of which only differences count.

    Returns:
        Floating-point operations (multiplications and additions) per second; None for the engines
        scalar and lists, which multiply without a library.
    """
    if engine in ("numpy", "numba"):
        import numpy as np

        a = np.ones((768, 768), np.float32)
        return _fastest(lambda: a @ a, 2 * 768**3, timer)
    if engine != "torch":
        return None
    import torch

    on_cpu = device_config.device == "cpu"
    size = 768 if on_cpu else 4096
    bf16 = device_config.dtype == "bf16" and not on_cpu
    x = torch.ones(size, size, device=device_config.device, dtype=torch.bfloat16 if bf16 else None)

    def product() -> None:
        torch.mm(x, x)
        if not on_cpu:  # torch.cuda and torch.mps compute asynchronously
            getattr(torch, device_config.device.partition(":")[0]).synchronize()

    return _fastest(product, 2 * size**3, timer)


def _fastest(product: Callable[[], object], flops: int, timer: Callable[[], float]) -> float:
    """Time a product `REPEATS` times, and return the speed of the fastest run in FLOPs per second.

    Args:
        product: function that computes the product.
        flops: its number of floating-point operations.
        timer: function that returns the time in seconds.
    """
    product()
    seconds = []
    for _ in range(REPEATS):
        began = timer()
        product()
        seconds.append(timer() - began)
    return flops / min(seconds)

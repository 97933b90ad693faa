"""The measured peak speed of matrix products."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest

from anexa.engines import DeviceConfig
from anexa.engines.peak import measure_peak_flops
from tests.engines.helpers import needs_torch
from tests.slowness import is_within


@pytest.mark.parametrize("engine", ["numpy", pytest.param("torch", marks=needs_torch)])
def test_peak_is_the_speed_of_a_matrix_product(engine: str) -> None:
    """A product of another size, timed here in NumPy, is about as fast; measuring takes seconds.

    Both in CPU time, which stands still while other processes use the core.
    """
    began = time.process_time()
    peak = measure_peak_flops(engine, DeviceConfig(), time.process_time)
    assert is_within(time.process_time() - began, 10), "of all cores together"
    assert peak is not None
    a, seconds = np.ones((512, 512), np.float32), []
    for _ in range(10):
        began = time.process_time()
        a @ a
        seconds.append(time.process_time() - began)
    assert 0.1 < peak / (2 * 512**3 / min(seconds)) < 10


@pytest.mark.parametrize("engine", ["numpy", pytest.param("torch", marks=needs_torch)])
def test_peak_is_that_of_the_fastest_product(engine: str) -> None:
    """A product of matrices of width 768, in 2 seconds here, and in 1 the third time."""
    readings = itertools.accumulate([2, 9, 2, 9, 1, 9, 2, 9, 2], initial=5)
    peak = measure_peak_flops(engine, DeviceConfig(), lambda: float(next(readings)))
    assert peak == 2 * 768**3


@needs_torch
def test_peak_of_a_cpu_is_measured_in_float32_for_every_precision() -> None:
    """Otherwise the share of the peak could not be compared between precisions."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[Any] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function is torch.ops.aten.mm.default:
                seen.extend(matrix.dtype for matrix in args)
            return function(*args, **(kwargs or {}))

    for dtype in ("bf16", "float64"):
        with Watch():  # type: ignore[no-untyped-call]
            measure_peak_flops("torch", DeviceConfig(dtype=dtype))
    assert seen
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("engine", ["scalar", "lists"])
def test_engines_of_plain_python_have_no_peak(engine: str) -> None:
    assert measure_peak_flops(engine, DeviceConfig(dtype="float64")) is None

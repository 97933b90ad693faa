"""Operations of `lists` and `numpy` at known points: published values, extremes, masks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import IGNORE_INDEX
from anexa.engines.operations import arrays, lists, matrices, numpy
from anexa.engines.operations.normal_distribution import normal_cdf
from tests.engines.helpers import OPERATION_MODULES


def one_row(module: ModuleType, row: list[float]) -> Any:
    return row if module is lists else np.array(row)


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_softmax_of_huge_logits(module: ModuleType) -> None:
    softmax: Callable[[Any], Any] = (matrices if module is lists else arrays).softmax
    assert list(softmax(one_row(module, [1e4, -1e4, 1e4]))) == [0.5, 0.0, 0.5]
    assert list(softmax(one_row(module, [-1e300, -1e300]))) == [0.5, 0.5]
    thirds = softmax(one_row(module, [7.0, 7.0, 7.0]))
    assert list(thirds) == pytest.approx([1 / 3] * 3)
    assert list(softmax(one_row(module, [0.0, math.log(3)]))) == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_cross_entropy_of_huge_logits(module: ModuleType) -> None:
    logits = [[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]]
    targets = [0, 2]
    array = module is numpy
    operation = module.CrossEntropy()
    arguments = (np.array(logits), np.array(targets)) if array else (logits, targets)
    loss = operation.forward(*arguments, 2)
    assert float(np.ravel(loss)[0]) == pytest.approx(5000.0)
    (grad,) = operation.backward(np.array(1.0) if array else [1.0])
    np.testing.assert_allclose(grad, np.array([[0, 0, 0], [0.5, 0, -0.5]]), atol=1e-12)


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_cross_entropy_skips_ignored_targets(module: ModuleType) -> None:
    """Loss and gradient equal those of the other tokens alone."""
    logits = np.random.default_rng(3).normal(size=(4, 5))
    targets = [2, IGNORE_INDEX, 4, IGNORE_INDEX]
    applied = []
    for rows in ([0, 1, 2, 3], [0, 2]):
        array = module is numpy
        picked = [targets[i] for i in rows]
        operation = module.CrossEntropy()
        array_arguments = logits[rows], np.array(picked)
        loss = operation.forward(
            *(array_arguments if array else (logits[rows].tolist(), picked)), 2
        )
        (grad,) = operation.backward(np.array(1.0) if array else [1.0])
        applied.append((float(np.ravel(loss)[0]), np.array(grad)))
    (loss, grad), (alone, grad_alone) = applied
    assert loss == pytest.approx(alone)
    np.testing.assert_array_equal(grad[[1, 3]], 0)
    np.testing.assert_allclose(grad[[0, 2]], grad_alone)


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_causal_mask_hides_later_keys(module: ModuleType) -> None:
    """After 2 cached tokens, the first of 3 new tokens attends to 3 of 5 keys."""
    mask: Any = matrices.causal_mask(3, 2)
    if module is numpy:
        mask = arrays.causal_mask(3, 2, np.dtype("f8"))
    inf = math.inf
    expected = [[0, 0, 0, -inf, -inf], [0, 0, 0, 0, -inf], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(np.array(mask), expected)


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_window_hides_earlier_keys(module: ModuleType) -> None:
    """With a window of 2, each of 3 new tokens after 2 cached ones attends to 2 of 5 keys."""
    mask: Any = matrices.causal_mask(3, 2, 2)
    if module is numpy:
        mask = arrays.causal_mask(3, 2, np.dtype("f8"), 2)
    inf = math.inf
    expected = [[-inf, 0, 0, -inf, -inf], [-inf, -inf, 0, 0, -inf], [-inf, -inf, -inf, 0, 0]]
    np.testing.assert_array_equal(np.array(mask), expected)


def test_split_of_groups_takes_the_part_of_each_group() -> None:
    """As in GPT-NeoX, whose columns are those of q, k and v of each head."""
    heads = [["q0", "k0", "v0", "q1", "k1", "v1"]]
    assert matrices.split(heads, 3, 2) == ([["q0", "q1"]], [["k0", "k1"]], [["v0", "v1"]])


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 4e-16), ("float32", 3e-7)])
@given(x=st.floats(-40, 40, width=32))
def test_normal_cdf_equals_that_of_the_standard_library(x: float, dtype: str, bound: float) -> None:
    expected = statistics.NormalDist().cdf(x) if x > 0 else 0.5 * math.erfc(-x / math.sqrt(2))
    (found,) = normal_cdf(np.array([x], dtype))
    assert found == pytest.approx(expected, rel=1e-12 if dtype == "float64" else 1e-2, abs=bound)
    assert found.dtype == dtype


def test_normal_cdf_at_the_ends() -> None:
    np.testing.assert_array_equal(normal_cdf(np.array([-1e200, -40.0, 40.0, 1e200])), [0, 0, 1, 1])
    assert np.isnan(normal_cdf(np.array([np.nan]))[0])


@pytest.mark.parametrize("module", OPERATION_MODULES)
@pytest.mark.parametrize(
    ("x", "y"), [(-10.0, 0.0), (-1.0, -0.15865525), (0.0, 0.0), (1.0, 0.84134475), (10.0, 10.0)]
)
def test_gelu_erf_at_known_points(module: ModuleType, x: float, y: float) -> None:
    """The values of PyTorch's `gelu(x)`."""
    output = module.GELUErf().forward([[x]] if module is lists else np.array([[x]]))
    assert float(output[0][0]) == pytest.approx(y, abs=1e-8)


@pytest.mark.parametrize("module", OPERATION_MODULES)
@pytest.mark.parametrize(
    ("x", "y"), [(-10.0, 0.0), (-1.0, -0.15880801), (0.0, 0.0), (1.0, 0.84119199), (10.0, 10.0)]
)
def test_gelu_at_known_points(module: ModuleType, x: float, y: float) -> None:
    """The values of PyTorch's `gelu(x, approximate="tanh")`."""
    output = module.GELU().forward([[x]] if module is lists else np.array([[x]]))
    assert float(output[0][0]) == pytest.approx(y, abs=1e-8)

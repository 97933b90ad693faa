"""Newton and Schulz's iteration, by which Muon orthogonalizes its momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.engines.optimizers import lists as in_lists
from anexa.engines.optimizers import numpy as in_numpy
from tests.engines.helpers import needs_torch

Array = np.ndarray[Any, np.dtype[np.float64]]
IMPLEMENTED = ["lists", "numpy", pytest.param("torch", marks=needs_torch)]


def orthogonalize(name: str, x: Array) -> Array:
    """Orthogonalize x by an engine's function, in float64."""
    if name == "lists":
        return np.array(in_lists.orthogonalize(x.tolist()))
    if name == "numpy":
        return np.asarray(in_numpy.orthogonalize(x), np.float64)
    import torch

    from anexa.engines.optimizers import torch as in_torch

    result: Array = in_torch.orthogonalize(torch.from_numpy(np.array([x])), torch.float64)[
        0
    ].numpy()
    return result


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Array, Array, Array, Array]:
    """A matrix that is not nearly singular, and its factors U, s and Vᵀ."""
    rows, columns = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    least = min(rows, columns)
    s = np.array(draw(st.lists(st.floats(0.1, 1.0), min_size=least, max_size=least)))
    u = np.linalg.qr(rng.normal(size=(rows, rows)))[0][:, :least]
    vt = np.linalg.qr(rng.normal(size=(columns, columns)))[0][:least]
    return (u * s) @ vt, u, s, vt


@pytest.mark.parametrize("name", IMPLEMENTED)
@settings(max_examples=60)
@given(drawn=matrices())
def test_singular_values_become_about_1(
    name: str, drawn: tuple[Array, Array, Array, Array]
) -> None:
    """The singular vectors stay; each value goes five times through Jordan's quintic."""
    x, u, s, vt = drawn
    values = u.T @ orthogonalize(name, x) @ vt.T
    assert np.all((np.diag(values) > 0.6) & (np.diag(values) < 1.3))
    expected = s / np.linalg.norm(s)
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    np.testing.assert_allclose(values, np.diag(expected), rtol=0, atol=2e-5)  # ε shortens x
    np.testing.assert_allclose(u @ values @ vt, orthogonalize(name, x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", IMPLEMENTED)
@settings(max_examples=30)
@given(drawn=matrices(), exponent=st.integers(0, 6))
def test_result_does_not_depend_on_scale_or_orientation(
    name: str, drawn: tuple[Array, Array, Array, Array], exponent: int
) -> None:
    x = drawn[0]
    given_x, result = x.copy(), orthogonalize(name, x)
    np.testing.assert_allclose(orthogonalize(name, x.T.copy()), result.T, rtol=0, atol=1e-10)
    larger = orthogonalize(name, 10.0**exponent * x)
    np.testing.assert_allclose(larger, result, rtol=0, atol=2e-5)
    np.testing.assert_allclose(orthogonalize(name, -x), -result, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(x, given_x)


@needs_torch
@settings(max_examples=60)
@given(drawn=matrices())
def test_all_engines_orthogonalize_alike(drawn: tuple[Array, Array, Array, Array]) -> None:
    one, *others = (orthogonalize(name, drawn[0]) for name in ("lists", "numpy", "torch"))
    for other in others:
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_zero_matrix_stays_zero(name: str) -> None:
    """A weight without a gradient stays where it is."""
    np.testing.assert_array_equal(orthogonalize(name, np.zeros((3, 2))), np.zeros((3, 2)))

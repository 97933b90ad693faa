"""Frequencies of rotary positions, compared with transformers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.model.architectures.rope import read_rope, write_rope
from anexa.model.rotary import LinearScaling, Llama3Scaling, RopeScaling, rotary_frequencies

factors = st.floats(1, 64)
scalings = st.one_of(
    st.none(),
    st.builds(LinearScaling, factors),
    st.builds(
        lambda factor, low, more, length: Llama3Scaling(factor, low, low + more, length),
        factors,
        st.floats(0.1, 8),
        st.floats(0.1, 8),
        st.integers(8, 32_768),
    ),
)


@given(
    half=st.integers(1, 64),
    theta=st.sampled_from([10.0, 10_000.0, 500_000.0, 1e6]),
    scaling=scalings,
)
def test_frequencies_equal_those_of_transformers(
    half: int, theta: float, scaling: RopeScaling | None
) -> None:
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    ours = rotary_frequencies(2 * half, theta, scaling)
    described = write_rope(theta, scaling)
    config = transformers.LlamaConfig(
        hidden_size=2 * half, num_attention_heads=1, rope_parameters=described["rope_parameters"]
    )
    theirs = LlamaRotaryEmbedding(config).inv_freq.tolist()
    # Where a wave is blended, float32 rounds the weight of its two frequencies.
    assert ours == pytest.approx(theirs, rel=2e-5, abs=0)
    assert read_rope(described) == (theta, scaling)


@given(st.builds(Llama3Scaling, factors, st.just(1.0), st.just(4.0), st.integers(8, 10**6)))
def test_scaled_frequencies_are_divided_by_at_most_the_factor(scaling: Llama3Scaling) -> None:
    """Frequencies fall with the column, as the unscaled ones do."""
    unscaled, scaled = (rotary_frequencies(64, 5e5, s) for s in (None, scaling))
    for before, after in zip(unscaled, scaled):
        assert before / scaling.factor <= after * (1 + 1e-12) <= before * (1 + 2e-12)
    assert all(a > b for a, b in pairwise(scaled))

"""Log probabilities compared with sums and a sort in plain Python."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.generation.logprobs import token_logprob


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    st.integers(0, 39),
    st.integers(0, 45),
)
def test_equally_likely_tokens_are_in_the_order_of_their_ids(
    logits: list[int], token: int, num_top: int
) -> None:
    token %= len(logits)
    found = token_logprob([float(z) for z in logits], token, num_top)
    by_logit = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    assert [i for i, _ in found.top] == by_logit[:num_top]
    assert found.rank == 1 + sum(z > logits[token] for z in logits)
    log_z = math.log(math.fsum(math.exp(z) for z in logits))
    assert found.logprob == pytest.approx(logits[token] - log_z)
    assert [logprob for _, logprob in found.top] == pytest.approx(
        [logits[i] - log_z for i in by_logit[:num_top]]
    )

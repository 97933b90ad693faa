from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anexa.generation import window_start

lengths = st.integers(0, 5000)
block_sizes = st.integers(1, 600)


@given(lengths, block_sizes)
def test_window_fits_and_is_well_filled(length: int, block_size: int) -> None:
    visible = length - window_start(length, block_size)
    if length <= block_size:
        assert visible == length
    else:
        assert 1 <= visible <= block_size
        if block_size >= 4:
            assert visible > block_size * 3 / 4


@given(block_sizes)
def test_window_only_moves_forward_and_seldom(block_size: int) -> None:
    starts = [window_start(length, block_size) for length in range(4 * block_size)]
    assert all(a <= b for a, b in pairwise(starts))
    moves = [length for length, (a, b) in enumerate(pairwise(starts), 1) if a != b]
    assert all(b - a == max(1, block_size // 4) for a, b in pairwise(moves))
    assert not moves or moves[0] == block_size + 1

"""Sliding window of tokens, for sequences that grow beyond the context."""

from __future__ import annotations


def window_start(length: int, block_size: int) -> int:
    """Return the index of the first token in the window of a sequence.

    While a sequence fits into the context, the window starts at 0. Then it moves by a quarter of
    the context at a time: positions are absolute, so a move needs another prefill of the window,
    which is thus due once in block_size / 4 tokens instead of at every token. The start depends on
    the length alone, so decoding sees the same tokens with a KV cache and without.

    Args:
        length: number of tokens in the sequence.
        block_size: context length in tokens.
    """
    hop = max(1, block_size // 4)
    beyond = max(0, length - block_size)
    return -(-beyond // hop) * hop  # rounded up to a multiple of hop

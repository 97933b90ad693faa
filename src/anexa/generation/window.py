"""Which tokens of a sequence the model sees: sequences may grow beyond the context."""

from __future__ import annotations


def window_start(length: int, block_size: int) -> int:
    """Return the index of the first token that the model sees of a sequence.

    A sequence within the context is seen whole. Beyond the context, the window moves by a quarter
    of the context at a time: positions are absolute, so after a move the window is prefilled again,
    and this way that happens once in block_size / 4 tokens, not at every token. The start depends
    on the length alone, so decoding with a KV cache and without one see the same tokens.

    Args:
        length: tokens in the sequence.
        block_size: tokens that the model sees at once.
    """
    hop = max(1, block_size // 4)
    beyond = max(0, length - block_size)
    return -(-beyond // hop) * hop  # rounded up to a multiple of hop

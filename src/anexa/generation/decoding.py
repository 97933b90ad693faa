"""Token after token, with a cache, also beyond the model's context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anexa.engines import Engine, KVCache
from anexa.generation.sampling import Sampler


def window_start(length: int, block_size: int) -> int:
    """The first of `length` tokens that the model still sees.

    A text within the context is seen whole. Beyond it, the window moves on by a quarter of the
    context at a time: positions are learned, so every move means reading the window anew, and
    this way that happens once in block_size / 4 tokens, not at each. It depends on the length
    alone, so decoding with a cache and without one see the same.
    """
    hop = max(1, block_size // 4)
    beyond = max(0, length - block_size)
    return -(-beyond // hop) * hop  # rounded up to a multiple of hop


class Reader:
    """Reads a text token by token and gives the logits of what follows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tokens: list[int] = []
        self._start = 0
        self._cache: KVCache = engine.new_kv_cache()

    def read(self, tokens: Sequence[int]) -> Sequence[float]:
        """Take in at least one more token; the V logits of the next."""
        self._tokens += tokens
        start = window_start(len(self._tokens), self._engine.config.block_size)
        if start != self._start:
            self._start, self._cache = start, self._engine.new_kv_cache()
        unread = self._tokens[self._start + self._cache.length :]
        return self._engine.next_logits(unread, self._cache)


def decode(engine: Engine, prompt: Sequence[int], sampler: Sampler) -> Iterator[int]:
    """Tokens that continue a prompt of at least one token, without end.

    Raises:
        AnexaError: the model's output is not a number.
    """
    reader = Reader(engine)
    logits = reader.read(prompt)
    while True:
        token = sampler.draw(logits)
        yield token
        logits = reader.read([token])

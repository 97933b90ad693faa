"""Adapter from `Engine` to `BatchEngine`: computes the sequences of a batch one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anexa.engines.protocol import BatchEngine, BatchKVCache, Engine, KVBlock, KVCache, Logits


class SequentialEngine:
    """A `BatchEngine` that computes the sequences of a batch one by one with another engine.

    For a single sequence this is faster than the batch step of numpy and torch, which pads the
    batch and the keys (`python benchmarks/decoding.py`).

    Args:
        engine: any engine or batch engine.

    Attributes:
        name: name of that engine.
        config: architecture and sizes of the model.
    """

    def __init__(self, engine: Engine | BatchEngine) -> None:
        self._engine = engine
        self.name, self.config = engine.name, engine.config

    def new_kv_cache(self) -> KVCache:
        """Create an empty cache for one sequence."""
        return self._engine.new_kv_cache()

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        """Append tokens to the cache of one sequence; return the logits of the next token, (V,)."""
        return self._engine.next_logits(tokens, cache)

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[Sequence[float]]:
        """Append tokens to the cache of one sequence; return the logits after each, (T, V)."""
        return self._engine.prompt_logits(tokens, cache)

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        """Copy the keys and values of the tokens from `start` up to `end`."""
        return self._engine.copy_block(cache, start, end)

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        """Append a block's tokens to the cache of one sequence."""
        self._engine.append_block(cache, block)

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:  # noqa: ARG002 (it grows as needed)
        """Create an empty batch cache, whose `layers` will hold one `KVCache` per sequence.

        It grows as needed: `max_num_seqs` is ignored.
        """
        return BatchKVCache([])

    def add_sequence(self, batch_cache: BatchKVCache, cache: KVCache) -> None:
        """Append a prefilled sequence to the batch, which takes over its cache without a copy."""
        batch_cache.layers.append(cache)
        batch_cache.lengths.append(cache.length)

    def remove_sequence(self, batch_cache: BatchKVCache, index: int) -> None:
        """Remove a sequence; the last sequence of the batch moves to its index."""
        for column in (batch_cache.layers, batch_cache.lengths):
            column[index] = column[-1]
            column.pop()

    def batch_next_logits(self, tokens: Sequence[int], batch_cache: BatchKVCache) -> Logits:
        """Append one token to each sequence; return the logits of the next tokens, (B, V).

        If a computation fails, all caches are as before.
        """
        caches: list[KVCache] = batch_cache.layers
        try:
            logits = [self._engine.next_logits([t], cache) for t, cache in zip(tokens, caches)]
        except BaseException:
            for cache, length in zip(caches, batch_cache.lengths):
                cache.truncate(length)
            raise
        batch_cache.lengths = [length + 1 for length in batch_cache.lengths]
        return np.asarray(logits)


def as_batch_engine(engine: Engine | BatchEngine) -> BatchEngine:
    """Return the engine itself if it computes batches, else a `SequentialEngine` over it."""
    return engine if isinstance(engine, BatchEngine) else SequentialEngine(engine)

"""Prefix cache: keys and values of the beginnings of prompts, which later prompts reuse."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from anexa.engines import BatchEngine, KVBlock, KVCache


class PrefixCache:
    """LRU cache of the keys and values of prompt chunks, which prefill of later prompts reuses.

    The keys and values of a chunk depend on the tokens up to its end and on nothing else, because
    prefill computes every prompt alone, from its first token on, in chunks of one size. So a chunk
    is kept under these tokens, and a prompt that begins with them gets keys and values that are the
    same to the last bit as those that it would compute. What decoding computes is not kept: its
    bits differ. The chunk with the last token of a prompt is always computed, for its logits.

    Args:
        engine: engine that computes the chunks.
        chunk_size: number of tokens in a chunk.
        max_bytes: maximum memory of the kept chunks and of the tokens that they are found by; 0
            means that nothing is kept.

    Attributes:
        num_bytes: memory of the kept chunks and of their tokens.
    """

    def __init__(self, engine: BatchEngine, chunk_size: int, max_bytes: int) -> None:
        self._engine, self._chunk_size, self._max_bytes = engine, chunk_size, max_bytes
        # Least recently used first. Of two chunks of a prompt, the earlier one is the more recently
        # used: without it, the later one is not found.
        self._blocks: OrderedDict[bytes, KVBlock] = OrderedDict()
        self._is_suspended = False
        self.num_bytes = 0

    def restore(self, tokens: Sequence[int], kv_cache: KVCache) -> None:
        """Append the longest cached prefix of a prompt to its empty KV cache.

        If there is none, the KV cache stays empty.

        Args:
            tokens: token ids of the prompt.
            kv_cache: KV cache of the prompt, which is extended in place.

        Raises:
            MemoryError: if the memory is too small.
        """
        found = [*takewhile(self._blocks.__contains__, self._keys(tokens[:-1]))]
        for key in found:
            self._engine.append_block(kv_cache, self._blocks[key])
        self._touch(found)

    def store(self, tokens: Sequence[int], kv_cache: KVCache) -> None:
        """Keep a copy of the last chunk of a KV cache for later prompts.

        Args:
            tokens: token ids of the sequence; those in the cache are a multiple of `chunk_size`.
            kv_cache: keys and values of the first `kv_cache.length` tokens.

        Raises:
            MemoryError: if the memory is too small.
        """
        keys = self._keys(tokens[: kv_cache.length])
        if self._max_bytes and not self._is_suspended and keys[-1] not in self._blocks:
            start = kv_cache.length - self._chunk_size
            block = self._engine.copy_block(kv_cache, start, kv_cache.length)
            self._blocks[keys[-1]] = block
            self.num_bytes += block.num_bytes + len(keys[-1])
        self._touch([key for key in keys if key in self._blocks])
        while self.num_bytes > self._max_bytes:
            key, block = self._blocks.popitem(last=False)
            self.num_bytes -= block.num_bytes + len(key)

    def suspend(self) -> bool:
        """Release all memory, and keep nothing until `resume`.

        Returns:
            Whether any memory was released.
        """
        has_released = bool(self._blocks)
        self._blocks.clear()
        self.num_bytes, self._is_suspended = 0, True
        return has_released

    def resume(self) -> None:
        """Keep chunks again after `suspend`."""
        self._is_suspended = False

    def _keys(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the key of every whole chunk: the ids of all tokens up to its end."""
        ids = array("i", tokens).tobytes()
        size = self._chunk_size * array("i").itemsize
        return [ids[:end] for end in range(size, len(ids) + 1, size)]

    def _touch(self, keys: Sequence[bytes]) -> None:
        for key in reversed(keys):
            self._blocks.move_to_end(key)

"""The KV cache of a sequence in the numba engine."""

from __future__ import annotations

from math import prod

import numpy as np

from anexa.engines.program.kernels.language import LANES
from anexa.engines.program.runner import Array, aligned_zeros
from anexa.model.config import ModelConfig


class SequenceCache:
    """The keys and values of one sequence, in blocks of LANES tokens.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        num_blocks: number of blocks to allocate at first, at least 1.

    Attributes:
        blocks: allocated blocks, (blocks, layers, 2, numbers); the 2 are the keys, (H, D, LANES),
            and the values, (H, LANES, D), each flattened.
        address: memory address of the first block; it changes when blocks are added.
        length: number of tokens in the cache.
    """

    def __init__(self, config: ModelConfig, dtype: str, num_blocks: int) -> None:
        self._config, self._dtype = config, dtype
        self._move_to(num_blocks)
        self.length = 0

    def _move_to(self, num_blocks: int, old: Array | None = None) -> None:
        """Allocate `num_blocks` blocks, and copy the old ones to the front of them.

        Raises:
            MemoryError: if there is not enough memory; the cache is then unchanged.
        """
        config = self._config
        shape = num_blocks, config.n_layer, 2, config.n_kv_head * config.head_dim * LANES
        blocks = aligned_zeros(prod(shape), self._dtype).reshape(shape)
        if old is not None:
            blocks[: len(old)] = old
        self.blocks = blocks
        self.address = int(self.blocks.ctypes.data)  # kept, as NumPy takes long to return it

    def reserve(self, length: int) -> None:
        """Make room for a sequence of `length` tokens; if blocks are added, `address` changes.

        Raises:
            MemoryError: if there is not enough memory; the cache is then unchanged.
        """
        needed = -(-length // LANES)
        if needed > len(self.blocks):
            self._move_to(max(needed, 2 * len(self.blocks)), self.blocks)

    def truncate(self, length: int) -> None:
        """Remove all tokens after the first `length`; the blocks stay allocated."""
        self.length = length

    def copy(self) -> SequenceCache:
        """Return a copy of the cache, without the blocks that hold no token.

        Raises:
            MemoryError: if there is not enough memory.
        """
        used = max(1, -(-self.length // LANES))
        other = SequenceCache(self._config, self._dtype, used)
        other.blocks[:] = self.blocks[:used]
        other.length = self.length
        return other

    def copy_tokens(self, start: int, end: int) -> tuple[Array, Array]:
        """Copy keys and values of the tokens from `start` up to `end`, (T, layers, H, D) each."""
        blocks, lanes = np.divmod(np.arange(start, end), LANES)
        keys, values = self._tokens()
        return keys[blocks, lanes], values[blocks, lanes]

    def append_tokens(self, keys: Array, values: Array) -> None:
        """Append tokens by the keys and values that `copy_tokens` returns, both (T, layers, H, D).

        Raises:
            MemoryError: if there is not enough memory; the cache is then unchanged.
        """
        end = self.length + len(keys)
        self.reserve(end)
        blocks, lanes = np.divmod(np.arange(self.length, end), LANES)
        own_keys, own_values = self._tokens()
        own_keys[blocks, lanes], own_values[blocks, lanes] = keys, values
        self.length = end

    def _tokens(self) -> tuple[Array, Array]:
        """View keys and values, both (blocks, LANES, layers, H, D)."""
        n_head, head_dim = self._config.n_kv_head, self._config.head_dim
        n, n_layer = self.blocks.shape[:2]
        keys = self.blocks[:, :, 0].reshape(n, n_layer, n_head, head_dim, LANES)
        values = self.blocks[:, :, 1].reshape(n, n_layer, n_head, LANES, head_dim)
        return keys.transpose(0, 4, 1, 2, 3), values.transpose(0, 3, 1, 2, 4)

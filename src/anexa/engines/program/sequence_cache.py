"""The cache of a sequence in the numba engine: blocks of keys and values."""

from __future__ import annotations

import numpy as np

from anexa.engines.program.kernels.language import LANES
from anexa.engines.program.runner import Array, aligned
from anexa.model.config import ModelConfig


class SequenceCache:
    """The keys and values of one sequence, in blocks of LANES tokens.

    Args:
        config: the architecture and its sizes.
        dtype: precision of the numbers.
        num_blocks: number of blocks to begin with.

    Attributes:
        blocks: (blocks, layers, 2, numbers): keys (H, D, LANES), then values (H, LANES, D).
        length: number of tokens.
    """

    def __init__(self, config: ModelConfig, dtype: str, num_blocks: int) -> None:
        self._heads = config.n_kv_head, config.head_dim
        size = config.n_kv_head * config.head_dim * LANES
        self._shape, self._dtype = (config.n_layer, 2, size), dtype
        self.blocks = self._new(num_blocks)
        self.length = 0

    def _new(self, num_blocks: int) -> Array:
        size = num_blocks * self._shape[0] * self._shape[1] * self._shape[2]
        return aligned(size, self._dtype).reshape(num_blocks, *self._shape)

    @property
    def address(self) -> int:
        """Address of the first block."""
        return int(self.blocks.ctypes.data)

    def reserve(self, length: int) -> None:
        """Make room for so many tokens."""
        needed = -(-length // LANES)
        if needed > len(self.blocks):
            blocks = self._new(max(needed, 2 * len(self.blocks)))
            blocks[: len(self.blocks)] = self.blocks
            self.blocks = blocks

    def truncate(self, length: int) -> None:
        """Remove all tokens after the first `length`."""
        self.length = length

    def copy(self) -> SequenceCache:
        """Return a copy with the blocks that hold tokens."""
        other: SequenceCache = object.__new__(SequenceCache)
        other._heads, other._shape, other._dtype = self._heads, self._shape, self._dtype
        used = max(1, -(-self.length // LANES))
        other.blocks = other._new(used)
        other.blocks[:] = self.blocks[:used]
        other.length = self.length
        return other

    def copy_tokens(self, start: int, end: int) -> tuple[Array, Array]:
        """Copy the keys and values of the tokens from `start` up to `end`, (T, layers, H, D)."""
        blocks, lanes = np.divmod(np.arange(start, end), LANES)
        keys, values = self._tokens()
        return keys[blocks, lanes], values[blocks, lanes]

    def append_tokens(self, keys: Array, values: Array) -> None:
        """Append keys and values that `copy_tokens` has copied."""
        end = self.length + len(keys)
        self.reserve(end)
        blocks, lanes = np.divmod(np.arange(self.length, end), LANES)
        own_keys, own_values = self._tokens()
        own_keys[blocks, lanes], own_values[blocks, lanes] = keys, values
        self.length = end

    def _tokens(self) -> tuple[Array, Array]:
        """View keys and values, both (blocks, LANES, layers, H, D)."""
        (n_head, head_dim), (n_layer, *_), n = self._heads, self._shape, len(self.blocks)
        keys = self.blocks[:, :, 0].reshape(n, n_layer, n_head, head_dim, LANES)
        values = self.blocks[:, :, 1].reshape(n, n_layer, n_head, LANES, head_dim)
        return keys.transpose(0, 4, 1, 2, 3), values.transpose(0, 3, 1, 2, 4)

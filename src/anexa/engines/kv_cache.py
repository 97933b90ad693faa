"""What has been read, kept so as not to be read again: for NumPy's arrays and PyTorch's tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anexa.engines.protocol import BatchKVCache, KVCache

BLOCK = 64  # keys: so many more are looked at together


class LayerKVCache:
    """The keys and values of one layer for every token read so far.

    Room for more is made as it is needed: what a model could see at once may be far more.

    Args:
        keys_BHSD: with room for some tokens.
        values_BHSD: the same.
        join: puts arrays together along an axis.

    Attributes:
        keys_BHSD: with room for S tokens.
        values_BHSD: the same.
        length: how many have been read.
        hidden: None: what may not be seen is what comes later.
    """

    attn_mask: Any = None

    def __init__(self, keys_BHSD: Any, values_BHSD: Any, join: Callable[..., Any]) -> None:
        self.keys_BHSD, self.values_BHSD, self.length = keys_BHSD, values_BHSD, 0
        self._join = join

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Take in those of T more tokens; gives all of them."""
        end = self.length + k_BHTD.shape[-2]
        while end > self.keys_BHSD.shape[-2]:
            self.keys_BHSD, self.values_BHSD = (  # both or, where memory is short, neither
                self._join((old, old), 2) for old in (self.keys_BHSD, self.values_BHSD)
            )
        self.keys_BHSD[:, :, self.length : end] = k_BHTD
        self.values_BHSD[:, :, self.length : end] = v_BHTD
        self.length = end
        return self.keys_BHSD[:, :, :end], self.values_BHSD[:, :, :end]

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first `length`."""
        self.length = length


class LayerDecodeCache:
    """The keys and values of one layer for many texts, while each of them reads one token.

    Attributes:
        hidden: (B, 1, 1, S), -∞ for the keys that a text does not have, else 0.
    """

    def __init__(self, layer: tuple[Any, Any], texts: Any, starts: Any, attn_mask: Any) -> None:
        self._layer, self._texts, self._starts, self.attn_mask = layer, texts, starts, attn_mask

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Take in those of one more token of each text; gives as many as the longest has."""
        count, end = len(k_BHTD), self.attn_mask.shape[-1]
        for room, new in zip(self._layer, (k_BHTD, v_BHTD)):
            room[self._texts, :, self._starts] = new[:, :, 0]
        keys, values = (room[:count, :, :end] for room in self._layer)
        return keys, values


def round_up_to_block(keys: int) -> int:
    """So many keys and some more, so that sums are added up in the same order in any company."""
    return -(-keys // BLOCK) * BLOCK


def num_keys(rows: BatchKVCache) -> int:
    """How many keys a step looks at: those of the longest text with its new token, and more."""
    return round_up_to_block(max(rows.lengths) + 1)


def add_sequence(rows: BatchKVCache, cache: KVCache) -> None:
    """Take in a text that has been read, as the last row."""
    row = len(rows.lengths)
    for room, layer in zip(rows.layers, cache.layers):
        for into, read in zip(room, (layer.keys_BHSD, layer.values_BHSD)):
            into[row, :, : cache.length] = read[0, :, : cache.length]
            into[row, :, cache.length :] = 0  # it is hidden, but must be a number
    rows.lengths.append(cache.length)


def remove_sequence(rows: BatchKVCache, row: int) -> None:
    """Free a row; the last one takes its place."""
    last = len(rows.lengths) - 1
    if row != last:
        for room in rows.layers:
            for kept in room:
                kept[row, :, : rows.lengths[last]] = kept[last, :, : rows.lengths[last]]
                kept[row, :, rows.lengths[last] :] = 0
    rows.lengths[row] = rows.lengths[last]
    del rows.lengths[last]

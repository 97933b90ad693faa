"""Key-value caches on NumPy arrays and PyTorch tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from anexa.engines.protocol import BatchKVCache, KVCache
from anexa.model.config import ModelConfig

BLOCK = 64  # keys in a block; attention in a batch reads whole blocks


class LayerKVCache:
    """The keys and values of one layer for all tokens of one sequence so far.

    The buffers grow as they fill, as most sequences are far shorter than the context.

    Args:
        keys_BHSD: buffer of the keys, with space for S tokens; B is 1.
        values_BHSD: buffer of the values, of the same shape.
        concatenate: joins a tuple of arrays along an axis.

    Attributes:
        keys_BHSD: buffer of the keys.
        values_BHSD: buffer of the values.
        length: the number of tokens in the cache.
        attn_mask: None for the causal mask.
    """

    attn_mask: Any = None

    def __init__(self, keys_BHSD: Any, values_BHSD: Any, concatenate: Callable[..., Any]) -> None:
        self.keys_BHSD, self.values_BHSD, self.length = keys_BHSD, values_BHSD, 0
        self._concatenate = concatenate

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Append the keys and values of T tokens; return the keys and values of all tokens."""
        end = self.length + k_BHTD.shape[-2]
        while end > self.keys_BHSD.shape[-2]:
            self.keys_BHSD, self.values_BHSD = (  # both, or neither if the memory is too small
                self._concatenate((old, old), 2) for old in (self.keys_BHSD, self.values_BHSD)
            )
        self.keys_BHSD[:, :, self.length : end] = k_BHTD
        self.values_BHSD[:, :, self.length : end] = v_BHTD
        self.length = end
        return self.keys_BHSD[:, :, :end], self.values_BHSD[:, :, :end]

    def truncate(self, length: int) -> None:
        """Remove all tokens after the first `length`."""
        self.length = length


class LayerDecodeCache:
    """The keys and values of one layer for B sequences, during one decoding step.

    Args:
        buffers: the buffers of the keys and of the values, as in `BatchKVCache`.
        indices: the indices of the sequences, (B,).
        starts: the position of the new token of each sequence, (B,).
        attn_mask: (B, 1, 1, S) additive mask: −∞ for keys beyond the sequence's length, else 0.
    """

    def __init__(self, buffers: tuple[Any, Any], indices: Any, starts: Any, attn_mask: Any) -> None:
        self._buffers, self._indices, self._starts = buffers, indices, starts
        self.attn_mask = attn_mask

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Append one token to each sequence; return keys and values, (B, H, S, D) each."""
        batch, end = len(k_BHTD), self.attn_mask.shape[-1]
        for buffer, new in zip(self._buffers, (k_BHTD, v_BHTD)):
            buffer[self._indices, :, self._starts] = new[:, :, 0]
        keys, values = (buffer[:batch, :, :end] for buffer in self._buffers)
        return keys, values


LayerCache: TypeAlias = LayerKVCache | LayerDecodeCache


def buffer_shape(
    config: ModelConfig, num_sequences: int, num_positions: int
) -> tuple[int, int, int, int, int, int]:
    """Return the shape of the keys and values of all layers: (layers, 2, B, H, S, D)."""
    sizes = (num_sequences, config.n_kv_head, num_positions, config.head_dim)
    return (config.n_layer, 2, *sizes)


def round_up_to_block(num_keys: int) -> int:
    """Round a key count up to a multiple of `BLOCK`.

    So the summation order of attention does not depend on the other sequences in the batch.
    """
    return -(-num_keys // BLOCK) * BLOCK


def num_keys(batch_cache: BatchKVCache) -> int:
    """Return how many keys a decoding step reads: the longest sequence and its new token."""
    return round_up_to_block(max(batch_cache.lengths) + 1)


def add_sequence(batch_cache: BatchKVCache, cache: KVCache) -> None:
    """Copy the cache of one sequence into the batch cache, as its last sequence."""
    index = len(batch_cache.lengths)
    for buffers, layer in zip(batch_cache.layers, cache.layers):
        for buffer, source in zip(buffers, (layer.keys_BHSD, layer.values_BHSD)):
            buffer[index, :, : cache.length] = source[0, :, : cache.length]
            buffer[index, :, cache.length :] = 0  # masked keys must be finite: 0 x NaN is NaN
    batch_cache.lengths.append(cache.length)


def remove_sequence(batch_cache: BatchKVCache, index: int) -> None:
    """Remove a sequence; the last sequence of the batch cache moves to its index."""
    lengths = batch_cache.lengths
    last = len(lengths) - 1
    if index != last:
        for buffers in batch_cache.layers:
            for buffer in buffers:
                buffer[index, :, : lengths[last]] = buffer[last, :, : lengths[last]]
                buffer[index, :, lengths[last] :] = 0
    lengths[index] = lengths[last]
    del lengths[last]

"""Key-value caches on NumPy arrays and PyTorch tensors.

Suffixes are the axes of an array: B sequences, H heads of keys and values, S or T tokens, D head
width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from anexa.engines.batch import TokenPositions
from anexa.engines.protocol import BatchKVCache, KVBlock, KVCache, Logits
from anexa.model.config import ModelConfig

# Attention in a batch reads whole blocks of this many keys; `config.block_size` is the context.
KEYS_PER_BLOCK = 64


class LayerKVCache:
    """The keys and values of one layer for all tokens of one sequence so far.

    The buffers grow as they fill, as most sequences are far shorter than the context.

    Args:
        keys_BHSD: buffer of the keys, with space for S tokens; B is 1.
        values_BHSD: buffer of the values, of the same shape.
        concatenate: function that joins a tuple of arrays along an axis.

    Attributes:
        keys_BHSD: buffer of the keys, with free space after the first `length` tokens.
        values_BHSD: buffer of the values, of the same shape.
        length: number of tokens in the cache.
        attn_mask: always None: attention then uses the causal mask.
    """

    attn_mask: Any = None

    def __init__(self, keys_BHSD: Any, values_BHSD: Any, concatenate: Callable[..., Any]) -> None:
        self.keys_BHSD, self.values_BHSD, self.length = keys_BHSD, values_BHSD, 0
        self._concatenate = concatenate

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Append the keys and values of T tokens; return the keys and values of all tokens.

        The results are views of the buffers, (B, H, `length`, D) each.
        """
        end = self.length + k_BHTD.shape[-2]
        while end > self.keys_BHSD.shape[-2]:
            self.keys_BHSD, self.values_BHSD = (  # both, or neither if the memory is too small
                self._concatenate((old, old), 2) for old in (self.keys_BHSD, self.values_BHSD)
            )
        self.keys_BHSD[:, :, self.length : end] = k_BHTD
        self.values_BHSD[:, :, self.length : end] = v_BHTD
        self.length = end
        return self.keys_BHSD[:, :, :end], self.values_BHSD[:, :, :end]

    def copy(self, start: int, end: int) -> tuple[Any, Any]:
        """Copy keys and values, (B, H, T, D) each, of the tokens from `start` up to `end`."""
        keys, values = (
            self._concatenate((buffer[:, :, start:end],), 2)
            for buffer in (self.keys_BHSD, self.values_BHSD)
        )
        return keys, values

    def truncate(self, length: int) -> None:
        """Remove all tokens after the first `length`; the buffers keep their sizes."""
        self.length = length


class LayerDecodeCache:
    """The keys and values of one layer for B sequences, during one decoding step.

    Args:
        buffers: buffers of the keys and of the values of the layer, (B, H, S, D) each.
        indices: row of each sequence in the buffers, (B,): 0, 1, …, B − 1.
        starts: position of the new token of each sequence, (B,).
        attn_mask: (B, 1, 1, S) additive mask: −∞ for keys after the sequence's new token, else 0.

    Attributes:
        starts: position of the new token of each sequence, (B,).
        attn_mask: additive mask of attention, (B, 1, 1, S).
    """

    def __init__(self, buffers: tuple[Any, Any], indices: Any, starts: Any, attn_mask: Any) -> None:
        self._buffers, self._indices = buffers, indices
        self.starts, self.attn_mask = starts, attn_mask

    def append(self, k_BHTD: Any, v_BHTD: Any) -> tuple[Any, Any]:
        """Append one token to each sequence, in the buffers, where `starts` says.

        Returns:
            Views of the keys and values of all tokens, (B, H, S, D) each, S as in `attn_mask`.
        """
        batch, end = len(k_BHTD), self.attn_mask.shape[-1]
        for buffer, new in zip(self._buffers, (k_BHTD, v_BHTD)):
            buffer[self._indices, :, self.starts] = new[:, :, 0]
        keys, values = (buffer[:batch, :, :end] for buffer in self._buffers)
        return keys, values


AnyLayerCache: TypeAlias = LayerKVCache | LayerDecodeCache
"""Cache of one layer: of one sequence, or of the B sequences of a decoding step."""


class ArrayDecoder(ABC):
    """Base class of the engines on arrays: the methods of `BatchEngine`, which documents them.

    Attributes:
        config: architecture and sizes of the model.
        dtype: precision of the weights, "float32" or "float64".
    """

    config: ModelConfig
    dtype: str
    _concatenate: Callable[..., Any]

    @abstractmethod
    def _inference(self) -> AbstractContextManager[object]:
        """Context manager that the decoding of the base class runs in, such as `torch.no_grad`."""

    @abstractmethod
    def _zeros(self, shape: tuple[int, ...]) -> Any:
        """Create an array of zeros, in the engine's precision."""

    @abstractmethod
    def _from_numpy(self, x: npt.NDArray[Any]) -> Any:
        """Convert a NumPy array to an array of the engine."""

    @abstractmethod
    def _to_numpy(self, x: Any) -> npt.NDArray[Any]:
        """Convert an array of the engine to a NumPy array."""

    @abstractmethod
    def _cached_logits(
        self,
        tokens_BT: Any,
        positions: TokenPositions,
        kv_cache: Sequence[AnyLayerCache],
        in_batch: bool,
    ) -> Any:
        """Compute the logits after each token, (B, T, V), with the help of a KV cache.

        Args:
            tokens_BT: token ids.
            positions: position of the first token, or a tuple with that of each sequence.
            kv_cache: cache of each layer, to which the keys and values of the tokens are appended.
            in_batch: whether this is a decoding step of several sequences, which needs operations
                whose results do not depend on the batch.
        """

    def new_kv_cache(self) -> KVCache:
        with self._inference():
            layers = self._new_buffers(1, KEYS_PER_BLOCK)
            return KVCache([LayerKVCache(*layer, self._concatenate) for layer in layers])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        return cast("Sequence[float]", self._append(tokens, cache, slice(-1, None))[0])

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[Sequence[float]]:
        return cast("Sequence[Sequence[float]]", self._append(tokens, cache, slice(None)))

    def _append(self, tokens: Sequence[int], cache: KVCache, wanted: slice) -> Logits:
        """Append tokens to the cache of one sequence, and compute logits.

        Args:
            tokens: T ≥ 1 token ids.
            cache: cache of the sequence.
            wanted: slice of the tokens after which logits are wanted.

        Returns:
            The logits after these tokens, (number of tokens, V).
        """
        with self._inference():
            tokens_BT = self._from_numpy(np.array([tokens], np.int64))
            logits_BTV = self._cached_logits(tokens_BT, cache.length, cache.layers, False)
            logits_TV = self._to_numpy(logits_BTV[0, wanted])
        cache.length += len(tokens)
        return logits_TV

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        with self._inference():
            layers = [layer.copy(start, end) for layer in cache.layers]
        return KVBlock(layers, end - start, sum(x.nbytes for layer in layers for x in layer))

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        with self._inference():
            for layer, (keys, values) in zip(cache.layers, block.layers):
                layer.append(keys, values)
        cache.length += block.length

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:
        num_positions = round_up_to_block(self.config.block_size)
        with self._inference():
            return BatchKVCache(self._new_buffers(max_num_seqs, num_positions))

    def add_sequence(self, batch_cache: BatchKVCache, cache: KVCache) -> None:
        index = len(batch_cache.lengths)
        with self._inference():
            for buffers, layer in zip(batch_cache.layers, cache.layers):
                for buffer, source in zip(buffers, (layer.keys_BHSD, layer.values_BHSD)):
                    buffer[index, :, : cache.length] = source[0, :, : cache.length]
                    buffer[index, :, cache.length :] = (
                        0  # masked keys must be finite: 0 x NaN is NaN
                    )
        batch_cache.lengths.append(cache.length)

    def remove_sequence(self, batch_cache: BatchKVCache, index: int) -> None:
        lengths = batch_cache.lengths
        last = len(lengths) - 1
        if index != last:
            with self._inference():
                for buffers in batch_cache.layers:
                    for buffer in buffers:
                        buffer[index, :, : lengths[last]] = buffer[last, :, : lengths[last]]
                        buffer[index, :, lengths[last] :] = 0
        lengths[index] = lengths[last]
        del lengths[last]

    def batch_next_logits(self, tokens: Sequence[int], batch_cache: BatchKVCache) -> Logits:
        lengths = batch_cache.lengths
        starts = np.array(lengths)
        # Enough keys for the longest sequence and its new token.
        later = np.arange(round_up_to_block(max(lengths) + 1)) > starts[:, None]
        mask_B11S = np.where(later, -np.inf, 0).astype(self.dtype)[:, None, None]
        with self._inference():
            step = [self._from_numpy(x) for x in (np.arange(len(tokens)), starts, mask_B11S)]
            layers = [LayerDecodeCache(buffers, *step) for buffers in batch_cache.layers]
            tokens_BT = self._from_numpy(np.array(tokens, np.int64)[:, None])
            logits_BTV = self._cached_logits(tokens_BT, tuple(lengths), layers, True)
            logits_BV = self._to_numpy(logits_BTV[:, -1])
        batch_cache.lengths = [length + 1 for length in lengths]
        return logits_BV

    def _new_buffers(self, num_sequences: int, num_positions: int) -> list[tuple[Any, Any]]:
        """Allocate buffers for the keys and values of each layer, (B, H, S, D) each."""
        config = self.config
        sizes = (num_sequences, config.n_kv_head, num_positions, config.head_dim)
        return [(keys, values) for keys, values in self._zeros((config.n_layer, 2, *sizes))]


def round_up_to_block(num_keys: int) -> int:
    """Round a key count up to a multiple of `KEYS_PER_BLOCK`.

    So the summation order of attention does not depend on the other sequences in the batch.
    """
    return -(-num_keys // KEYS_PER_BLOCK) * KEYS_PER_BLOCK

"""The protocol of an engine, and the types that all engines take and return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from anexa.engines.batch import Batch
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

if TYPE_CHECKING:  # engines of plain Python need no NumPy
    import numpy.typing as npt

Logits: TypeAlias = "npt.NDArray[Any]"  # floats, shape (B, V)


@dataclass
class KVCache:
    """The keys and values of one sequence, so that its tokens are computed only once.

    Attributes:
        layers: cache of each layer, of the engine's own type; in the numba engine a single
            `SequenceCache`, which has all layers.
        length: number of tokens in the cache.
    """

    layers: list[Any]
    length: int = 0

    def truncate(self, length: int) -> None:
        """Remove all tokens after the first `length`; repairs a cache after an exception."""
        for layer in self.layers:
            layer.truncate(length)
        self.length = length


@dataclass
class KVBlock:
    """A copy of the keys and values of some tokens of one sequence.

    Attributes:
        layers: keys and values of each layer, as arrays of the engine; in the numba engine a single
            pair, which has all layers.
        length: number of tokens.
        num_bytes: memory that the block takes, in bytes; approximate in plain Python.
    """

    layers: list[tuple[Any, Any]]
    length: int
    num_bytes: int


@dataclass
class BatchKVCache:
    """The keys and values of several sequences, each with a length of its own.

    Attributes:
        layers: for each layer its buffers of keys and of values, shape (B, H, S, D), as arrays of
            the engine; B is the maximum number of sequences, H the number of heads of keys, and S
            at least the context length. Instead, a `SequentialEngine` has one `KVCache` per
            sequence, and the numba engine one `SequenceCache` per sequence.
        lengths: number of tokens of each sequence; sequence i is row i of the buffers, or entry i
            of `layers`.
    """

    layers: list[Any]
    lengths: list[int] = field(default_factory=list)


class TrainStepOutput(NamedTuple):
    """The result of a training step.

    Attributes:
        loss: mean loss of the batch before the step, in nats per token.
        gradient_norm: Euclidean norm of the gradients of all trainable weights together, before
            clipping.
    """

    loss: float
    gradient_norm: float


class Engine(Protocol):
    """An engine: one way to compute a model and to train it.

    An engine holds the weights and, once it has trained, the state of the optimizer. Callers see
    to it that token ids are below `config.vocab_size` and that no sequence and no cache is longer
    than `config.block_size`.

    A method raises MemoryError if the memory is too small, in every engine. Where it can say what
    to do, this is an `OutOfMemoryError`, which is an AnexaError too.

    Attributes:
        name: name of the engine, one of `anexa.engines.ENGINES`.
        dtype: precision of the weights, "float32" or "float64".
        config: architecture and sizes of the model.
    """

    name: str
    dtype: str
    config: ModelConfig

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        """Compute the logits of the token after each of T ≥ 1 tokens, (T, V), without a cache.

        Raises:
            MemoryError: if the memory is too small.
        """

    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        """Compute the last hidden states of T ≥ 1 tokens, (T, C), without a cache.

        They are the input of the output head: after the last norm, where the model has one.

        Raises:
            MemoryError: if the memory is too small.
        """

    def loss(self, batch: Batch) -> float:
        """Compute the mean of −log p(target) over the targets of a batch, in nats per token.

        Each is multiplied by the weight of its sequence. The batch has at least one target. There
        is no dropout.

        Raises:
            MemoryError: if the memory is too small for the batch; in the torch engine, for one
                sequence.
        """

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        """Compute the loss of a batch and its derivative with respect to every trainable weight.

        There is no dropout, as in `loss`.

        Returns:
            The loss, in nats per token, and a copy of the gradients, by the name of the weight.

        Raises:
            MemoryError: as in `loss`.
        """

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        """Update the weights by one step of the optimizer.

        Raises:
            MemoryError: as in `loss`, with the weights unchanged; or if the memory is too small for
                the optimizer.
        """

    def new_kv_cache(self) -> KVCache:
        """Create an empty KV cache for one sequence."""

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        """Append T ≥ 1 tokens to a cache and compute the logits of the token that follows, (V,).

        Raises:
            MemoryError: if the memory is too small; `KVCache.truncate` repairs the cache.
        """

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[Sequence[float]]:
        """Append T ≥ 1 tokens to a cache and compute the logits after each of them, (T, V).

        The last row is equal to the result of `next_logits`, to the last bit.

        Raises:
            MemoryError: if the memory is too small; `KVCache.truncate` repairs the cache.
        """

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        """Copy the keys and values of the tokens from `start` up to `end`.

        Raises:
            MemoryError: if the memory is too small.
        """

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        """Append the keys and values of a block to a cache, as if its tokens were appended.

        It must have been copied from the same position, after the same tokens.

        Raises:
            MemoryError: if the memory is too small; `KVCache.truncate` repairs the cache.
        """

    def weights(self) -> Weights:
        """Return a copy of the weights by name, in the engine's precision."""

    def optimizer_state(self) -> Weights:
        """Return a copy of the optimizer's moments; empty before the first step.

        Their names are "m." (mean of gradients) and, for weights that AdamW updates, "v." (mean of
        squared gradients), each with the name of a trainable weight.
        """

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        """Restore the state of the optimizer.

        Args:
            state: moments that `optimizer_state` returned, of the same trainable weights.
            step: number of steps that the optimizer had taken.
        """


@runtime_checkable
class BatchEngine(Protocol):
    """An engine that decodes several sequences at once: numpy, numba and torch.

    The sequences may have different lengths; each is prefilled alone, into a `KVCache`. On a CPU
    the logits of a sequence are the same to the last bit, whichever sequences are in the batch.

    Attributes:
        name: name of the engine, one of `anexa.engines.ENGINES`.
        config: architecture and sizes of the model.
    """

    name: str
    config: ModelConfig

    def new_kv_cache(self) -> KVCache:
        """Create an empty cache for one sequence, as `Engine` does."""

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        """Append tokens to the cache of one sequence; return the logits of the next token, (V,)."""

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[Sequence[float]]:
        """Append tokens to the cache of one sequence; return the logits after each, (T, V)."""

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        """Copy the keys and values of the tokens from `start` up to `end`, as `Engine` does."""

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        """Append the keys and values of a block to the cache of one sequence."""

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:
        """Create an empty cache for at most `max_num_seqs` sequences.

        Raises:
            MemoryError: if the memory is too small.
        """

    def add_sequence(self, batch_cache: BatchKVCache, cache: KVCache) -> None:
        """Append a prefilled sequence to a batch cache that is not full.

        Its cache is copied or taken over: do not use it any more.

        Raises:
            MemoryError: if the memory is too small.
        """

    def remove_sequence(self, batch_cache: BatchKVCache, index: int) -> None:
        """Remove a sequence; the last sequence of the batch cache moves to its index."""

    def batch_next_logits(self, tokens: Sequence[int], batch_cache: BatchKVCache) -> Logits:
        """Append one token to each of B sequences and compute the logits that follow, (B, V).

        Raises:
            MemoryError: if the memory is too small; then no token was appended.
        """

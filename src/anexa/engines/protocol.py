"""The protocol of an engine, and the types that all engines take and return."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from anexa.model.config import ModelConfig
from anexa.model.operations import IGNORE_INDEX as IGNORE_INDEX
from anexa.model.weights import Weights

if TYPE_CHECKING:  # engines of plain Python need no NumPy
    import numpy.typing as npt

Logits: TypeAlias = "npt.NDArray[Any]"  # floats, shape (B, V)

TokenPositions: TypeAlias = int | tuple[int, ...] | tuple[tuple[int, ...], ...]
"""Position of the first token of each sequence, which the others follow; a tuple for B sequences
has an entry for each: the position of its first token, or the positions of all its T tokens."""


class BatchSequence(NamedTuple):
    """A sequence of a batch, without padding.

    Attributes:
        inputs: token ids.
        targets: for each token the token to predict; `IGNORE_INDEX` where there is none.
        loss_denominator: divisor of the summed loss.
        positions: position of each token.
    """

    inputs: Sequence[int]
    targets: Sequence[int]
    loss_denominator: float
    positions: Sequence[int]


@dataclass(frozen=True)
class Batch:
    """B sequences of T tokens, and for each token its target: the token that should follow it.

    Attributes:
        inputs: B*T token ids, sequence by sequence; shorter sequences are padded with 0.
        targets: B*T token ids; `IGNORE_INDEX` where no token is to be predicted.
        shape: (B, T); in batches made by `from_sequences` and `from_labels`, T is the length of the
            longest sequence − 1.
        sequence_weights: per-sequence loss weights, shape (B,), nonzero; a negative weight lowers
            the likelihood of the sequence (policy gradient). None: 1 for every sequence.
        positions: positions of the B*T tokens, less than the context length; those of a padded
            sequence end with 0. None: 0, 1, 2, … in every sequence.
    """

    inputs: array[int]
    targets: array[int]
    shape: tuple[int, int]
    sequence_weights: array[float] | None = None
    positions: array[int] | None = None

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[Sequence[int]],
        num_prompt_tokens: Sequence[int] | None = None,
        sequence_weights: Sequence[float] | None = None,
    ) -> Batch:
        """Create a batch in which each token of a sequence is predicted from the tokens before it.

        Args:
            sequences: at least one sequence of token ids, each of at least two tokens; lengths may
                differ.
            num_prompt_tokens: for each sequence the number of tokens at its start that are not
                predicted, at least 1; default: 1.
            sequence_weights: loss weight of each sequence, nonzero; a negative weight lowers the
                likelihood of the sequence. Default: 1 for each.
        """
        prompts = num_prompt_tokens or [1] * len(sequences)
        labels = [[*[IGNORE_INDEX] * n, *ids[n:]] for ids, n in zip(sequences, prompts)]
        return cls.from_labels(sequences, labels, sequence_weights)

    @classmethod
    def from_labels(
        cls,
        sequences: Sequence[Sequence[int]],
        labels: Sequence[Sequence[int]],
        sequence_weights: Sequence[float] | None = None,
        positions: Sequence[Sequence[int] | None] | None = None,
    ) -> Batch:
        """Create a batch in which the labeled tokens of each sequence are predicted.

        Args:
            sequences: at least one sequence of token ids, each of at least two tokens; lengths may
                differ.
            labels: for each sequence, the label of every token: its id, or `IGNORE_INDEX` for a
                token without a loss. The first token is not predicted, whatever its label.
            sequence_weights: loss weight of each sequence, nonzero; a negative weight lowers the
                likelihood of the sequence. Default: 1 for each.
            positions: position of each token, by sequence; of a sequence with None, and by default,
                0, 1, 2, …

        Raises:
            ValueError: if a sequence has not as many positions as tokens.
        """
        length = max(map(len, sequences)) - 1
        inputs, targets = array("q"), array("q")
        for ids, label in zip(sequences, labels):
            padding = length + 1 - len(ids)
            inputs.extend(ids[:-1])
            inputs.extend([0] * padding)
            targets.extend(label[1:])
            targets.extend([IGNORE_INDEX] * padding)
        weights = None if sequence_weights is None else array("d", sequence_weights)
        placed = None
        if positions is not None and any(each is not None for each in positions):
            placed = array("q")
            for ids, each in zip(sequences, positions, strict=True):
                if each is not None and len(each) != len(ids):
                    raise ValueError("a sequence needs a position for each of its tokens")
                placed.extend(range(len(ids) - 1) if each is None else each[:-1])
                placed.extend([0] * (length + 1 - len(ids)))
        return cls(inputs, targets, (len(sequences), length), weights, placed)

    @property
    def num_targets(self) -> int:
        """The number of tokens to predict: the targets other than `IGNORE_INDEX`."""
        return len(self.targets) - self.targets.count(IGNORE_INDEX)

    @property
    def loss_denominators(self) -> array[float]:
        """Divisor of each sequence's summed loss, shape (B,): targets in the batch / weight."""
        weights = self.sequence_weights or [1.0] * self.shape[0]
        return array("d", (self.num_targets / weight for weight in weights))

    @property
    def token_positions(self) -> TokenPositions:
        """The positions of the tokens, as operations take them: 0, or T for each sequence."""
        if self.positions is None:
            return 0
        rows = range(0, len(self.positions), self.shape[1])
        return tuple(tuple(self.positions[row : row + self.shape[1]]) for row in rows)

    def sequences(self) -> Iterator[BatchSequence]:
        """Yield each sequence, up to its last target.

        A sequence without targets is left out: it has no loss.
        """
        length = self.shape[1]
        for index, loss_denominator in enumerate(self.loss_denominators):
            begin = index * length
            targets = self.targets[begin : begin + length]
            while targets and targets[-1] == IGNORE_INDEX:
                targets.pop()
            end = begin + len(targets)
            positions = range(len(targets)) if self.positions is None else self.positions[begin:end]
            if targets:
                yield BatchSequence(self.inputs[begin:end], targets, loss_denominator, positions)


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

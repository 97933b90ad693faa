"""What every engine can do, and the few things that they share."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

if TYPE_CHECKING:  # engines of plain Python need no NumPy
    import numpy.typing as npt

Logits: TypeAlias = "npt.NDArray[Any]"  # of floats

IGNORE = -100  # a target that no loss is taken of: the number PyTorch and transformers use


@dataclass(frozen=True)
class Batch:
    """B rows of T tokens, and for each token the one that should follow it.

    Attributes:
        inputs: B*T token ids, row by row; a row that is shorter is filled up with 0.
        targets: B*T token ids, `IGNORE` where there is nothing to predict.
        shape: (B, T).
        sequence_weights: per-sequence loss weights, shape (B,), nonzero; a negative weight lowers
            the likelihood of the sequence (policy gradient). None: 1 for every sequence.
    """

    inputs: array[int]
    targets: array[int]
    shape: tuple[int, int]
    sequence_weights: array[float] | None = None

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[int]],
        given: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
    ) -> Batch:
        """A batch in which each token of a row is to be predicted from those before it.

        Args:
            rows: at least one row of at least two tokens each; lengths may differ.
            given: how many tokens at the beginning of each row are not to be predicted: at least
                the first, and by default that one alone.
            weights: see `Batch`.
        """
        width = max(map(len, rows)) - 1
        inputs, targets = array("q"), array("q")
        for row, known in zip(rows, given or [1] * len(rows)):
            padding = width + 1 - len(row)
            inputs.extend(row[:-1])
            inputs.extend([0] * padding)
            targets.extend([IGNORE] * (known - 1))
            targets.extend(row[known:])
            targets.extend([IGNORE] * padding)
        counts = None if weights is None else array("d", weights)
        return cls(inputs, targets, (len(rows), width), counts)

    @property
    def count(self) -> int:
        """How many tokens are to be predicted."""
        return len(self.targets) - self.targets.count(IGNORE)

    @property
    def loss_denominators(self) -> array[float]:
        """What the sum of the losses of each row is divided by, B numbers."""
        weights = self.sequence_weights or [1.0] * self.shape[0]
        return array("d", (self.count / weight for weight in weights))

    def rows(self) -> Iterator[tuple[array[int], array[int], float]]:
        """Inputs, targets and divisor, row by row, without the filling after the last target."""
        width = self.shape[1]
        for row, divisor in enumerate(self.loss_denominators):
            start = row * width
            targets = self.targets[start : start + width]
            while targets and targets[-1] == IGNORE:
                targets.pop()
            yield self.inputs[start : start + len(targets)], targets, divisor


@dataclass
class KVCache:
    """What an engine keeps of the tokens it has read, so as not to read them again.

    Attributes:
        layers: for each layer its keys and values, in the engine's own form.
        length: how many tokens that is.
    """

    layers: list[Any]
    length: int = 0


@dataclass
class BatchKVCache:
    """The keys and values of many texts, each as long as it may be.

    Attributes:
        layers: for each layer a pair of (B, H, S, D): keys and values, in the engine's own form,
            with room for B texts.
        lengths: how many tokens of each text have been read; the texts are in the first rows.
    """

    layers: list[tuple[Any, Any]]
    lengths: list[int] = field(default_factory=list)


class TrainStepOutput(NamedTuple):
    """What a training step has found: its mean loss in nats a token, and |gradients|, unclipped."""

    loss: float
    gradient_norm: float


class Engine(Protocol):
    """One way to compute a model.

    An engine holds the weights, and once it trains, the optimizer's state. Token ids are below
    `config.vocab_size`, and no row or cache is longer than `config.block_size`: callers see to it.
    """

    name: str
    dtype: str  # of the weights: "float32" or "float64"
    config: ModelConfig

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        """For each of T tokens the V logits of what follows it, computed without a cache."""

    def loss(self, batch: Batch) -> float:
        """The mean of −log p(target), in nats a token."""

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        """The loss, and its derivative in every weight."""

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        """One step of the optimizer; gives the loss before it."""

    def new_kv_cache(self) -> KVCache:
        """A cache that has read nothing."""

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        """Read at least one more token; the V logits of what follows the last one.

        Raises:
            MemoryError: there is not enough; the cache cannot be used any more.
        """

    def weights(self) -> Weights:
        """A copy of the weights, in the engine's own precision."""

    def optimizer_state(self) -> Weights:
        """A copy of the moments: "m." or "v." before a weight's name; empty before training."""

    def resume(self, state: Weights, step: int) -> None:
        """Take moments back, as they were after `step` steps."""


@runtime_checkable
class BatchEngine(Protocol):
    """An engine that decodes many sequences at once: numpy and torch.

    The sequences may have different lengths; each is prefilled alone, into a `KVCache`. On a CPU
    the logits of a sequence are the same to the last bit, whichever sequences are in the batch.
    """

    name: str
    config: ModelConfig

    def new_kv_cache(self) -> KVCache:
        """See `Engine`, here and below."""

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]: ...

    def new_batch_cache(self, most: int) -> BatchKVCache:
        """Room for so many texts."""

    def add_sequence(self, rows: BatchKVCache, cache: KVCache) -> None:
        """Take in a text that has been read, as the last one."""

    def remove_sequence(self, rows: BatchKVCache, row: int) -> None:
        """Leave a text out; the last one takes its place."""

    def batch_next_logits(self, tokens: Sequence[int], rows: BatchKVCache) -> Logits:
        """Read one more token of each text; (B, V) logits.

        If it raises, nothing has been read.
        """

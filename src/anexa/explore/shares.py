"""The shares that documents, momentum and weight decay have in how a step changes a loss.

A step of AdamW moves the weights along a straight line, and the change of the loss of a text is the
integral of its gradient along this line (Lan et al., 2019, "LCA: Loss Change Allocation for Neural
Network Training"). The movement of step t is a sum, because m is a mean of gradients:

    −s (1−β₁) Σ c g_d  −  s β₁ m  −  r λ w,    s = r / ((1−β₁ᵗ) (√(v' / (1−β₂ᵗ)) + ε)),

where g_d is the part of document d in the gradient of the batch, c the factor of clipping, m the
mean of gradients before the step, and v' that of squares after it. So each addend has a share of
the change, the integral of (gradient · addend): the Aumann-Shapley value, that is, what the addend
changes while all of them grow together from nothing to their size (Sundararajan et al., 2017,
"Axiomatic Attribution for Deep Networks"). The integral is computed by the trapezoid rule, from the
gradients of the text before and after the step; what the rule and rounding miss is the rest.

In later steps the gradient of a document is still in m, β₁ times less in each. So what a document
taught is its share in its own step and in later ones: with β₁ = 0.85, most of it comes later. Not
counted is that a document also changes v', c, and the gradients of later steps: these are taken as
they were. In the first steps v' is about the square of one gradient: where the gradients of several
documents cancel, their shares are large and cancel too. TracIn (Pruthi et al., 2020, "Estimating
Training Data Influence by Tracing Gradient Descent") is the same product of two gradients, for
plain gradient descent.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anexa.engines import Batch, Engine, OptimizerConfig
from anexa.explore.replay import as_array
from anexa.model.weights import Weights
from anexa.training.history import StepRecord

Vector = npt.NDArray[np.float64]  # (P,), or (D, P) for D documents

# All numbers of a ledger are multiples of this number of nats, as amounts of money are of a cent.
# So below 1,024 nats, their sums and differences are exact, in any order. Losses in float32
# above 1e-6 are such multiples.
SHARE_UNIT = 2.0**-43
MIN_MOMENTUM = 1e-4  # factor in m below which the gradient of a document counts as forgotten
MAX_GRADIENT_BYTES = 200_000_000  # for all gradients of documents that are still in m


@dataclass(frozen=True)
class Shares:
    """Change of the loss of a text by a step, as a sum of four kinds of addends, in nats per token.

    Attributes:
        documents: share of the gradient of each document of the step, in the order of the batch.
        momentum: share of the gradients of earlier steps.
        decay: share of weight decay.
        rest: difference to the whole change: curvature of the loss that two gradients do not show,
            and rounding.
    """

    documents: tuple[float, ...]
    momentum: float
    decay: float
    rest: float


@dataclass(frozen=True)
class Snapshot:
    """State of a run after a step; each vector concatenates the values of all P parameters.

    Attributes:
        weights: weights, (P,).
        gradient: gradient of the loss of the text, (P,).
        m: the optimizer's mean of gradients, (P,).
        v: the optimizer's mean of squared gradients, (P,).
    """

    weights: Vector
    gradient: Vector
    m: Vector
    v: Vector


class ShareSplitter:
    """Splitter of the loss change of each of several consecutive AdamW steps into shares.

    The caller takes the steps with the engine: for each, `prepare`, the step, then `split`.

    Args:
        optimizer: configuration of the optimizer.
        engine: engine before the first step.
        text: batch of the text whose loss is followed.

    Attributes:
        taught: sum of the shares of each document in all steps so far, by the text of the document,
            in nats per token; `split` adds to it.
    """

    def __init__(self, optimizer: OptimizerConfig, engine: Engine, text: Batch) -> None:
        self.taught: defaultdict[str, float] = defaultdict(float)
        self._optimizer, self._engine, self._text = optimizer, engine, text
        weights = engine.weights()
        self._shapes = [weights[name].shape for name in sorted(weights)]
        self._point = read_snapshot(engine, text)
        self._gradients: Vector | None = None  # of the documents of the next step, (D, P)
        # The documents in m, the last step first: their texts, and what they added to m, (D, P).
        self._recent: deque[tuple[Sequence[str], Vector]] = deque()

    def prepare(self, batch: Batch) -> None:
        """Compute the gradients of the documents of the next step; must be called before the step.

        Args:
            batch: batch of the step.
        """
        # A single document added to m what the step added to it: its gradient is not needed.
        self._gradients = document_gradients(self._engine, batch) if batch.shape[0] > 1 else None

    def split(self, change: float, documents: Sequence[str], record: StepRecord) -> Shares:
        """Split the loss change of the step that the engine has taken since `prepare`.

        Args:
            change: change of the loss of the text by the step, a multiple of `SHARE_UNIT`.
            documents: texts of the D documents of the step.
            record: record of the step.

        Returns:
            The shares, whose sum is `change`.
        """
        config, rate = self._optimizer, record.learning_rate
        before, after = self._point, read_snapshot(self._engine, self._text)
        self._point = after
        if self._gradients is None:
            added = (after.m - config.beta1 * before.m)[None]
        else:
            factor = (1 - config.beta1) * config.clip_factor(record.gradient_norm)
            added = factor * self._gradients
        self._remember(documents, added)
        gradient = (before.gradient + after.gradient) / 2
        m_bias, v_bias = config.bias_corrections(record.step)
        # How much the loss changes for each unit of m'.
        slope = -rate * gradient / (m_bias * (np.sqrt(after.v / v_bias) + config.eps))
        own = tuple(map(round_to_unit, self._distribute(slope)))
        momentum = round_to_unit(config.beta1 * float(before.m @ slope))
        decay = round_to_unit(float(gradient @ (self._decay(rate) * before.weights)))
        return Shares(own, momentum, decay, change - sum(own) - momentum - decay)

    def _remember(self, documents: Sequence[str], added: Vector) -> None:
        self._recent.appendleft((documents, added))
        max_steps = max(1, MAX_GRADIENT_BYTES // added.nbytes)
        while len(self._recent) > max_steps or self._is_forgotten(len(self._recent) - 1):
            self._recent.pop()

    def _distribute(self, slope: Vector) -> list[float]:
        """Add each document's share of a step to `taught`; return those of the step's documents."""
        own: list[float] = []
        for age, (documents, added) in enumerate(self._recent):
            shares = (self._optimizer.beta1**age * (added @ slope)).tolist()
            for document, share in zip(documents, shares):
                self.taught[document] += share
            own = own if age else shares
        return own

    def _is_forgotten(self, age: int) -> bool:
        return age > 0 and self._optimizer.beta1**age < MIN_MOMENTUM

    def _decay(self, rate: float) -> Vector:
        """Return the part of each weight that weight decay adds to it: −r λ or 0, (P,)."""
        factors = [self._optimizer.decay_factor(shape, rate) - 1 for shape in self._shapes]
        return np.repeat(factors, [math.prod(shape) for shape in self._shapes])


def round_to_unit(number: float) -> float:
    """Round a number of nats to a multiple of `SHARE_UNIT`, unless it is infinite or NaN."""
    return round(number / SHARE_UNIT) * SHARE_UNIT if math.isfinite(number) else number


def document_gradients(engine: Engine, batch: Batch) -> Vector:
    """Compute the part of each of D documents in the gradient of a batch, shape (D, P)."""
    length, found = batch.shape[1], []
    for start in range(0, len(batch.inputs), length):
        row = slice(start, start + length)
        positions = None if batch.positions is None else batch.positions[row]
        document = Batch(batch.inputs[row], batch.targets[row], (1, length), None, positions)
        part = document.num_targets / batch.num_targets
        gradient = flatten(engine.gradients(document)[1])
        found.append(part * gradient if part else np.zeros_like(gradient))
    return np.array(found)


def read_snapshot(engine: Engine, batch: Batch) -> Snapshot:
    """Copy the weights and moments of an engine, and compute the gradient of a text."""
    gradient, state = flatten(engine.gradients(batch)[1]), engine.optimizer_state()
    nothing = np.zeros_like(gradient)  # there are no moments before the first step
    m, v = (flatten(state, prefix) if state else nothing for prefix in ("m.", "v."))
    return Snapshot(flatten(engine.weights()), gradient, m, v)


def flatten(tensors: Weights, prefix: str = "") -> Vector:
    """Concatenate the tensors whose names have a prefix, in the order of the names."""
    chosen = [as_array(tensors[name]) for name in sorted(tensors) if name.startswith(prefix)]
    return np.concatenate([tensor.ravel() for tensor in chosen]).astype(np.float64)

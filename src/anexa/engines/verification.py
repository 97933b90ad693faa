"""The proof that the engines compute the same function, on the user's own machine."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf, isnan

from anexa.engines import Batch, DeviceConfig, OptimizerConfig, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights, initial_weights

# What two computations may differ by when they add in another order, relative to the largest
# number compared. In float32, ten steps of Adam make more of it: Adam divides by the size of the
# gradient, so where that is nearly 0 its rounding counts in full.
BOUNDS = {"float64": 1e-9, "float32": 1e-5}
WEIGHTS_BOUNDS = {"float64": 1e-9, "float32": 1e-2}
STEPS = 10
OPTIMIZERS = (
    OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5),
    OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5, name="muon"),
)
ROWS = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [10, 8, 9], [7, 9, 3, 2, 3, 8, 4]]


@dataclass(frozen=True)
class Comparison:
    """How far an engine is from `scalar` in float64: largest difference / largest number.

    Attributes:
        model_type: the architecture.
        engine: its name.
        dtype: its precision.
        logits: of a sequence.
        loss: of a batch.
        gradients: in every weight; the worst of them.
        weights: after ten steps of AdamW, and of Muon; the worst of them.
        cached: logits with a cache, token by token, against the same engine's without.
        bound: what each of them may be, but for `weights`.
        weights_bound: what `weights` may be.
    """

    model_type: str
    engine: str
    dtype: str
    logits: float
    loss: float
    gradients: float
    weights: float
    cached: float
    bound: float
    weights_bound: float

    @property
    def agrees(self) -> bool:
        """Whether all differences are within the bound."""
        figures = (self.logits, self.loss, self.gradients, self.cached)
        # Each by itself: `max` would pass over a NaN.
        return all(f <= self.bound for f in figures) and self.weights <= self.weights_bound


def example(model_type: str) -> tuple[ModelConfig, Weights, Batch]:
    """A small model in which no weight is 0 or 1, as gains and biases are before training."""
    config = ModelConfig(model_type, 11, 8, 8, 2, 2, **ARCHITECTURES[model_type].example)
    rng = random.Random(0)
    weights = {
        name: Weight(weight.shape, array("d", (w + rng.gauss(0, 0.2) for w in weight.data)))
        for name, weight in initial_weights(config, rng).items()
    }
    return config, weights, Batch.from_sequences(ROWS)


def verify() -> Iterator[Comparison]:
    """Compare every installed engine with `scalar`, in every architecture and precision."""
    candidates = [("lists", "float64"), ("numpy", "float64"), ("numpy", "float32")]
    if find_spec("torch"):
        candidates += [("torch", "float64"), ("torch", "float32")]
    for model_type in ARCHITECTURES:
        config, weights, batch = example(model_type)
        reference = _Figures("scalar", "float64", config, weights, batch)
        for name, dtype in [("scalar", "float64"), *candidates]:
            figures = _Figures(name, dtype, config, weights, batch)
            yield Comparison(
                model_type,
                name,
                dtype,
                logits=difference(figures.logits, reference.logits),
                loss=difference([figures.loss], [reference.loss]),
                gradients=worst(figures.gradients, reference.gradients),
                weights=worst(figures.weights, reference.weights),
                cached=difference(figures.cached, figures.logits),
                bound=BOUNDS[dtype],
                weights_bound=WEIGHTS_BOUNDS[dtype],
            )


class _Figures:
    """All that is compared, of one engine."""

    def __init__(
        self, name: str, dtype: str, config: ModelConfig, weights: Weights, batch: Batch
    ) -> None:
        machine = DeviceConfig(dtype=dtype)
        engine = open_engine(name, config, weights, device_config=machine)
        tokens = ROWS[0][:-1]
        self.logits = [logit for row in engine.logits(tokens) for logit in row]
        cache = engine.new_kv_cache()
        self.cached = [float(z) for token in tokens for z in engine.next_logits([token], cache)]
        self.loss, self.gradients = engine.gradients(batch)
        self.weights: Weights = {}
        for number, optimizer in enumerate(OPTIMIZERS):
            engine = open_engine(name, config, weights, device_config=machine, optimizer=optimizer)
            for _ in range(STEPS):
                engine.train_step(batch, learning_rate=0.001)
            self.weights |= {f"{number}.{name}": w for name, w in engine.weights().items()}


def difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference, relative to the largest of their numbers; NaN if there is one."""
    gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return _largest(gaps) / max(map(abs, theirs))


def worst(ours: Weights, theirs: Weights) -> float:
    """The difference in the weight in which it is largest; NaN if there is one."""
    return _largest([difference(ours[name].data, theirs[name].data) for name in theirs])


def _largest(figures: Sequence[float]) -> float:
    """Their maximum, or NaN, which `max` would pass over."""
    return max(figures, key=lambda figure: inf if isnan(figure) else figure)

"""Verification that all engines compute the same function on this computer."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isnan

from anexa.engines import Batch, DeviceConfig, OptimizerConfig, installed_engines, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights, initial_weights

# Largest allowed differences between computations of different summation order, relative to the
# largest number. Ten steps of Adam in float32 amplify rounding: Adam divides by the size of the
# gradient, so the rounding error of a gradient near 0 counts in full. By the engine's precision.
DIFFERENCE_BOUNDS = {"float64": 1e-9, "float32": 1e-5}
WEIGHT_DIFFERENCE_BOUNDS = {"float64": 1e-9, "float32": 1e-2}
NUM_TRAIN_STEPS = 10  # training steps after which weights are compared
# Optimizers that train in the comparison of weights.
OPTIMIZERS = (
    OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5),
    OptimizerConfig(weight_decay=0.1, max_grad_norm=0.5, name="muon"),
)
# Token ids of the batch.
EXAMPLE_SEQUENCES = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [10, 8, 9], [7, 9, 3, 2, 3, 8, 4]]


@dataclass(frozen=True)
class Comparison:
    """Differences between an engine and `scalar` in float64.

    A difference is relative: see `relative_difference`; of several weights, it is that of the
    weight in which it is largest.

    Attributes:
        model_type: name of the architecture.
        engine: name of the engine.
        dtype: precision of the engine, "float32" or "float64".
        logits: difference of the logits of a sequence.
        loss: difference of the loss of a batch.
        gradients: difference of the gradients of the weights.
        weights: difference of the weights after training, with AdamW and with Muon.
        cached: difference between the engine's own logits of single tokens with a KV cache, and of
            the whole sequence without.
        bound: largest allowed difference, except of `weights`.
        weights_bound: largest allowed difference of `weights`.
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
        """Whether all differences are within their bounds."""
        figures = (self.logits, self.loss, self.gradients, self.cached)
        # One by one: `max` may ignore a NaN.
        return all(f <= self.bound for f in figures) and self.weights <= self.weights_bound


def example_model_and_batch(model_type: str) -> tuple[ModelConfig, Weights, Batch]:
    """Create a small model and a batch, the same ones each time.

    The gains and biases of the model are random, not 1 and 0.

    Args:
        model_type: name of the architecture, one of `ARCHITECTURES`.

    Returns:
        The configuration, the weights and the batch.
    """
    config = ModelConfig(model_type, 11, 8, 8, 2, 2, **ARCHITECTURES[model_type].example)
    rng = random.Random(0)
    weights = {
        name: Weight(weight.shape, array("d", (w + rng.gauss(0, 0.2) for w in weight.data)))
        for name, weight in initial_weights(config, rng).items()
    }
    return config, weights, Batch.from_sequences(EXAMPLE_SEQUENCES)


def verify(steps: int = NUM_TRAIN_STEPS) -> Iterator[Comparison]:
    """Compare each engine whose library is installed with `scalar`, for each architecture.

    The engines `scalar` and `lists` compute in float64 only, the others in float32 too. The kernels
    of the numba engine are first compiled into the cache.

    Args:
        steps: number of training steps after which weights are compared.

    Yields:
        A comparison for each architecture, engine and precision.
    """
    candidates = [
        (name, dtype)
        for name in installed_engines()
        for dtype in ("float64", "float32")
        if dtype == "float64" or name not in ("scalar", "lists")
    ]
    if "numba" in installed_engines():
        _compile_kernels()
    for model_type in ARCHITECTURES:
        config, weights, batch = example_model_and_batch(model_type)
        expected = _Results("scalar", "float64", config, weights, batch, steps)
        for name, dtype in candidates:
            results = expected
            if name != "scalar":
                results = _Results(name, dtype, config, weights, batch, steps)
            yield Comparison(
                model_type,
                name,
                dtype,
                logits=relative_difference(results.logits, expected.logits),
                loss=relative_difference([results.loss], [expected.loss]),
                gradients=max_weight_difference(results.gradients, expected.gradients),
                weights=max_weight_difference(results.weights, expected.weights),
                cached=relative_difference(results.cached, results.logits),
                bound=DIFFERENCE_BOUNDS[dtype],
                weights_bound=WEIGHT_DIFFERENCE_BOUNDS[dtype],
            )


def _compile_kernels() -> None:
    """Compile the kernels of all examples at once, in few processes."""
    from anexa.engines.program.compilation import compile_kernels
    from anexa.engines.program.passes import all_sources

    configs = [example_model_and_batch(model_type)[0] for model_type in ARCHITECTURES]
    compile_kernels(
        source
        for config in configs
        for dtype in DIFFERENCE_BOUNDS
        for source in all_sources(config, dtype)
    )


class _Results:
    """Numbers computed by one engine, to be compared with those of another."""

    def __init__(
        self,
        name: str,
        dtype: str,
        config: ModelConfig,
        weights: Weights,
        batch: Batch,
        steps: int,
    ) -> None:
        device_config = DeviceConfig(dtype=dtype)
        engine = open_engine(name, config, weights, device_config=device_config)
        tokens = EXAMPLE_SEQUENCES[0][:-1]
        self.logits = [logit for row in engine.logits(tokens) for logit in row]
        cache = engine.new_kv_cache()
        self.cached = [float(z) for token in tokens for z in engine.next_logits([token], cache)]
        self.loss, self.gradients = engine.gradients(batch)
        self.weights: Weights = {}
        for number, optimizer in enumerate(OPTIMIZERS):
            engine = open_engine(
                name, config, weights, device_config=device_config, optimizer=optimizer
            )
            for _ in range(steps):
                engine.train_step(batch, learning_rate=0.001)
            self.weights |= {f"{number}.{name}": w for name, w in engine.weights().items()}


def relative_difference(actual: Sequence[float], expected: Sequence[float]) -> float:
    """Return max |actual − expected| / max |expected|; NaN if a number is NaN.

    Args:
        actual: numbers to compare.
        expected: numbers to compare with, as many; at least one, and not all 0.

    Raises:
        ValueError: if `actual` and `expected` have different lengths.
        ZeroDivisionError: if all expected numbers are 0.
    """
    differences = [abs(a - b) for a, b in zip(actual, expected, strict=True)]
    return _max_or_nan(differences) / max(map(abs, expected))


def max_weight_difference(actual: Weights, expected: Weights) -> float:
    """Return the largest `relative_difference` of a weight; NaN if a number is NaN.

    Args:
        actual: weights by name.
        expected: weights to compare with, with the same names.
    """
    return _max_or_nan(
        [relative_difference(actual[name].data, expected[name].data) for name in expected]
    )


def _max_or_nan(numbers: Sequence[float]) -> float:
    """Return the maximum, or NaN if a number is NaN, which `max` may ignore."""
    return max(numbers, key=lambda number: inf if isnan(number) else number)

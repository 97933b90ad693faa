"""Weights, optimizer state and graphs: what engines take, return and keep."""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from anexa.engines import Batch, DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.engines.lists import ListsEngine
from anexa.engines.numpy import NumpyEngine
from anexa.engines.operations.scalar import ScalarOperations
from anexa.engines.scalar import ScalarEngine
from anexa.engines.tape import TapeEntry
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights
from microgpt import Value
from tests.engines.helpers import BATCHES, EVERY_ENGINE, random_weights

ADAM = OptimizerConfig(0.85, 0.98, 1e-6)


def config(model_type: str) -> ModelConfig:
    return ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=6, n_head=3, n_layer=1)


def train(engine: Engine, batches: list[Batch]) -> list[float]:
    return [engine.train_step(batch, learning_rate=0.02).loss for batch in batches]


def copy(weights: Weights) -> Weights:
    return {name: weight._replace(data=weight.data[:]) for name, weight in weights.items()}


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> tuple[ModelConfig, Weights]:
    sizes = config(request.param)
    return sizes, random_weights(sizes, seed=2)


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_resumed_run_equals_uninterrupted_run(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """Bit for bit, after whichever step it stops."""
    whole = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    losses = train(whole, BATCHES)
    for stop in range(1, len(BATCHES)):
        first = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
        first_losses = train(first, BATCHES[:stop])
        second = open_engine(
            name, model[0], first.weights(), device_config=DeviceConfig(dtype=dtype), optimizer=ADAM
        )
        second.load_optimizer_state(first.optimizer_state(), stop)
        assert second.optimizer_state() == first.optimizer_state()
        assert first_losses + train(second, BATCHES[stop:]) == losses
        assert second.weights() == whole.weights()
        assert second.optimizer_state() == whole.optimizer_state()


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_run_without_state_or_step_count_differs(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """Otherwise the test above would prove nothing."""
    whole = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    train(whole, BATCHES[:3])
    handed_over = whole.weights(), whole.optimizer_state()
    train(whole, BATCHES[3:])
    forgetful = open_engine(
        name, model[0], handed_over[0], device_config=DeviceConfig(dtype=dtype), optimizer=ADAM
    )
    train(forgetful, BATCHES[3:])
    assert forgetful.weights() != whole.weights()
    miscounted = open_engine(
        name, model[0], handed_over[0], device_config=DeviceConfig(dtype=dtype), optimizer=ADAM
    )
    miscounted.load_optimizer_state(handed_over[1], 1)
    train(miscounted, BATCHES[3:])
    assert miscounted.weights() != whole.weights()


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_state_has_moments_of_every_weight(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    engine = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    assert engine.optimizer_state() == {}
    train(engine, BATCHES[:1])
    code = "f" if dtype == "float32" else "d"
    expected = {(f"{moment}.{key}", w.shape) for moment in "mv" for key, w in model[1].items()}
    state = engine.optimizer_state()
    assert {(key, w.shape) for key, w in state.items()} == expected
    assert {w.typecode for w in state.values()} == {code}
    assert {w.typecode for w in engine.weights().values()} == {code}


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_weights_and_states_are_copied_in_and_out(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    sizes, given = model[0], copy(model[1])
    engine = open_engine(
        name, sizes, given, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM
    )
    train(engine, BATCHES[:2])
    assert given == model[1], "training leaves the weights it was given alone"

    given_state = engine.optimizer_state()
    twin = open_engine(
        name, sizes, engine.weights(), device_config=DeviceConfig(dtype=dtype), optimizer=ADAM
    )
    twin.load_optimizer_state(given_state, 2)
    logits = engine.logits([1, 2, 3])
    taken, state = engine.weights(), engine.optimizer_state()
    _, gradients = engine.gradients(BATCHES[0])
    kept = copy(taken), copy(state), copy(gradients)

    for weights in (taken, state, gradients, given, given_state):
        for weight in weights.values():
            weight.data[0] = 1e3  # ours now: nobody else sees it
    assert engine.logits([1, 2, 3]) == logits
    assert engine.weights() == kept[0]
    assert engine.optimizer_state() == kept[1]
    assert engine.gradients(BATCHES[0])[1] == kept[2]
    assert train(twin, BATCHES[2:]) == train(engine, BATCHES[2:])
    assert twin.weights() == engine.weights()

    earlier = engine.weights(), engine.optimizer_state(), engine.gradients(BATCHES[0])[1]
    kept = copy(earlier[0]), copy(earlier[1]), copy(earlier[2])
    train(engine, BATCHES)
    assert earlier == kept, "training changes nothing that was given out"


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_evaluation_does_not_change_training(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """Losses, gradients and logits are computed between the steps."""
    plain = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    asked = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    for batch in BATCHES:
        loss, gradients = asked.gradients(batch)
        assert asked.loss(batch) == pytest.approx(loss, rel=1e-6)
        assert asked.gradients(batch) == (loss, gradients), "gradients do not pile up"
        asked.logits([1, 2, 3])
        asked.next_logits([1, 2], asked.new_kv_cache())
        assert train(plain, [batch]) == train(asked, [batch])
    assert plain.weights() == asked.weights()


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_first_step_of_adam(name: str, dtype: str, model: tuple[ModelConfig, Weights]) -> None:
    """m = (1−β₁) g and v = (1−β₂) g², so after correction w moves by rate · g / (|g| + ε)."""
    engine = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=ADAM)
    before = engine.weights()
    loss, gradients = engine.gradients(BATCHES[0])
    assert engine.train_step(BATCHES[0], learning_rate=0.02).loss == loss
    rel, least = (1e-9, 1e-12) if dtype == "float64" else (1e-4, 1e-5)

    def close(numbers: Iterable[float], expected: list[float]) -> bool:
        return list(numbers) == pytest.approx(expected, rel=rel, abs=least)

    state = engine.optimizer_state()
    for key, weight in engine.weights().items():
        g = gradients[key].data
        moved = [w - 0.02 * gi / (abs(gi) + 1e-6) for w, gi in zip(before[key].data, g)]
        assert close(weight.data, moved)
        assert close(state[f"m.{key}"].data, [0.15 * x for x in g])
        assert close(state[f"v.{key}"].data, [0.02 * x * x for x in g])


def test_numpy_error_settings_are_not_changed(model: tuple[ModelConfig, Weights]) -> None:
    """The engine ignores overflows, but only in its own computations."""
    huge = {name: w._replace(data=array("d", [1e30] * len(w.data))) for name, w in model[1].items()}
    engine = NumpyEngine(model[0], huge, ADAM, "float32")
    before = np.geterr()
    with np.errstate(all="raise"):
        raising = np.geterr()
        for _ in range(2):
            engine.loss(BATCHES[0])
            train(engine, BATCHES[:1])
            engine.logits([1, 2])
            engine.next_logits([1, 2], engine.new_kv_cache())
            assert np.geterr() == raising
    assert np.geterr() == before


# ------------------------------------------------------------------ inference keeps no graph


def values_with_children() -> int:
    """Count the `Value`s in memory that have children."""
    gc.collect()
    return sum(type(o) is Value and bool(o.children) for o in gc.get_objects())


def test_scalar_inference_keeps_no_graph(model: tuple[ModelConfig, Weights]) -> None:
    engine = ScalarEngine(*model, ADAM)
    before = values_with_children()
    cache = engine.new_kv_cache()
    logits = [engine.next_logits(tokens, cache) for tokens in ([3, 1], [4], [1, 5])]
    assert values_with_children() == before
    assert cache.length == 5
    assert len(logits) == 3

    graph = engine.graph(BATCHES[0])
    assert values_with_children() > before + 100, "a graph that is held would be seen"
    loss = graph.data
    del graph
    without_graph = engine.graph(BATCHES[0], recording=False)
    assert values_with_children() == before
    assert without_graph.data == loss


def test_scalar_cross_entropy_keeps_no_graph_of_the_logits() -> None:
    logits_TV, losses = [[Value(1.0), Value(2.0)]], []
    for recording in (True, False):
        losses.append(ScalarOperations(recording).cross_entropy(logits_TV, [1], 1.0))
    assert [bool(loss.children) for loss in losses] == [True, False]
    assert losses[0].data == losses[1].data


def calls_of(function: Callable[..., Any], work: Callable[[], object]) -> int:
    """Count the calls of a function in `work`, by Python's profiler."""
    code, count = function.__code__, 0

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code is code

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", [ListsEngine, NumpyEngine])
def test_lists_and_numpy_inference_records_nothing(
    kind: type[ListsEngine | NumpyEngine], model: tuple[ModelConfig, Weights]
) -> None:
    engine = kind(*model, ADAM)
    cache = engine.new_kv_cache()

    def infer() -> None:
        for tokens in ([3, 1], [4], [1, 5]):
            engine.next_logits(tokens, cache)
        engine.logits([3, 1, 4])
        engine.loss(BATCHES[0])

    made = TapeEntry.__init__
    assert calls_of(made, infer) == 0
    assert calls_of(made, lambda: engine.gradients(BATCHES[0])) > 10, "training would be seen"


def test_torch_inference_keeps_no_graph(model: tuple[ModelConfig, Weights]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    engine = open_engine("torch", *model)
    cache = engine.new_kv_cache()
    for tokens in ([3, 1], [4], [1, 5]):
        engine.next_logits(tokens, cache)
    gc.collect()
    kept = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.grad_fn is not None]
    assert kept == []
    for layer in cache.layers:
        assert not layer.keys_BHSD.requires_grad
        assert not layer.values_BHSD.requires_grad

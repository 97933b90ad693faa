"""All engines compute the same function, that of microgpt.py."""

from __future__ import annotations

import random
from array import array
from importlib.util import find_spec
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import microgpt
from anexa import engines
from anexa.engines import (
    Batch,
    DeviceConfig,
    OptimizerConfig,
    best_engine,
    installed_engines,
    open_engine,
)
from anexa.engines.verification import Comparison, relative_difference, verify
from anexa.errors import AnexaError, UsageError
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights
from anexa.training.config import preset_config
from tests.engines.helpers import (
    EVERY_ENGINE,
    FLOAT64,
    assert_close,
    batches,
    models,
    random_weights,
)
from tests.examples import examples

OTHERS = [param for param in FLOAT64 if param.id != "scalar"]
CONFIG = ModelConfig("gpt2", vocab_size=9, block_size=6, n_embd=4, n_head=2, n_layer=1)

EXACT = DeviceConfig(dtype="float64")


# ------------------------------------------------------------------ anexa verify


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    """Comparisons after 3 training steps; the slow tests of `anexa verify` train 10."""
    return list(verify(steps=3))


def test_every_engine_agrees(comparisons: list[Comparison]) -> None:
    assert [row for row in comparisons if not row.agrees] == []


def test_verify_covers_every_engine_architecture_and_precision(
    comparisons: list[Comparison],
) -> None:
    installed = installed_engines()
    expected = {
        (model_type, engine, dtype)
        for model_type in ARCHITECTURES
        for engine in installed
        for dtype in ("float64", "float32")
        if (engine, dtype) not in {("scalar", "float32"), ("lists", "float32")}
    }
    assert {(row.model_type, row.engine, row.dtype) for row in comparisons} == expected
    assert len(comparisons) == len(expected)


def test_difference_in_any_figure_is_a_disagreement(comparisons: list[Comparison]) -> None:
    row = next(row for row in comparisons if row.engine == "numpy")
    for figure in ("logits", "loss", "gradients", "cached"):
        assert not Comparison(**vars(row) | {figure: row.bound * 1.01}).agrees
        assert not Comparison(**vars(row) | {figure: float("nan")}).agrees
    assert not Comparison(**vars(row) | {"weights": row.weights_bound * 1.01}).agrees
    assert not Comparison(**vars(row) | {"weights": float("nan")}).agrees


# ------------------------------------------------------------------ microgpt.py's own training


ISLANDS = ["samos", "ithaka", "chios", "korfu", "naxos", "rhodos", "santorini thera kaldera", "kos"]
STEPS = 20


@pytest.fixture(scope="module")
def original() -> tuple[Weights, list[Batch], list[float]]:
    """Initial weights of microgpt.py under Anexa's names; batch and loss of each step."""
    model = microgpt.Model(ISLANDS, random.Random(11))
    weights = {}
    for name, matrix in model.weights.items():
        ours = name.replace("layer", "layers.") + ".weight"
        numbers = array("d", [value.data for row in matrix for value in row])
        weights[ours] = Weight((len(matrix), len(matrix[0])), numbers)
    rows = []
    for step in range(STEPS):
        document = ISLANDS[step % len(ISLANDS)]
        row = [model.bos, *map(model.chars.index, document), model.bos]
        rows.append(Batch.from_sequences([row[: microgpt.BLOCK_SIZE + 1]]))
    return weights, rows, list(microgpt.train(model, ISLANDS, STEPS))


@pytest.mark.parametrize("name", FLOAT64)
def test_engine_trains_as_microgpt_does(
    name: str, original: tuple[Weights, list[Batch], list[float]]
) -> None:
    weights, rows, losses = original
    n_vocab = weights["wte.weight"].shape[0]
    config = preset_config("microgpt").model.to_config(n_vocab)
    adam = OptimizerConfig(0.85, 0.99, 1e-8)
    engine = open_engine(name, config, weights, device_config=EXACT, optimizer=adam)
    ours = [
        engine.train_step(row, learning_rate=0.01 * (1 - step / STEPS)).loss
        for step, row in enumerate(rows)
    ]
    assert ours == pytest.approx(losses, rel=1e-9)
    assert losses[-1] < 0.9 * losses[0], "20 steps teach it something"


# ------------------------------------------------------------------ any small model


@pytest.mark.parametrize("name", OTHERS)
@examples(25)
@given(data=st.data())
def test_loss_and_gradients_equal_those_of_scalar(name: str, data: st.DataObject) -> None:
    config, weights = data.draw(models(name))
    batch = data.draw(batches(config))
    reference = open_engine("scalar", config, weights)
    engine = open_engine(name, config, weights, device_config=EXACT)
    loss, gradients = engine.gradients(batch)
    reference_loss, reference_gradients = reference.gradients(batch)
    assert loss == pytest.approx(reference_loss, rel=1e-9)
    assert_close(gradients, reference_gradients, bound=1e-9)
    assert engine.loss(batch) == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("name", FLOAT64)
def test_gradients_equal_central_differences_of_the_loss(name: str, model_type: str) -> None:
    """In every weight, along a random direction."""
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=4, n_head=2, n_layer=1)
    weights = random_weights(config, seed=4)
    batch = Batch.from_sequences([[1, 5, 2, 6, 0, 3, 4], [6, 6, 2]])
    _, gradients = open_engine(name, config, weights, device_config=EXACT).gradients(batch)
    rng, step = random.Random(5), 1e-5
    for moved, weight in weights.items():
        direction = [rng.gauss(0, 1) for _ in weight.data]
        losses = []
        for sign in (1, -1):
            data = array("d", (w + sign * step * d for w, d in zip(weight.data, direction)))
            engine = open_engine(
                name, config, weights | {moved: Weight(weight.shape, data)}, device_config=EXACT
            )
            losses.append(engine.loss(batch))
        slope = (losses[0] - losses[1]) / (2 * step)
        expected = sum(g * d for g, d in zip(gradients[moved].data, direction))
        assert expected == pytest.approx(slope, rel=1e-5, abs=1e-7), moved


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("name", FLOAT64)
def test_batch_equals_its_sequences_one_by_one(name: str, model_type: str) -> None:
    """Each sequence is weighted by its number of tokens; padding changes nothing."""
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=4, n_head=2, n_layer=1)
    engine = open_engine(name, config, random_weights(config, seed=6), device_config=EXACT)
    rows = [[1, 5, 2, 6, 0, 3, 4], [6, 6], [2, 3, 1, 0]]
    together = engine.loss(Batch.from_sequences(rows))
    singly = [engine.loss(Batch.from_sequences([row])) * (len(row) - 1) for row in rows]
    assert together == pytest.approx(sum(singly) / sum(len(row) - 1 for row in rows), rel=1e-12)


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_later_tokens_do_not_change_logits(name: str, dtype: str) -> None:
    engine = open_engine(
        name, CONFIG, random_weights(CONFIG, seed=8), device_config=DeviceConfig(dtype=dtype)
    )
    whole = engine.logits([3, 1, 4, 1, 5])
    other = engine.logits([3, 1, 4, 8, 8])
    bound = 1e-12 if dtype == "float64" else 1e-5
    for row, other_row in zip(whole[:3], other[:3]):
        assert relative_difference(row, other_row) <= bound
    assert relative_difference(whole[3], other[3]) > 1e-3


# ------------------------------------------------------------------ the cache


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
@examples(15)
@given(data=st.data())
def test_cached_logits_equal_uncached_logits(name: str, dtype: str, data: st.DataObject) -> None:
    """However the prompt is cut into chunks, up to a full context."""
    config, weights = data.draw(models(name))
    engine = open_engine(name, config, weights, device_config=DeviceConfig(dtype=dtype))
    lengths = data.draw(st.lists(st.integers(1, config.block_size), min_size=1, max_size=6))
    ends = [0, *(end for end in accumulate(lengths) if end <= config.block_size)]
    token = st.integers(0, config.vocab_size - 1)
    tokens = data.draw(st.lists(token, min_size=ends[-1], max_size=ends[-1]))
    uncached = engine.logits(tokens)
    cache = engine.new_kv_cache()
    largest = max(abs(z) for row in uncached for z in row)
    for start, end in pairwise(ends):
        logits = [float(z) for z in engine.next_logits(tokens[start:end], cache)]
        assert cache.length == end
        bound = (1e-9 if dtype == "float64" else 1e-4) * largest
        assert logits == pytest.approx(uncached[end - 1], rel=0, abs=bound)


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_caches_are_independent(name: str, dtype: str) -> None:
    engine = open_engine(
        name, CONFIG, random_weights(CONFIG, seed=8), device_config=DeviceConfig(dtype=dtype)
    )
    one, other = engine.new_kv_cache(), engine.new_kv_cache()
    engine.next_logits([1, 2, 3], one)
    engine.next_logits([7], other)
    after_one = list(engine.next_logits([4], one))
    after_other = list(engine.next_logits([4], other))
    bound = 1e-12 if dtype == "float64" else 1e-5
    assert relative_difference(after_one, engine.logits([1, 2, 3, 4])[-1]) <= bound
    assert relative_difference(after_other, engine.logits([7, 4])[-1]) <= bound


# ------------------------------------------------------------------ opening an engine


def test_auto_is_numpy_where_nothing_may_be_compiled() -> None:
    assert open_engine("auto", CONFIG, random_weights(CONFIG, seed=1)).name == "numpy"


@pytest.mark.parametrize(
    ("missing", "expected"),
    [([], "torch"), (["torch"], "numba"), (["torch", "numba"], "numpy")],
)
def test_training_takes_the_last_engine_that_is_installed(
    missing: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda package: package not in missing)
    assert best_engine() == expected


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_engine_has_the_requested_name_and_precision(name: str, dtype: str) -> None:
    engine = open_engine(
        name, CONFIG, random_weights(CONFIG, seed=1), device_config=DeviceConfig(dtype=dtype)
    )
    assert (engine.name, engine.dtype, engine.config) == (name, dtype, CONFIG)
    by_default = open_engine(name, CONFIG, random_weights(CONFIG, seed=1))
    assert by_default.dtype == ("float64" if name in ("scalar", "lists") else "float32")


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no engine 'abacus'.*scalar, lists, numpy, numba, torch"):
        open_engine("abacus", CONFIG, random_weights(CONFIG, seed=1))


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_torch_engine_says_how_to_install_pytorch() -> None:
    with pytest.raises(AnexaError, match=r"pip install 'anexa\[torch\]'"):
        open_engine("torch", CONFIG, random_weights(CONFIG, seed=1))

"""Features of the torch engine alone: micro-batches, bfloat16, dropout and the compiler."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from anexa.engines import Batch, DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights, initial_weights
from tests.conftest import RELATIVES
from tests.engines.helpers import assert_close, random_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from anexa.engines.operations.torch import TorchOperations  # noqa: E402 (it needs PyTorch)

ROWS = [[1, 5, 2, 6, 0, 3, 4], [6, 6], [2, 3, 1, 0], [4, 4, 4, 4, 4, 4, 4], [0, 1, 5]]
BATCH = Batch.from_sequences(ROWS)
MUON = OptimizerConfig(weight_decay=0.1, max_grad_norm=1.0, name="muon")
DROPOUT = OptimizerConfig(dropout=0.3)
BF16 = DeviceConfig(dtype="bf16")


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> tuple[ModelConfig, Weights]:
    config = ModelConfig(request.param, vocab_size=7, block_size=6, n_embd=8, n_head=2, n_layer=2)
    return config, random_weights(config, seed=2)


def train(engine: Engine, steps: int = 4) -> list[float]:
    return [engine.train_step(BATCH, learning_rate=0.01).loss for _ in range(steps)]


# ------------------------------------------------------------------ micro-batches


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_micro_batches_equal_the_whole_batch(
    size: int, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """Also with sequences of different lengths; each micro-batch counts by its tokens."""
    whole = open_engine("torch", *model, device_config=DeviceConfig(dtype=dtype))
    parts = open_engine("torch", *model, device_config=DeviceConfig(dtype=dtype, micro_batch=size))
    # In float32 the gradients of the whole batch differ by 8e-6 from those in float64 (qwen2).
    bound = 1e-12 if dtype == "float64" else 1e-5
    (loss, gradients), (expected, theirs) = parts.gradients(BATCH), whole.gradients(BATCH)
    assert loss == pytest.approx(expected, rel=bound)
    assert_close(gradients, theirs, bound=bound)
    assert parts.loss(BATCH) == pytest.approx(whole.loss(BATCH), rel=bound)
    assert parts.gradients(BATCH) == (loss, gradients), "gradients do not pile up"


def test_training_with_micro_batches_equals_training_without(
    model: tuple[ModelConfig, Weights],
) -> None:
    whole, parts = (
        open_engine("torch", *model, device_config=machine, optimizer=MUON)
        for machine in (DeviceConfig(dtype="float64"), DeviceConfig(dtype="float64", micro_batch=2))
    )
    for _ in range(4):
        ours, theirs = parts.train_step(BATCH, 0.01), whole.train_step(BATCH, 0.01)
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert_close(parts.weights(), whole.weights(), bound=1e-9)


# ------------------------------------------------------------------ bfloat16


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def wide(request: pytest.FixtureRequest) -> tuple[ModelConfig, Weights, Batch]:
    """An initial model, wide enough for bfloat16's rounding to average out."""
    config = ModelConfig(
        request.param, vocab_size=40, block_size=32, n_embd=64, n_head=4, n_layer=2
    )
    rng = random.Random(3)
    rows = [[rng.randrange(7) ** 2 for _ in range(33)] for _ in range(4)]
    return config, initial_weights(config, rng), Batch.from_sequences(rows)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_bf16_trains_as_float32_does(
    wide: tuple[ModelConfig, Weights, Batch], name: Literal["adamw", "muon"]
) -> None:
    config, weights, batch = wide
    optimizer = OptimizerConfig(max_grad_norm=1.0, name=name)
    rough, exact = (
        open_engine(
            "torch", config, weights, device_config=DeviceConfig(dtype=dtype), optimizer=optimizer
        )
        for dtype in ("bf16", "float32")
    )
    pairs = [[e.train_step(batch, 0.001).loss for e in (rough, exact)] for _ in range(20)]
    assert all(ours == pytest.approx(theirs, rel=0.01) for ours, theirs in pairs)
    assert any(ours != theirs for ours, theirs in pairs), "it is another precision"
    assert pairs[-1][1] < 0.9 * pairs[0][1], "twenty steps teach it something"


def test_bf16_keeps_its_weights_in_float32(model: tuple[ModelConfig, Weights]) -> None:
    engine = open_engine("torch", *model, device_config=BF16, optimizer=MUON)
    assert engine.dtype == "float32"
    train(engine)
    for weight in [*engine.weights().values(), *engine.optimizer_state().values()]:
        assert weight.typecode == "f"
        numbers = torch.tensor(weight.data)
        assert not torch.equal(numbers.bfloat16().float(), numbers), "bits that bfloat16 has not"


def test_bf16_evaluates_and_decodes_in_float32(model: tuple[ModelConfig, Weights]) -> None:
    """Bit for bit: in the precision in which the model will be used."""
    trained = open_engine("torch", *model, device_config=BF16, optimizer=MUON)
    train(trained)
    exact = open_engine("torch", model[0], trained.weights())
    tokens = [3, 1, 4, 1, 5]
    assert trained.logits(tokens) == exact.logits(tokens)
    assert trained.loss(BATCH) == exact.loss(BATCH)
    ours = trained.next_logits(tokens, trained.new_kv_cache())
    assert list(ours) == list(exact.next_logits(tokens, exact.new_kv_cache()))
    assert trained.gradients(BATCH)[0] != exact.gradients(BATCH)[0], "training is not"


@pytest.mark.parametrize("optimizer", [MUON, DROPOUT], ids=["muon", "dropout"])
@pytest.mark.parametrize("dtype", ["bf16", "float32"])
def test_resumed_run_equals_uninterrupted_run(
    dtype: str, optimizer: OptimizerConfig, model: tuple[ModelConfig, Weights]
) -> None:
    """Bit for bit, even if other code draws random numbers in between."""
    machine = DeviceConfig(dtype=dtype, micro_batch=2)
    whole = open_engine("torch", *model, device_config=machine, optimizer=optimizer)
    losses = train(whole, 5)
    first = open_engine("torch", *model, device_config=machine, optimizer=optimizer)
    assert train(first, 2) == losses[:2]
    torch.rand(3)
    second = open_engine(
        "torch", model[0], first.weights(), device_config=machine, optimizer=optimizer
    )
    second.load_optimizer_state(first.optimizer_state(), 2)
    assert train(second, 3) == losses[2:]
    assert second.weights() == whole.weights()
    assert second.optimizer_state() == whole.optimizer_state()


# ------------------------------------------------------------------ dropout


def standing(
    model: tuple[ModelConfig, Weights], optimizer: OptimizerConfig, steps: int, seed: int = 5
) -> list[float]:
    """Return the losses of training steps with learning rate 0."""
    engine = open_engine("torch", *model, optimizer=optimizer, seed=seed)
    return [engine.train_step(BATCH, learning_rate=0.0).loss for _ in range(steps)]


def test_dropout_differs_between_steps_and_follows_the_seed(
    model: tuple[ModelConfig, Weights],
) -> None:
    losses = standing(model, DROPOUT, 6)
    assert len(set(losses)) == 6
    torch.rand(1)
    assert standing(model, DROPOUT, 6) == losses
    assert not set(standing(model, DROPOUT, 6, seed=6)) & set(losses)
    assert len(set(standing(model, replace(DROPOUT, dropout=0.0), 6))) == 1


def test_dropout_is_only_applied_in_training(model: tuple[ModelConfig, Weights]) -> None:
    dropping = open_engine("torch", *model, optimizer=DROPOUT)
    plain = open_engine("torch", *model)
    for _ in range(2):
        assert dropping.loss(BATCH) == plain.loss(BATCH)
        assert dropping.gradients(BATCH) == plain.gradients(BATCH)
        assert dropping.logits([3, 1, 4]) == plain.logits([3, 1, 4])
        ours, theirs = (e.next_logits([3, 1], e.new_kv_cache()) for e in (dropping, plain))
        assert list(ours) == list(theirs)
        assert dropping.train_step(BATCH, 0.0).loss != plain.train_step(BATCH, 0.0).loss


def test_more_dropout_gives_a_higher_loss(model: tuple[ModelConfig, Weights]) -> None:
    """On average over many steps of a model that has memorized its text."""
    teacher = open_engine("torch", *model)
    for _ in range(60):
        teacher.train_step(BATCH, learning_rate=0.02)
    learned = model[0], teacher.weights()
    means = [
        sum(standing(learned, OptimizerConfig(dropout=rate), 40)) / 40
        for rate in (0.0, 0.1, 0.3, 0.6)
    ]
    assert means == sorted(means)
    assert means[1] < 0.6 * means[3]


def test_dropout_drops_the_requested_share() -> None:
    """A token whose embedding, of width 1, is dropped has no gradient in the table."""
    vocab = 2000
    config = ModelConfig("microgpt", vocab, block_size=1, n_embd=1, n_head=1, n_layer=1)
    weights = random_weights(config, seed=4)
    batch = Batch.from_sequences([[token, 0] for token in range(vocab)])
    for rate in (0.1, 0.5):
        engine = open_engine("torch", config, weights, optimizer=OptimizerConfig(dropout=rate))
        engine.train_step(batch, learning_rate=0.0)
        moments = engine.optimizer_state()["m.wte.weight"].data
        dropped = sum(moment == 0 for moment in moments) / vocab
        assert dropped == pytest.approx(rate, abs=4 * (rate * (1 - rate) / vocab) ** 0.5)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_attention_weights_are_dropped(rate: float) -> None:
    """The first token attends only to itself: the result is its value, scaled up, or 0."""
    ones = torch.ones(3000, 1, 1)
    seen = TorchOperations(rate).attention(ones, ones, ones, n_head=1, kv_cache=None)
    dropped = (seen == 0).double().mean().item()
    assert dropped == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 3000) ** 0.5)
    assert seen.max().item() == pytest.approx(1 / (1 - rate))


def test_gradients_of_positions_with_gaps_are_the_same_every_time() -> None:
    """The tokens at one position are added up in the same order, whatever the threads do."""
    config = ModelConfig("gpt2", vocab_size=7, block_size=512, n_embd=128, n_head=2, n_layer=1)
    engine = open_engine("torch", config, random_weights(config, seed=1))
    rows = [[(a * b) % 7 for a in range(300)] for b in range(1, 9)]
    rng = random.Random(2)
    positions = [[*sorted(rng.sample(range(512), 299)), 512] for _ in rows]
    batch = Batch.from_labels(rows, rows, positions=positions)
    first, *others = (engine.gradients(batch)[1]["wpe.weight"].data for _ in range(4))
    assert all(other == first for other in others)


# ------------------------------------------------------------------ the compiler


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("c++") or shutil.which("g++")),
    reason="torch.compile needs a C++ compiler",
)
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES.keys() - RELATIVES))
def test_compiled_training_equals_uncompiled_training(model_type: str) -> None:
    config = ModelConfig(model_type, vocab_size=7, block_size=6, n_embd=8, n_head=2, n_layer=2)
    weights = random_weights(config, seed=2)
    plain, compiled = (
        open_engine(
            "torch", config, weights, device_config=DeviceConfig(compile=compiled), optimizer=MUON
        )
        for compiled in (False, True)
    )
    assert train(compiled, 5) == pytest.approx(train(plain, 5), rel=1e-5)
    assert compiled.loss(BATCH) == pytest.approx(plain.loss(BATCH), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("c++") or shutil.which("g++")),
    reason="torch.compile needs a C++ compiler",
)
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_batches_of_any_shape_share_a_compiled_graph(model_type: str) -> None:
    """One for the first shape, one for all others, and one for gaps between positions."""
    from torch._dynamo.utils import counters

    torch.compiler.reset()
    counters.clear()
    config = ModelConfig(model_type, vocab_size=7, block_size=9, n_embd=8, n_head=2, n_layer=1)
    weights = random_weights(config, seed=2)
    engine = open_engine("torch", config, weights, device_config=DeviceConfig(compile=True))
    for length in (4, 5, 6, 7):
        rows = [[n % 7 for n in range(length)]] * (length - 1)
        engine.gradients(Batch.from_sequences(rows))
    for length in (4, 5, 6, 7):
        rows = [[n % 7 for n in range(length)]] * (length - 1)
        places = [range(1, length + 1)] * len(rows)
        engine.gradients(Batch.from_labels(rows, rows, positions=places))
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere compilers have other names")
def test_training_continues_without_a_failing_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For example without Python's headers or write access; here the compiler always fails."""
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho no >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    program = """
import random
from anexa.engines import Batch, DeviceConfig, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights
config = ModelConfig("gpt2", 7, block_size=6, n_embd=8, n_head=2, n_layer=1)
weights = initial_weights(config, random.Random(1))
batch = Batch.from_sequences([[1, 2, 3], [4, 5]])
plain, compiled = (
    open_engine("torch", config, weights, device_config=DeviceConfig(compile=compiled))
    for compiled in (False, True)
)
for _ in range(2):
    assert plain.train_step(batch, 0.01) == compiled.train_step(batch, 0.01)
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("training goes on without torch.compile, which failed") == 1

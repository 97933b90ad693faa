"""Out of memory: smaller micro-batches or a clear error, never a wrong result.

The limit is the operating system's own, on the address space of a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anexa.engines import installed_engines
from tests.engines.helpers import needs_torch

pytestmark = [
    needs_torch,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit"),
]

# Each sequence of 128 tokens needs about 6 MB for its gradients.
PROGRAM = """
import json, random, resource
from dataclasses import replace
from pathlib import Path
from anexa.engines import Batch, DeviceConfig, OptimizerConfig, open_engine
from anexa.errors import AnexaError
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, initial_weights

SEQUENCES = 32
config = ModelConfig("gpt2", 256, block_size=128, n_embd=64, n_head=4, n_layer=4)
rng = random.Random(1)
weights = initial_weights(config, rng)
sequences = [[rng.randrange(256) for _ in range(rng.randint(100, 129))] for _ in range(SEQUENCES)]
batch, small = Batch.from_sequences(sequences), Batch.from_sequences([sequences[0][:20]])


def opened(micro_batch=0, dropout=0.0):
    device_config = DeviceConfig(micro_batch=micro_batch)
    optimizer = OptimizerConfig(name="muon", dropout=dropout)
    engine = open_engine("torch", config, weights, device_config=device_config, optimizer=optimizer)
    engine.train_step(small, 0.01)
    return engine


def limit(megabytes):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    limit = now + megabytes * 2**20 if megabytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def none():
    engine, twin = opened(), opened()
    before = engine.weights(), engine.optimizer_state()
    limit(3)
    try:
        engine.train_step(batch, 0.01)
    except AnexaError as error:
        message = str(error)
    limit(0)
    intact = (engine.weights(), engine.optimizer_state()) == before
    losses = [[one.train_step(small, 0.01).loss for one in (engine, twin)] for _ in range(3)]
    return {"message": message, "intact": intact, "losses": losses}


def fewer():
    engine, twin = opened(), opened(1)
    before = engine._micro_batch_size(128)
    limit(60)
    loss, gradients = engine.gradients(batch)
    update = engine.train_step(batch, 0.01)
    limit(0)
    expected, theirs = twin.gradients(batch)
    largest = max(abs(g) for w in theirs.values() for g in w.data)
    furthest = max(
        abs(a - b) / largest for n in theirs for a, b in zip(gradients[n].data, theirs[n].data)
    )
    twin.train_step(batch, 0.01)
    losses = [[loss, expected], [update.loss, expected], [engine.loss(batch), twin.loss(batch)]]
    sizes = [before, engine._micro_batch_size(128)]
    return {"sizes": sizes, "furthest": furthest, "losses": losses}


def again():
    engine = opened(dropout=0.2)
    limit(60)
    loss = engine.train_step(batch, 0.01).loss
    limit(0)
    twin = opened(engine._micro_batch_size(128), dropout=0.2)
    losses = [loss, twin.train_step(batch, 0.01).loss]
    alike = engine.weights() == twin.weights()
    return {"size": engine._micro_batch_size(128), "losses": losses, "alike": alike}


def together():
    # The logits of a step take 154 MB, more than any block of memory freed before; the limit leaves
    # Python enough for its own objects.
    wide = ModelConfig("gpt2", 600_000, block_size=32, n_embd=16, n_head=4, n_layer=2)
    weights = initial_weights(replace(wide, vocab_size=600), rng)
    name = "wte.weight"
    weights[name] = Weight((600_000, 16), weights[name].data * 1000)
    engine = open_engine("torch", wide, weights)
    batch_cache = engine.new_batch_cache(64)
    for number in range(64):
        cache = engine.new_kv_cache()
        engine.next_logits([number] * 20, cache)
        engine.add_sequence(batch_cache, cache)
    lengths = list(batch_cache.lengths)
    limit(32)
    try:
        engine.batch_next_logits([1] * 64, batch_cache)
        error = None
    except MemoryError as short:
        error = repr(short)
    limit(0)
    unread = batch_cache.lengths == lengths
    second = engine.batch_next_logits([1] * 64, batch_cache)
    cache = engine.new_kv_cache()
    engine.next_logits([7] * 20, cache)
    alone = engine.next_logits([1], cache)
    return {"error": error, "unread": unread, "furthest": float(abs(second[7] - alone).max())}


said = {"none": none(), "fewer": fewer(), "again": again(), "together": together()}
print(json.dumps(said))
"""


def said_by(program: str, *arguments: str) -> str:
    """Run a program in a new process, and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """The results of a process that is given less and less memory."""
    answers: dict[str, Any] = json.loads(said_by(PROGRAM))
    return answers


def test_micro_batches_shrink_until_they_fit(said: dict[str, Any]) -> None:
    before, after = said["fewer"]["sizes"]
    assert 1 <= after < 32 <= before
    assert said["fewer"]["furthest"] < 1e-5
    for ours, expected in said["fewer"]["losses"]:
        assert ours == pytest.approx(expected, rel=1e-5)


def test_one_sentence_if_a_single_sequence_is_too_large(said: dict[str, Any]) -> None:
    message = said["none"]["message"]
    assert "--block-size" in message
    assert "1 sequence of" in message
    assert "\n" not in message
    assert ". " not in message
    assert message.endswith("lower --block-size, --n-embd or --n-layer"), "no run has a checkpoint"


def test_failed_step_changes_nothing(said: dict[str, Any]) -> None:
    """Bit for bit, neither weights and moments nor the steps after it."""
    assert said["none"]["intact"]
    for ours, expected in said["none"]["losses"]:
        assert ours == expected


def test_retried_step_drops_the_same_activations(said: dict[str, Any]) -> None:
    """Otherwise a resumed run, which retries, would differ from an uninterrupted run."""
    assert said["again"]["size"] < 32
    assert said["again"]["losses"][0] == said["again"]["losses"][1]
    assert said["again"]["alike"]


def test_failed_batch_decoding_step_can_be_retried(said: dict[str, Any]) -> None:
    assert said["together"]["error"], "the memory was enough"
    assert said["together"]["unread"]
    assert said["together"]["furthest"] < 1e-5


# An engine of this name, whose methods are called with little memory. The logits of 64 tokens take
# 5 MB, those of a batch 20 MB; in plain Python more.
EACH_METHOD = """
import json, random, resource, sys
from pathlib import Path
from anexa.engines import Batch, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights

name = sys.argv[1]
config = ModelConfig("gpt2", 20_000, block_size=64, n_embd=4, n_head=1, n_layer=1)
engine = open_engine(name, config, initial_weights(config, random.Random(1)))
batch, small = Batch.from_sequences([[1] * 65] * 4), Batch.from_sequences([[1] * 2])
engine.train_step(small, 0.01)
engine.logits([1, 2])
small_cache = engine.new_kv_cache()
engine.prompt_logits([1, 2], small_cache)

methods = {
    "logits": lambda: engine.logits([1] * 64),
    "prompt_logits": lambda: engine.prompt_logits([1] * 64, engine.new_kv_cache()),
    "loss": lambda: engine.loss(batch),
    "gradients": lambda: engine.gradients(batch),
    "train_step": lambda: engine.train_step(batch, 0.01),
}
if hasattr(engine, "new_batch_cache") and name != "numba":  # numba's grows with its sequences
    methods["new_batch_cache"] = lambda: engine.new_batch_cache(10**5)
said = {}
for method, work in methods.items():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    error = None
    try:
        work()
    except Exception as caught:
        error = caught
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    said[method] = [isinstance(error, MemoryError), repr(error)]
print(json.dumps(said))
"""


@pytest.mark.parametrize("engine", ["lists", "numpy", "numba", "torch"])
def test_every_method_of_every_engine_raises_a_memory_error(engine: str) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    said = json.loads(said_by(EACH_METHOD, engine))
    assert len(said) >= 5
    for method, (is_memory_error, error) in said.items():
        assert is_memory_error, (method, error)


# A command line with 500 MiB of memory beyond that of the libraries.
COMMAND = """
import resource, sys
from pathlib import Path
import numpy
from anexa.cli.main import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 500 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
main()
"""


def test_command_line_says_in_one_sentence_that_memory_is_short(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the quick brown fox jumps over the lazy dog\n" * 2000, encoding="utf-8")
    arguments = ["train", str(corpus), "--out", str(tmp_path / "out"), "--engine", "numpy"]
    sizes = ["--block-size", "64", "--batch-size", "20000", "--steps", "2"]  # 300 MB for each array
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, *sizes],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == (
        "anexa: not enough memory on this machine: use a smaller model or a smaller batch"
    )
    assert "Traceback" not in done.stderr


# Batches of many lengths, as in training on questions and answers.
SHAPES = """
import json
import random
from pathlib import Path
import torch
import anexa.engines.torch
from anexa.engines import Batch, OptimizerConfig, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights

def megabytes():
    status = Path("/proc/self/status").read_text()
    return int(next(s for s in status.splitlines() if s.startswith("VmRSS")).split()[1]) / 1024

anexa.engines.torch.RELEASE_INTERVAL = 4
torch.set_num_threads(1)
config = ModelConfig("llama", 101, block_size=512, n_embd=128, n_head=4, n_layer=4)
rng = random.Random(1)
weights = initial_weights(config, rng)
engine = open_engine("torch", config, weights, optimizer=OptimizerConfig(name="muon"))
after_step = []
for step in range(8):
    length = rng.randint(100, 513)
    engine.train_step(Batch.from_sequences([[1] * length] * (2048 // length)), 0.001)
    after_step.append(megabytes())
print(json.dumps(after_step))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
def test_free_memory_is_released_every_few_steps() -> None:
    """About 130 MB, which would otherwise stay in fragments between batches of many shapes."""
    after_step = json.loads(said_by(SHAPES))
    for released in (3, 7):
        assert after_step[released] < after_step[released - 1] - 40

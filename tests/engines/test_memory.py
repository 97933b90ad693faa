"""Memory that is not enough: fewer rows at once, or one sentence; never a wrong number.

The limit is the operating system's own, on the address space of a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.engines.helpers import needs_torch

pytestmark = [
    needs_torch,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit"),
]

# Each row of 128 tokens needs about 6 MB for its gradients.
PROGRAM = """
import json, random, resource, sys
from pathlib import Path
from anexa.engines import Batch, Machine, Optimizer, open_engine
from anexa.errors import AnexaError
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights

ROWS = 32
config = ModelConfig("gpt2", 256, block_size=128, n_embd=64, n_head=4, n_layer=4)
rng = random.Random(1)
weights = initial_weights(config, rng)
rows = [[rng.randrange(256) for _ in range(rng.randint(100, 129))] for _ in range(ROWS)]
batch, small = Batch.from_rows(rows), Batch.from_rows([rows[0][:20]])
optimizer = Optimizer(muon=True, dropout=DROPOUT)


def opened(rows_at_once=0):
    machine = Machine(micro_batch=rows_at_once)
    return open_engine("torch", config, weights, machine=machine, optimizer=optimizer)


def limit(megabytes):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    most = now + megabytes * 2**20 if megabytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


engine, twin = opened(), opened(1)
for one in (engine, twin):
    one.train_step(small, 0.01)
said = {}
"""

FEWER = """
limit(60)
before = engine._rows_at_once
loss, gradients = engine.gradients(batch)
said["rows"] = [min(before, ROWS), engine._rows_at_once]
update = engine.train_step(batch, 0.01)
limit(0)
expected, theirs = twin.gradients(batch)
said["losses"] = [[loss, expected], [update.loss, expected]]
largest = max(abs(g) for w in theirs.values() for g in w.data)
said["furthest"] = max(
    abs(a - b) / largest for n in theirs for a, b in zip(gradients[n].data, theirs[n].data)
)
twin.train_step(batch, 0.01)
said["losses"].append([engine.loss(batch), twin.loss(batch)])
print(json.dumps(said))
"""

NOT_ONE = """
before = engine.weights(), engine.optimizer_state()
limit(3)
try:
    engine.train_step(batch, 0.01)
except AnexaError as error:
    said["error"] = str(error)
limit(0)
said["intact"] = (engine.weights(), engine.optimizer_state()) == before
said["losses"] = [[one.train_step(small, 0.01).loss for one in (engine, twin)] for _ in range(3)]
said["alike"] = engine.weights() == twin.weights()
print(json.dumps(said))
"""

RESUMED = """
limit(60)
losses = [engine.train_step(batch, 0.01).loss]
stopped = engine.weights(), engine.optimizer_state()
losses.append(engine.train_step(batch, 0.01).loss)
limit(0)
other = open_engine("torch", config, stopped[0], optimizer=optimizer)
other.resume(stopped[1], 2)
limit(60)
resumed = other.train_step(batch, 0.01).loss
said["rows"] = [engine._rows_at_once, other._rows_at_once]
said["losses"] = [losses[1], resumed]
print(json.dumps(said))
"""


def said(program: str, dropout: float = 0.0) -> dict[str, Any]:
    """What a process that can be given less memory says."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("DROPOUT", str(dropout)) + program],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_where_memory_is_short_fewer_rows_are_read_at_once() -> None:
    answer = said(FEWER)
    most, fewer = answer["rows"]
    assert 1 <= fewer < most
    assert answer["furthest"] < 1e-5
    for ours, expected in answer["losses"]:
        assert ours == pytest.approx(expected, rel=1e-5)


def test_where_one_row_is_too_much_a_sentence_says_so_and_nothing_is_lost() -> None:
    answer = said(NOT_ONE)
    message = answer["error"]
    assert "--micro-batch" in message
    assert "1 row of" in message
    assert "\n" not in message
    assert ". " not in message
    assert answer["intact"]
    assert answer["alike"]
    for ours, expected in answer["losses"]:
        assert ours == expected


def test_resumed_is_never_stopped_where_memory_is_short() -> None:
    """Dropout too is a function of the seed and the step, however often a step was tried."""
    answer = said(RESUMED, dropout=0.2)
    assert answer["rows"][0] == answer["rows"][1]
    assert answer["losses"][0] == answer["losses"][1]

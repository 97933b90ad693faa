"""Training speed of microgpt.py and of each engine, relative to the original 200-line microgpt.

    python benchmarks/ladder.py [--corpus names.txt] [--rounds 5] [--original FILE]

Prints milliseconds per document (forward, backward and optimizer step of the names model) and the
speedup over the baseline. The baseline is the original file if it is given with --original, with
its corpus as input.txt in the same folder; else the original's algorithm, reproduced with
microgpt.py: a graph node for every addition and multiplication, sorted by a recursive function.

All sides run in turn, on the same ten documents. Times are medians over the rounds, and speedups
are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import microgpt
from anexa.engines import ENGINES, Batch, DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.model.weights import Weight
from anexa.training.config import preset_config
from microgpt import Value

WARM_UP = 10  # steps before the measurement, for allocation, loading and compilation
DOCUMENTS = slice(WARM_UP, WARM_UP + 10)  # documents of the measurement, on all sides


def plain_dot(xs: Sequence[Value], ys: Sequence[Value]) -> Value:
    """Compute a dot product with a graph node for every product and for every sum."""
    return sum((x * y for x, y in zip(xs, ys)), Value(0.0))


def plain_gradients(loss: Value) -> dict[Value, float]:
    """Compute the gradients in the order of a recursive topological sort."""
    order: list[Value] = []
    visited: set[Value] = set()

    def visit(value: Value) -> None:
        if value not in visited:
            visited.add(value)
            for child in value.children:
                visit(child)
            order.append(value)

    visit(loss)
    grads = dict.fromkeys(order, 0.0)
    grads[loss] = 1.0
    for value in reversed(order):
        for child, local_grad in zip(value.children, value.local_grads):
            grads[child] += local_grad * grads[value]
    return grads


def single_file(docs: list[str], plain: bool) -> Iterator[float]:
    """Train with microgpt.py; `plain`: with the original's dot product and backward pass."""
    model = microgpt.Model(docs, random.Random(42))
    steps = microgpt.train(model, docs[DOCUMENTS], 1_000_000)
    fast = microgpt.dot, microgpt.gradients
    while True:
        if plain:
            microgpt.dot, microgpt.gradients = plain_dot, plain_gradients
        loss = next(steps)
        microgpt.dot, microgpt.gradients = fast
        yield loss


def names_engine(
    name: str, model: microgpt.Model, dtype: str = "float32"
) -> tuple[Engine, Callable[[str], list[int]]]:
    """Open an engine with the weights of a model; returns also what encodes a document."""
    weights = {
        f"{key.replace('layer0', 'layers.0')}.weight": Weight(
            (len(matrix), len(matrix[0])), array("d", [v.data for row in matrix for v in row])
        )
        for key, matrix in model.weights.items()
    }
    config = preset_config("microgpt").model.to_config(len(model.chars) + 1)
    device = DeviceConfig("cpu", "float64" if name in ("scalar", "lists") else dtype)
    optimizer = OptimizerConfig(0.85, 0.99)
    engine = open_engine(name, config, weights, device_config=device, optimizer=optimizer)
    index = {char: i for i, char in enumerate(model.chars)}

    def encode(doc: str) -> list[int]:
        return [model.bos, *map(index.__getitem__, doc), model.bos][:17]

    return engine, encode


def engine_steps(name: str, docs: list[str], repeat: int) -> Iterator[float]:
    """Train with an engine from the same weights, on batches of `repeat` copies of a document."""
    engine, encode = names_engine(name, microgpt.Model(docs, random.Random(42)))
    for doc in cycle(docs[DOCUMENTS]):
        yield engine.train_step(Batch.from_sequences([encode(doc)] * repeat), 0.01).loss


def original(file: Path) -> Callable[[], float]:
    """Measure the seconds per step of the original file, by the times of its output lines."""

    def seconds() -> float:
        process = subprocess.Popen(
            [sys.executable, "-u", str(file)], cwd=file.parent, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        # The original ends its progress lines with a carriage return, not a line feed.
        text, began, first = b"", 0.0, 0
        while (count := text.count(b"| loss")) < WARM_UP + 10:
            text += os.read(process.stdout.fileno(), 4096)
            if not began and text.count(b"| loss") >= WARM_UP:
                began, first = time.perf_counter(), text.count(b"| loss")
        elapsed = time.perf_counter() - began
        process.kill()
        process.wait()
        return elapsed / (count - first)

    return seconds


def timer(steps: Iterator[float], documents: int, count: int) -> Callable[[], float]:
    """Measure the seconds per document, over `count` steps of `documents` documents each."""
    for _ in range(min(WARM_UP, count)):
        next(steps)

    def seconds() -> float:
        began = time.perf_counter()
        for _ in range(count):
            next(steps)
        return (time.perf_counter() - began) / (count * documents)

    return seconds


def main() -> None:
    """Time all sides and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpus", default="names.txt", help="file with one name per line")
    parser.add_argument("--rounds", type=int, default=5, help="measurements (default: 5)")
    parser.add_argument("--original", type=Path, help="the original microgpt.py, as the baseline")
    options = parser.parse_args()

    docs = microgpt.read_docs(options.corpus)
    random.Random(42).shuffle(docs)
    sides = {
        "original's algorithm": timer(single_file(docs, plain=True), 1, 10),
        "microgpt.py": timer(single_file(docs, plain=False), 1, 10),
    }
    for name in ENGINES:
        if name not in ("numba", "torch") or find_spec(name):
            count = {"scalar": 10, "lists": 40}.get(name, 200)
            sides[name] = timer(engine_steps(name, docs, 1), 1, count)
    for name in ("numpy", "numba", "torch"):
        if name in sides:
            sides[f"{name}, batch 32"] = timer(engine_steps(name, docs, 32), 32, 50)
    if options.original:
        sides["original file"] = original(options.original)

    # Without this, Python's garbage collector would traverse the objects of all other sides while
    # one side is timed.
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, seconds in sides.items():
            times[name].append(seconds())
    print(f"{date.today()}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'':22}{'ms/document':>14}{'speedup':>15}")
    baseline = times.get("original file") or times["original's algorithm"]
    for name, mine in times.items():
        ratio = statistics.median(base / seconds for base, seconds in zip(baseline, mine))
        print(f"{name:22}{statistics.median(mine) * 1000:14.3f}{ratio:15.1f}")


if __name__ == "__main__":
    main()

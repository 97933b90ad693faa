"""How much faster each rung trains the names model than the original 200-line microgpt.

    python benchmarks/ladder.py [--corpus names.txt] [--rounds 5] [--original FILE]

The yardstick is the original's algorithm as the original computes it: a node in the graph for
every single addition and multiplication, put in order by a recursive walk. With --original, a copy
of the original file is timed beside it (its own `names` in a file input.txt in this folder).
All sides run in turn, on the same ten documents, and the medians of the ratios to that copy (or
else to the yardstick) are printed.
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
from anexa.engines import ENGINES, Batch, OptimizerConfig, open_engine
from anexa.model.weights import Weight
from anexa.training.config import preset_config
from microgpt import Value

WARM_UP = 10  # steps that are not timed: first calls allocate, load and compile
DOCUMENTS = slice(WARM_UP, WARM_UP + 10)  # what is timed, on all sides: the original's next ten


def plain_dot(xs: Sequence[Value], ys: Sequence[Value]) -> Value:
    """Compute a dot product with a node for every product and a node for every sum."""
    return sum((x * y for x, y in zip(xs, ys)), Value(0.0))


def plain_gradients(loss: Value) -> dict[Value, float]:
    """Compute the gradients with a function that calls itself."""
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
    """Train with microgpt.py, as it is or in the plain form."""
    model = microgpt.Model(docs, random.Random(42))
    steps = microgpt.train(model, docs[DOCUMENTS], 1_000_000)
    fast = microgpt.dot, microgpt.gradients
    while True:
        if plain:
            microgpt.dot, microgpt.gradients = plain_dot, plain_gradients
        loss = next(steps)
        microgpt.dot, microgpt.gradients = fast
        yield loss


def engine_steps(name: str, docs: list[str], repeat: int) -> Iterator[float]:
    """Train with an engine from the same weights, on batches of `repeat` copies of a document."""
    model = microgpt.Model(docs, random.Random(42))
    weights = {
        f"{key.replace('layer0', 'layers.0')}.weight": Weight(
            (len(matrix), len(matrix[0])), array("d", [v.data for row in matrix for v in row])
        )
        for key, matrix in model.weights.items()
    }
    config = preset_config("microgpt").model.to_config(len(model.chars) + 1)
    engine = open_engine(name, config, weights, optimizer=OptimizerConfig(0.85, 0.99))
    index = {char: i for i, char in enumerate(model.chars)}
    for doc in cycle(docs[DOCUMENTS]):
        row = [model.bos, *map(index.__getitem__, doc), model.bos][:17]
        yield engine.train_step(Batch.from_sequences([row] * repeat), 0.01).loss


def original(file: Path) -> Callable[[], float]:
    """Measure the seconds per step of a copy of the original, by the times of its output lines."""

    def seconds() -> float:
        process = subprocess.Popen(
            [sys.executable, "-u", str(file)], cwd=file.parent, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        # The original ends its lines with a carriage return, so that they overwrite each other.
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
    parser.add_argument("--corpus", default="names.txt", help="a file with one name a line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--original", type=Path, help="a copy of the original microgpt.py")
    options = parser.parse_args()

    docs = microgpt.read_docs(options.corpus)
    random.Random(42).shuffle(docs)
    sides = {
        "the original's graph": timer(single_file(docs, plain=True), 1, 10),
        "microgpt.py": timer(single_file(docs, plain=False), 1, 10),
    }
    for name in ENGINES:
        if name != "torch" or find_spec("torch"):
            count = {"scalar": 10, "lists": 40}.get(name, 200)
            sides[name] = timer(engine_steps(name, docs, 1), 1, count)
    for name in ("numpy", "torch"):
        if name in sides:
            sides[f"{name}, 32 at once"] = timer(engine_steps(name, docs, 32), 32, 50)
    if options.original:
        sides["the original itself"] = original(options.original)

    # What the other sides keep in memory is no business of the side that is being timed: without
    # this, Python's garbage collector walks through all of it again and again.
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, seconds in sides.items():
            times[name].append(seconds())
    print(f"{date.today()}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'':22}{'ms a document':>14}{'times as fast':>15}")
    yardstick = times.get("the original itself") or times["the original's graph"]
    for name, mine in times.items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(yardstick, mine))
        print(f"{name:22}{statistics.median(mine) * 1000:14.3f}{ratio:15.1f}")


if __name__ == "__main__":
    main()

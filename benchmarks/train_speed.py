"""Tokens a second of a training, against nanoGPT's loop on PyTorch's stock modules.

    python benchmarks/train_speed.py [--corpus python-docs] [--sizes 12x64 8x128] [--threads N]

One model (GPT-2, 4 layers, 4 heads, width 128) and one text on all sides; a size is the rows in a
step and the tokens in a row. Ours is `anexa train` as it comes, bookkeeping included: Muon, in the
precision that this machine is best at; beside it AdamW in that precision, and AdamW in float32,
which is what stock does too.

Each side has a process of its own, and they take turns. The ratios are medians over the turns of
tokens a second to those of stock in the same turn. The share is of the fastest float32 product of
matrices on the same threads, as measured between the turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import torch
from stock import StockTraining

from anexa.data import read_corpus
from anexa.data.tokens import tokenize
from anexa.engines import DeviceConfig
from anexa.engines.peak import measure_peak_flops
from anexa.model.weights import flops_per_token
from anexa.training import TrainConfig, build_trainer
from anexa.training.corpus import make_tokenizer

WARM_UP = 10  # steps that are not timed: first calls allocate and choose their algorithms
ENDLESS = 1_000_000  # steps: no evaluation comes in between
SIDES = {
    "stock": {},
    "ours, AdamW, float32": {"optimizer": "adamw", "dtype": "float32"},
    "ours, AdamW": {"optimizer": "adamw"},
    "ours, as it comes": {},
}


def stock_steps(settings: TrainConfig) -> Iterator[object]:
    """Execute steps of the stock training, without end."""
    documents = read_corpus(settings.data.corpus, settings.data.layout)
    tokenizer = make_tokenizer(settings.data.tokenizer, documents)
    ids = tokenize(documents, tokenizer).ids.astype("int64")
    config = settings.model.to_config(tokenizer.vocab_size)
    yield from StockTraining(config, torch.tensor(ids), settings.run.batch_size, ENDLESS)


def our_steps(settings: TrainConfig) -> Iterator[object]:
    """Execute training steps of Anexa."""
    with tempfile.TemporaryDirectory() as folder:
        yield from build_trainer(settings, Path(folder) / "model")


def take_turns(side: str, settings: TrainConfig) -> None:
    """Serve as the process of a side: read a number of steps, execute them, print the seconds."""
    steps = stock_steps(settings) if side == "stock" else our_steps(settings)
    for _ in range(WARM_UP):
        next(steps)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        print(time.perf_counter() - began, flush=True)


class Side:
    """Handle on the process of a side."""

    def __init__(self, arguments: list[str], threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def seconds(self, steps: int) -> float:
        """Measure the seconds that `steps` steps take."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(steps, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:  # it has said why
            sys.exit(self._process.wait())
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(size: str, options: argparse.Namespace) -> None:
    """Time all sides at one size and print the table."""
    documents = read_corpus(options.corpus)
    vocab_size = make_tokenizer("char", documents).vocab_size
    settings = our_settings(options.corpus, size, "ours, as it comes")
    flops = flops_per_token(settings.model.to_config(vocab_size))
    tokens = settings.run.batch_size * settings.model.block_size * options.steps
    same = ["--corpus", options.corpus, "--sizes", size]
    sides: dict[str, Side] = {}
    peak, speeds = 0.0, {name: list[float]() for name in SIDES}
    try:
        for name in SIDES:
            sides[name] = Side([*same, "--side", name], options.threads)
            sides[name].seconds(1)  # it has begun before any other does
        for _ in range(options.rounds):
            for name, side in sides.items():
                speeds[name].append(tokens / side.seconds(options.steps))
            peak = max(peak, measure_peak_flops("torch", DeviceConfig()) or 0.0)
    finally:
        for side in sides.values():
            side.close()
    print(f"\n{size}: {settings.run.batch_size} rows of {settings.model.block_size} tokens")
    print(f"{'':22}{'tokens a second':>17}{'times stock':>13}{'share of peak':>15}")
    for name, mine in speeds.items():
        ratio = statistics.median(ours / stock for ours, stock in zip(mine, speeds["stock"]))
        speed = statistics.median(mine)
        print(f"{name:22}{speed:17,.0f}{ratio:13.2f}{speed * flops / peak:15.0%}")
    print(f"float32 peak {peak / 1e9:.0f} GFLOP/s, {flops / 1e6:.2f} MFLOP a token")


def our_settings(corpus: str, size: str, side: str) -> TrainConfig:
    """Configure the run of a side; the stock side reads only the sizes."""
    rows, context = map(int, size.split("x"))
    return TrainConfig.from_options(
        corpus=corpus,
        batch_size=rows,
        block_size=context,
        steps=ENDLESS,
        evaluations=1,
        engine="torch",
        device="cpu",
        **SIDES[side],
    )


def main() -> None:
    """Time all sides at all sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpus", default="python-docs", help="a name or a text file")
    parser.add_argument("--sizes", nargs="+", default=["12x64", "8x128"], metavar="ROWSxTOKENS")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side")
    parser.add_argument("--steps", type=int, default=30, help="steps in a turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # of a process of ours
    options = parser.parse_args()
    if options.side:
        take_turns(options.side, our_settings(options.corpus, options.sizes[0], options.side))
        return
    torch.set_num_threads(options.threads)
    print(
        f"{date.today()}, PyTorch {torch.__version__}, {platform.machine()}, "
        f"{options.threads} thread{'s' if options.threads > 1 else ''}, "
        f"{options.rounds} rounds of {options.steps} steps, {options.corpus}"
    )
    for size in options.sizes:
        compare(size, options)


if __name__ == "__main__":
    main()

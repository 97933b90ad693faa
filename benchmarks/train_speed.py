"""Training throughput of Anexa, compared with nanoGPT's loop on PyTorch's stock modules.

    python benchmarks/train_speed.py [--corpus python-docs] [--sizes 12x64 8x128] [--threads N]

All sides train the same model (GPT-2, 4 layers, 4 heads, width 128) on the same text. A size is
batch size x sequence length, in tokens. The sides:

- stock: the baseline in `stock.py`: AdamW, float32;
- anexa, AdamW, float32: `anexa train` with the baseline's optimizer and precision;
- anexa, AdamW: the same in the default precision of this machine (bf16 if it is fast);
- anexa, defaults: Muon in the default precision.

`anexa train` is measured as a whole, with its metrics. Each side runs in a process of its own, in
turn with the others. Prints the median throughput over the rounds; the speedup over stock, a median
of the ratios within a round; and the model FLOPs utilization (MFU) relative to the peak of float32
matrix products on the same threads, measured between the rounds (bf16 can exceed it).
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import torch
from in_turn import Side, answer_requests, measure_in_turn, seconds_each, warm_up_sides
from stock import StockTraining

from anexa.data import read_corpus
from anexa.data.tokens import tokenize
from anexa.engines import DeviceConfig
from anexa.engines.peak import measure_peak_flops
from anexa.model.weights import flops_per_token
from anexa.training import TrainConfig, build_trainer
from anexa.training.tokenizers import make_tokenizer

WARM_UP = 10  # steps before the measurement, for allocation and choice of algorithms
# Planned steps of a run: so many that no evaluation falls into the measurement.
ENDLESS_STEPS = 1_000_000
SIDES = {
    "stock": {},
    "anexa, AdamW, float32": {"optimizer": "adamw", "dtype": "float32"},
    "anexa, AdamW": {"optimizer": "adamw"},
    "anexa, defaults": {},
}


def stock_steps(settings: TrainConfig) -> Iterator[object]:
    """Execute training steps of the baseline, without end."""
    documents = read_corpus(settings.data.corpus[0], settings.data.layout)
    tokenizer = make_tokenizer(settings.data.tokenizer, documents)
    ids = tokenize(documents, tokenizer).ids.astype("int64")
    config = settings.model.to_config(tokenizer.vocab_size)
    yield from StockTraining(config, torch.tensor(ids), settings.run.batch_size, ENDLESS_STEPS)


def anexa_steps(settings: TrainConfig) -> Iterator[object]:
    """Execute training steps of Anexa."""
    with tempfile.TemporaryDirectory() as folder:
        yield from build_trainer(settings, Path(folder) / "model")


def prepare(side: str, settings: TrainConfig) -> Callable[[int], float]:
    """Warm a side up; returns what measures the seconds of one of its steps."""
    steps = stock_steps(settings) if side == "stock" else anexa_steps(settings)
    for _ in range(WARM_UP):
        next(steps)
    return partial(seconds_each, partial(next, steps))


def compare(size: str, options: argparse.Namespace) -> None:
    """Time all sides at one size and print the table."""
    documents = read_corpus(options.corpus)
    vocab_size = make_tokenizer("char", documents).vocab_size
    settings = anexa_settings(options.corpus, size, "anexa, defaults")
    flops = flops_per_token(settings.model.to_config(vocab_size))
    tokens = settings.run.batch_size * settings.model.block_size
    same = [__file__, "--corpus", options.corpus, "--sizes", size, "--side"]
    sides = {name: Side([*same, name], options.threads) for name in SIDES}
    peak, speeds = 0.0, {name: list[float]() for name in SIDES}
    with warm_up_sides(sides) as (ready, reasons):
        if reasons:
            sys.exit("\n".join(f"{name}: {reason}" for name, reason in reasons.items()))
        for _ in range(options.rounds):
            for name, seconds in measure_in_turn(ready, options.steps, rounds=1).items():
                speeds[name].append(tokens / seconds[0])
            peak = max(peak, measure_peak_flops("torch", DeviceConfig()) or 0.0)
    print(f"\n{size}: {settings.run.batch_size} sequences of {settings.model.block_size} tokens")
    print(f"{'':22}{'tokens/s':>17}{'speedup':>13}{'MFU':>15}")
    for name, mine in speeds.items():
        ratio = statistics.median(speed / stock for speed, stock in zip(mine, speeds["stock"]))
        speed = statistics.median(mine)
        print(f"{name:22}{speed:17,.0f}{ratio:13.2f}{speed * flops / peak:15.0%}")
    print(f"float32 peak {peak / 1e9:.0f} GFLOP/s, {flops / 1e6:.2f} MFLOP a token")


def anexa_settings(corpus: str, size: str, side: str) -> TrainConfig:
    """Configure the run of a side; the baseline uses only its sizes."""
    batch_size, context = map(int, size.split("x"))
    return TrainConfig.from_options(
        corpus=corpus,
        batch_size=batch_size,
        block_size=context,
        steps=ENDLESS_STEPS,
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
    parser.add_argument("--corpus", default="python-docs", help="corpus name or text file")
    parser.add_argument("--sizes", nargs="+", default=["12x64", "8x128"], metavar="BATCHxTOKENS")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each side")
    parser.add_argument("--steps", type=int, default=30, help="training steps in a measurement")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # for subprocesses
    options = parser.parse_args()
    if options.side:
        settings = anexa_settings(options.corpus, options.sizes[0], options.side)
        answer_requests(partial(prepare, options.side, settings))
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

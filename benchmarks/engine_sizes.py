"""Speed of the engines by model size: which of them is fastest for one text, many, and training.

    python benchmarks/engine_sizes.py [--engines numba numpy torch] [--rounds 3] [--threads N]
        [--sizes 128x4 256x6 ...] [--work single batch train train-batch]

The models are Llama models with random weights and a context of 512 tokens; a size is width x
layers, with heads of 32 numbers. The work, in tokens per second:

- single: one sequence by `next_logits`, at position 256, as in `anexa generate` and `anexa chat`;
- batch: 32 sequences by `batch_next_logits`, at position 256, as in the server;
- train: `train_step` with one sequence of 128 tokens;
- train-batch: `train_step` with 32 sequences of 128 tokens.

Each engine runs in a process of its own in float32, in turn with the others, with as many threads
as its library chooses (or --threads). Prints the medians over the rounds, and the fastest engine
with its ratio to the second, a median of the ratios within a round. CPU only.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
from collections.abc import Callable
from datetime import date
from functools import partial

from decoding import CONTEXT, decode_batch, decode_single
from in_turn import (
    Side,
    SideUnavailable,
    answer_requests,
    measure_in_turn,
    ratios,
    seconds_each,
    warm_up_sides,
)

from anexa.engines import Batch, BatchEngine, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights, num_parameters

BATCH_SIZE, LENGTH = 32, 128
SIZES = ["32x2", "64x2", "128x4", "192x6", "256x6", "384x6", "512x8"]
WORK = ("single", "batch", "train", "train-batch")
MEASUREMENT_SECONDS = 0.3  # duration of one measurement, or one step


def size_config(size: str) -> ModelConfig:
    """Make the configuration of a size, WIDTHxLAYERS."""
    width, layers = map(int, size.split("x"))
    return ModelConfig("llama", 256, CONTEXT, width, width // 32, layers)


def prepare(engine_name: str, size: str, work: str) -> Callable[[int], float]:
    """Open an engine; returns a function that measures its seconds per token.

    A measurement takes `MEASUREMENT_SECONDS`, or one step.
    """
    config = size_config(size)
    engine = open_engine(engine_name, config, initial_weights(config, random.Random(0)))
    step: Callable[[], object]
    if work == "single":
        step, tokens = decode_single(engine), 1
    elif work == "batch":
        if not isinstance(engine, BatchEngine):
            raise SideUnavailable(f"the {engine_name} engine has no batch of sequences")
        step, tokens = decode_batch(engine, BATCH_SIZE), BATCH_SIZE
    else:
        sequences = BATCH_SIZE if work == "train-batch" else 1
        rng = random.Random(0)
        batch = Batch.from_sequences(
            [rng.choices(range(config.vocab_size), k=LENGTH + 1) for _ in range(sequences)]
        )
        step, tokens = partial(engine.train_step, batch, 1e-4), sequences * LENGTH
    step()
    count = max(1, int(MEASUREMENT_SECONDS / seconds_each(step, 1)))
    return lambda _: seconds_each(step, count) / tokens


def compare(size: str, work: str, options: argparse.Namespace) -> dict[str, str]:
    """Measure the engines in turn, and print a line of the table.

    Returns:
        For each engine that could not be measured, why.
    """
    script = [__file__, "--sizes", size, "--work", work, "--side"]
    sides = {name: Side([*script, name], options.threads) for name in options.engines}
    with warm_up_sides(sides) as (ready, reasons):
        figures = measure_in_turn(ready, 1, options.rounds)
    parameters = num_parameters(size_config(size)) / 1e6
    medians = {name: statistics.median(seconds) for name, seconds in figures.items()}
    line = f"{size:8}{parameters:8.1f}M  {work:12}" + "".join(
        f"{1 / medians[name]:10,.0f}" if name in medians else f"{'-':>10}"
        for name in options.engines
    )
    fastest = sorted(medians, key=medians.__getitem__)
    if len(fastest) > 1:
        ratio, *_ = ratios(figures[fastest[0]], figures[fastest[1]])
        line += f"   {fastest[0]}: {ratio:.2f} x {fastest[1]}"
    print(line, flush=True)
    return reasons


def main() -> None:
    """Measure all sizes and kinds of work, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=["numba", "numpy", "torch"])
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxLAYERS")
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--rounds", type=int, default=3, help="measurements (default: 3)")
    parser.add_argument("--threads", type=int, help="threads of each library")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # for subprocesses
    options = parser.parse_args()
    if options.side:
        answer_requests(partial(prepare, options.side, options.sizes[0], options.work[0]))
        return
    print(
        f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, "
        f"threads: {options.threads or 'as each library chooses'}, tokens per second"
    )
    print(f"{'size':8}{'parameters':>9}  {'work':12}", end="")
    print("".join(f"{name:>10}" for name in options.engines))
    reasons: dict[str, str] = {}
    for work in options.work:
        for size in options.sizes:
            reasons |= compare(size, work, options)
    for name, reason in reasons.items():
        print(f"{name} left out: {reason}")


if __name__ == "__main__":
    main()

"""Cost of the history of a run, and time to repeat one of its steps.

    python benchmarks/keep_steps.py [--engines numpy,torch,lists] [--steps 1000] [--rounds 5]

Trains the 4,192-parameter model of names twice in one process, with and without a history, one
step of each in turn, so that other programs disturb both alike. Prints the CPU time of a step of
both, and the median over the rounds of their ratio. Then the steps farthest from a key frame are
repeated with nothing in memory; the longest wall-clock time is printed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from anexa.explore.replay import Replay
from anexa.training import RunOptions, StepResult, TrainConfig, build_trainer
from anexa.training.history import frame_steps


def cpu_seconds(config: TrainConfig, folder: Path) -> list[float]:
    """Train without and with a history; returns the CPU seconds of both runs.

    Args:
        config: configuration of the runs.
        folder: folder for the model folders "without" and "with".
    """
    trainers = [
        build_trainer(config, folder / name, RunOptions(history_budget=budget))
        for name, budget in (("without", 0), ("with", None))
    ]
    runs: list[Iterator[StepResult]] = [iter(trainer) for trainer in trainers]
    seconds = [0.0, 0.0]
    while not all(trainer.done for trainer in trainers):
        for i, run in enumerate(runs):
            began = time.process_time()
            next(run)
            seconds[i] += time.process_time() - began
    for i, run in enumerate(runs):  # what is written at the end
        began = time.process_time()
        next(run, None)
        seconds[i] += time.process_time() - began
    return seconds


def repeat_seconds(folder: Path) -> float:
    """Repeat the last step before each key frame; returns the longest time in seconds."""
    slowest = 0.0
    for frame in frame_steps(folder)[1:]:
        replay = Replay(folder)  # with nothing in memory
        began = time.perf_counter()
        for _ in replay.state(frame - 1):
            pass
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


def main() -> None:
    """Measure all engines, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--engines", default="numpy", help="engines, with commas (default: numpy)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run (default: 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs (default: 5)")
    options = parser.parse_args()
    print(f"{date.today()}  {platform.machine()}  Python {platform.python_version()}")
    print(f"{'':8}{'without':>10}{'with':>10}{'ratio':>8}{'repeated in':>13}")
    for engine in options.engines.split(","):
        config = TrainConfig.from_options(
            corpus="firstnames", preset="microgpt", engine=engine, steps=options.steps
        )
        pairs, repeated = [], []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append(cpu_seconds(config, Path(folder)))
                repeated.append(repeat_seconds(Path(folder) / "with"))
        without, recorded = (1000 * min(column) / options.steps for column in zip(*pairs))
        ratio = statistics.median(after / before for before, after in pairs)
        print(
            f"{engine:8}{without:>7.2f} ms{recorded:>7.2f} ms{ratio:>8.3f}{min(repeated):>11.2f} s"
        )


if __name__ == "__main__":
    main()

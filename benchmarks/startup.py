"""Startup time of `import anexa`, `anexa --help` and other commands.

    python benchmarks/startup.py [--runs 15]

Each command runs in a process of its own, in turn with the others. Prints the median wall-clock
time over the runs, and its ratio to `python -c pass`, the startup time of Python itself.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from datetime import date

BARE = "python -c pass"
COMMANDS = {
    BARE: ["-c", "pass"],
    "import anexa": ["-c", "import anexa"],
    "anexa --help": ["-m", "anexa", "--help"],
    "anexa train --help": ["-m", "anexa", "train", "--help"],
    "anexa --version": ["-m", "anexa", "--version"],
    "import typer": ["-c", "import typer"],
}


def seconds(arguments: list[str]) -> float:
    """Run Python to its end, and measure the wall-clock time in seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure all commands, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default: 15)")
    options = parser.parse_args()
    measured: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():
        seconds(arguments)  # warm-up: bytecode is compiled, and files are in the disk cache
    for _ in range(options.runs):
        for name, arguments in COMMANDS.items():
            measured[name].append(seconds(arguments))
    medians = {name: statistics.median(times) for name, times in measured.items()}
    print(f"{date.today()}  {platform.machine()}  Python {platform.python_version()}")
    print(f"{'':20}{'seconds':>9}{'ratio':>8}")
    for name, median in medians.items():
        print(f"{name:20}{median:>9.3f}{median / medians[BARE]:>8.1f}")


if __name__ == "__main__":
    main()

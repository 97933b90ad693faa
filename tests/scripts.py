"""Runs of the scripts in benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.process import environment
from tests.conftest import ROOT


def benchmark(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of benchmarks/ to its end, or for at most four minutes."""
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / name, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )

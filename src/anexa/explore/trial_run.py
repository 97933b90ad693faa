"""A training of a few seconds on first names, which the page of `anexa explore` offers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, one_line
from anexa.training.history import read_records
from anexa.training.metrics import METRICS_PATH, read_metrics
from anexa.training.presets import PRESETS

TRIAL_PRESET = "microgpt"  # preset of the run, in `PRESETS`
TRIAL_STEPS = int(PRESETS[TRIAL_PRESET]["steps"])  # number of training steps
# Arguments of `anexa`, without `--out`. The engine is `numpy`, which starts at once; PyTorch takes
# seconds to load.
TRIAL_ARGUMENTS = (
    "train",
    "firstnames",
    "--preset",
    TRIAL_PRESET,
    "--engine",
    "numpy",
    "--no-chat",
)
# Command that trains the same model, into a folder that stays.
TRIAL_COMMAND = " ".join(("anexa", *TRIAL_ARGUMENTS, "--out names"))
POLL_SECONDS = 0.1  # time between two reads of the run's records


def train_trial_run(folder: Path) -> Generator[dict[str, Any], None, Path]:
    """Train a model on the names that come with Anexa, in a process of its own.

    Args:
        folder: model folder to write; must not exist.

    Yields:
        Every `POLL_SECONDS` seconds what is new: `records`, the fields of each `StepRecord`, and
        `samples`, the fields of each `Sample`; both may be empty.

    Returns:
        The folder, as the generator's return value. Closing the generator stops the training.

    Raises:
        AnexaError: if the training fails, or what it has recorded is damaged.
    """
    command = [sys.executable, "-m", "anexa", *TRIAL_ARGUMENTS, "--out", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            shown = (0, 0)
            running = True
            while running:
                running = process.poll() is None
                time.sleep(POLL_SECONDS * running)
                records = read_records(folder)
                samples = read_metrics(folder)[1] if (folder / METRICS_PATH).exists() else []
                yield {
                    "records": [asdict(record) for record in records[shown[0] :]],
                    "samples": [asdict(sample) for sample in samples[shown[1] :]],
                }
                shown = len(records), len(samples)
        finally:
            process.terminate()
        assert process.stderr
        complaint = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            # The last line says what is wrong: before it, there may be warnings, or a traceback if
            # a signal ends an interpreter that is still starting.
            reason = complaint.splitlines()[-1] if complaint else f"status {process.returncode}"
            raise AnexaError(f"the training failed: {one_line(reason)}")
    return folder

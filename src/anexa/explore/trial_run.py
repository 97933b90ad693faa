"""A names run of a few seconds, which the page offers: the same training as `anexa train`."""

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

PRESET = "microgpt"  # preset of the run, in `PRESETS`
STEPS = int(PRESETS[PRESET]["steps"])  # number of training steps
# Command line of the training, without `--out`.
# NumPy's engine starts at once, and one that a user has installed may take seconds to load.
ARGUMENTS = ("train", "firstnames", "--preset", PRESET, "--engine", "numpy", "--no-chat")
COMMAND = " ".join(("anexa", *ARGUMENTS, "--out names"))  # trains the same model, and keeps it
INTERVAL = 0.1  # seconds between two looks at the run


def train_trial_run(folder: Path) -> Generator[dict[str, Any], None, Path]:
    """Train a model on the names that come with Anexa, in a process of its own.

    Args:
        folder: model folder to write; must not exist.

    Yields:
        Every `INTERVAL` seconds what is new: `records`, the fields of each `StepRecord`, and
        `samples`, the fields of each `Sample`; both may be empty.

    Returns:
        The folder, as the generator's return value. Closing the generator stops the training.

    Raises:
        AnexaError: if the training fails.
    """
    command = [sys.executable, "-m", "anexa", *ARGUMENTS, "--out", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            shown = (0, 0)
            running = True
            while running:
                running = process.poll() is None
                time.sleep(INTERVAL * running)
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
            # A signal ends an interpreter that is still starting with a traceback.
            reason = complaint.splitlines()[-1] if complaint else f"status {process.returncode}"
            raise AnexaError(f"the training failed: {one_line(reason)}")
    return folder

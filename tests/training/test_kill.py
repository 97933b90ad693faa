"""A run that is killed at any time leaves a valid checkpoint, and can be resumed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training import build_trainer, resume_trainer
from anexa.training.checkpoint import read_checkpoint
from tests.cli.process import anexa, start
from tests.training.runs import finish, settings, weights_file, write_names

OPTIONS = ["--preset", "microgpt", "--engine", "numpy", "--no-chat"]


def opens_or_is_not_there(folder: Path) -> bool:
    """Return whether the model folder exists; if so, the model and the checkpoint must open."""
    if not folder.exists():
        return False
    load_model(folder)
    read_checkpoint(folder)
    return True


def begin(folder: Path, steps: int) -> subprocess.Popen[str]:
    """Start or resume the run."""
    if folder.exists():
        return start("train", "--resume", folder.name, "--no-chat", cwd=folder.parent)
    arguments = ["names.txt", *OPTIONS, "--steps", str(steps), "--out", folder.name]
    return start("train", *arguments, cwd=folder.parent)


@pytest.mark.parametrize(
    ("kills", "steps"), [(4, 400), pytest.param(25, 6000, marks=pytest.mark.slow)]
)
def test_a_killed_run_can_be_resumed(kills: int, steps: int, tmp_path: Path) -> None:
    rng = random.Random(kills)
    write_names(tmp_path)
    arguments = ["names.txt", *OPTIONS, "--steps", str(steps), "--out", "whole"]
    began = time.perf_counter()
    assert anexa("train", *arguments, cwd=tmp_path).returncode == 0
    whole_seconds = time.perf_counter() - began
    folder = tmp_path / "m"
    killed, opened = 0, 0
    while killed < kills:
        with begin(folder, steps) as process:
            # From before there is a folder to well into the training, wherever it goes on; at
            # least once after there is one.
            while killed == 0 and process.poll() is None and not folder.exists():
                time.sleep(0.002)
            deadline = time.perf_counter() + rng.uniform(0, 0.6 * whole_seconds)
            while process.poll() is None and time.perf_counter() < deadline:
                time.sleep(0.002)
            process.kill()
            killed += 1
            process.communicate()
        opened += opens_or_is_not_there(folder)
        if process.returncode >= 0:  # it was faster than that: begin again
            assert weights_file(folder) == weights_file(tmp_path / "whole")
            folder.rename(tmp_path / f"finished-{killed}")
    assert opened
    with begin(folder, steps) as process:
        _, error = process.communicate()
    # Killed after its last checkpoint, a run is finished.
    assert (process.returncode, error) == (0, "") or "is finished" in error
    assert weights_file(folder) == weights_file(tmp_path / "whole")


@pytest.mark.skipif(
    sys.platform == "win32", reason="on Windows a file that is being read cannot be replaced"
)
def test_a_model_in_training_can_be_opened_at_any_time(tmp_path: Path) -> None:
    write_names(tmp_path)
    folder = tmp_path / "m"
    versions = set()
    with begin(folder, 400) as process:
        while process.poll() is None:
            if opens_or_is_not_there(folder):
                versions.add(weights_file(folder))
        assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert len(versions) > 1


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    write_names(tmp_path)
    run = build_trainer(settings(tmp_path / "names.txt", steps=20), tmp_path / "m")
    for step in run:
        run.stopping = step.step == 5
    left = [run.folder / ".anexa-abc", run.folder / "training" / ".anexa-def"]
    for part in left:
        part.write_bytes(b"half of a file")
    finish(resume_trainer(run.folder))
    assert not any(part.exists() for part in left)
    assert opens_or_is_not_there(run.folder)

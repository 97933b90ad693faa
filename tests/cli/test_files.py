"""Files that cannot be written or read, as a user meets them."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import initial_weights
from anexa.training.loss_plot import LOSS_PLOT_PATH
from anexa.training.metrics import METRICS_PATH
from tests.cli.process import (
    ANEXA,
    GENERATE,
    TRAIN,
    anexa,
    listing,
    one_sentence,
    posix,
    run,
    start,
)
from tests.training.runs import weights_file

# A full disk, and a folder that may not be written


def with_files_up_to(size: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `anexa` where no file can grow beyond `size` bytes: as on a full disk, a write fails."""
    script = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
sys.argv[0] = "anexa"
runpy.run_module("anexa", run_name="__main__")
"""
    return run([sys.executable, "-B", "-c", script, *arguments], cwd=cwd)


@posix
@pytest.mark.parametrize("size", [0, 100, 2000, 10_000])
def test_full_disk_at_the_start_leaves_nothing(size: int, place: Path) -> None:
    before = listing(place)
    result = with_files_up_to(size, *TRAIN.split(), cwd=place)
    assert "cannot write new" in one_sentence(result)
    assert result.returncode == 1
    assert listing(place) == before


@posix
def test_full_disk_later_leaves_the_last_checkpoint(place: Path) -> None:
    # The first state is of the weights alone; with the moments it is three times that.
    assert anexa(*TRAIN.replace("new", "whole").split(), cwd=place).returncode == 0
    result = with_files_up_to(30_000, *TRAIN.split(), cwd=place)
    assert "cannot write" in one_sentence(result)
    assert "state.safetensors" in result.stderr
    assert result.returncode == 1
    new = place / "new"
    load_model(new)
    whole = set(listing(place / "whole"))
    assert whole - set(listing(new)) <= {str(METRICS_PATH), str(LOSS_PLOT_PATH)}, (
        "written after the first checkpoint"
    )
    assert set(listing(new)) <= whole
    assert anexa("train", "--resume", "new", cwd=place).returncode == 0
    assert weights_file(new) == weights_file(place / "whole")


def unprivileged() -> list[str]:
    """Return a command prefix that drops the privileges of root; skips if there is none."""
    if os.getuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("permissions do not bind root, and there is no setpriv")
    caps = "-dac_override,-dac_read_search"
    return [setpriv, f"--bounding-set={caps}", f"--inh-caps={caps}"]


def run_unprivileged(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run([*unprivileged(), *ANEXA, *arguments], cwd=cwd)


@posix
def test_folder_without_write_permission(place: Path) -> None:
    locked = place / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    before = listing(place)
    for out in ("locked/new", "locked/deeper/new"):
        command = TRAIN.replace("--out new", f"--out {out}")
        result = run_unprivileged(*command.split(), cwd=place)
        assert f"cannot write {out}: Permission denied" in one_sentence(result)
        assert result.returncode == 1
        assert listing(place) == before


@posix
def test_files_without_read_permission(place: Path) -> None:
    for name, command in (
        ("names.txt", TRAIN),
        ("model/config.json", GENERATE),
        ("model/model.safetensors", GENERATE),
    ):
        path = place / name
        path.chmod(0)
        result = run_unprivileged(*command.split(), cwd=place)
        path.chmod(0o644)
        assert f"cannot read {name}: Permission denied" in one_sentence(result)
        assert result.returncode == 1


@posix
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    command = shlex.join([*ANEXA, "export", "--to", "folder", "--out", "mine"])
    result = run(["sh", "-c", f"umask 077; {command}"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for path in (tmp_path / "mine", *(tmp_path / "mine").iterdir()):
        assert path.stat().st_mode & 0o077 == 0


@posix
def test_terminated_export_leaves_no_files(tmp_path: Path) -> None:
    """By SIGTERM, in the middle of a file that takes a second to write."""
    config = ModelConfig("llama", 2000, 64, 256, 4, 2)
    weights = initial_weights(config, random.Random(0))
    letters = Tokenizer.from_characters(["abc"], adds_bos=True)
    create_folder(tmp_path / "large", Model(config, weights, letters), "")
    with start("export", "large", "--to", "json", "--out", "m.json", cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not [*tmp_path.glob(".anexa-*")]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["large"]

"""Runs that start from a model, as commands: killed, in two processes, by time and by loss."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training.checkpoint import CHECKPOINT_PATH, read_checkpoint
from tests.cli.process import anexa, start
from tests.engines.helpers import assert_close
from tests.training.runs import weights_file

TEXT = "The quick brown fox jumps over the lazy dog. The rat, which is under the mat, is lazy too. "
BASE = "text.txt --preset=microgpt --engine=numpy --layout=text --steps=5 --out=base --no-chat"


@pytest.fixture(scope="module")
def text_and_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a text, and a model of 4,192 parameters and some more; tests copy it."""
    place = tmp_path_factory.mktemp("finetune")
    (place / "text.txt").write_text(TEXT * 20, encoding="utf-8")
    assert anexa("train", *BASE.split(), cwd=place).returncode == 0
    return place


@pytest.fixture
def folder(text_and_base: Path, tmp_path: Path) -> Path:
    """A copy of `text_and_base`, which a test may change."""
    return shutil.copytree(text_and_base, tmp_path / "copy")


def train(*arguments: str, cwd: Path) -> str:
    """Continue the model; returns what is printed."""
    result = anexa("train", "text.txt", "--from=base", *arguments, "--no-chat", cwd=cwd)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.slow
def test_killed_run_is_resumed_to_the_bit_without_its_base(folder: Path) -> None:
    options = ["--engine=numpy", "--steps=200", "--batch-size=2", "--evaluations=20"]
    train(*options, "--out=whole", cwd=folder)
    for kills in range(2):
        again = ["--resume=m"] if kills else ["text.txt", "--from=base", *options, "--out=m"]
        before = read_checkpoint(folder / "m").state.step if kills else -1
        with start("train", *again, "--no-chat", cwd=folder) as process:
            while process.poll() is None and not _is_ahead(folder / "m", before):
                pass
            process.kill()
            process.communicate()
        load_model(folder / "m")
        if not kills:
            (folder / "base").rename(folder / "gone")
    resumed = anexa("train", "--resume=m", "--no-chat", cwd=folder)
    assert resumed.returncode == 0 or "is finished" in resumed.stderr
    assert weights_file(folder / "m") == weights_file(folder / "whole")
    one, other = (read_checkpoint(folder / name) for name in ("m", "whole"))
    assert one.base == other.base
    assert [e.general_loss for e in one.state.evaluations] == [
        e.general_loss for e in other.state.evaluations
    ]


def _is_ahead(folder: Path, step: int) -> bool:
    return (folder / CHECKPOINT_PATH).exists() and read_checkpoint(folder).state.step > step


def test_json_has_the_losses_before_and_after(folder: Path) -> None:
    lines = train("--engine=numpy", "--until-loss=100", "--steps=40", "--json", cwd=folder)
    begin, *_, end = map(json.loads, lines.splitlines())
    assert begin["config"]["finetune"]["from"] == str(folder / "base")
    assert begin["config"]["model"]["n_embd"] == 16
    assert [change["text"][:8] for change in end["losses"]] == ["your val", "general "]
    assert all(change["after"] is not None for change in end["losses"])
    assert end["step"] < 40, "the loss to stop at was reached at the first evaluation"


def test_minutes_end_a_run(folder: Path) -> None:
    output = train("--engine=numpy", "--minutes=0.02", cwd=folder)
    assert "done: " in output
    assert "loss on your validation text        " in output
    assert "loss on general text (python-docs)  " in output


def test_folder_of_a_running_run_is_no_model_to_resume_into(folder: Path) -> None:
    result = anexa("train", "text.txt", "--from=base", "--out=base", cwd=folder)
    assert result.returncode == 1
    assert "base exists already: choose another folder with --out" in result.stderr


@pytest.mark.slow
@pytest.mark.alone
def test_two_processes_continue_a_model_as_one_does(folder: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.training.test_processes import losses, torchrun

    options = ["--engine=torch", "--device=cpu", "--dtype=float32", "--batch-size=4", "--steps=20"]
    train(*options, "--out=one", cwd=folder)
    output = torchrun("text.txt", "--from=base", *options, "--no-chat", "--out=two", cwd=folder)
    assert output.count("loss on your validation text") == 1, "one process speaks"
    assert losses(folder / "two") == pytest.approx(losses(folder / "one"), rel=1e-6)
    one, two = (load_model(folder / name).weights for name in ("one", "two"))
    assert_close(two, one, bound=1e-4)
    shutil.rmtree(folder / "base")
    torchrun("--resume=two", "--steps=30", "--no-chat", cwd=folder)

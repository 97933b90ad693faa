"""What a command reports is what is on disk, and the commands that it advises work."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from anexa.engines import open_engine
from anexa.model.loading import load_model
from anexa.model.tensors import read_metadata
from anexa.training import build_trainer, resume_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH, read_checkpoint
from anexa.training.evaluation import mean_loss
from tests.cli.process import anexa, lines_until, start
from tests.training.runs import settings, stop_after, write_names

QUICK = ["--preset", "microgpt", "--engine", "numpy", "--no-chat"]


def advised(text: str) -> list[str]:
    """Return the arguments of the last command that an output advises."""
    *_, command = re.findall(r"(anexa [a-z]+ [^\n]*)$", text.strip(), re.MULTILINE)
    program, *arguments = shlex.split(command[command.rindex("anexa ") :])
    assert program == "anexa"
    return arguments


def loss_of(folder: Path) -> float:
    """Compute the validation loss of the weights in a model folder."""
    longer = {"steps": 2 * (read_checkpoint(folder).config.schedule.steps or 0)}
    finished = read_checkpoint(folder).state.progress >= 1
    run = resume_trainer(folder, longer if finished else None)
    model = load_model(folder)
    engine = open_engine("numpy", model.config, model.weights)
    return mean_loss(engine, run.validation, run.config.run.batch_size)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Folder with a corpus so small that a model soon knows its training part by heart."""
    write_names(tmp_path)
    return tmp_path


def train(place: Path, *options: str, out: str = "a model") -> Sequence[str]:
    result = anexa("train", "names.txt", *QUICK, *options, "--out", out, cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_the_end_of_a_training_is_that_of_the_folder(place: Path) -> None:
    done, advice, _ = train(place, "--steps", "200")[-3:]
    folder = place / "a model"
    state = read_checkpoint(folder).state
    found = re.fullmatch(
        r"done: 200 steps, ([\d,]+) tokens in \d:\d\d, validation loss ([\d.]+), of the weights "
        r"of step (\d+), which are kept",
        done,
    )
    assert found, "the loss rises towards the end, or this test shows nothing"
    tokens, loss, step = found.groups()
    assert int(tokens.replace(",", "")) == state.tokens
    assert (
        loss
        == f"{loss_of(folder):.4f}"
        == f"{min(e.validation_loss for e in state.evaluations):.4f}"
    )
    assert [f"{e.validation_loss:.4f}" for e in state.evaluations if e.step == int(step)] == [loss]
    card = (folder / "README.md").read_text("utf-8")
    assert f"| weights | of step {step}, with the lowest validation loss: {loss} |" in card
    kept = json.loads(read_metadata(folder / CHECKPOINT_PATH)["run"])["kept"]
    assert (kept["step"], f"{kept['validation_loss']:.4f}") == (int(step), loss)
    assert anexa(*advised(advice), cwd=place, text="a\nquit\n").returncode == 0


def test_the_end_in_json_is_that_of_the_folder(place: Path) -> None:
    *_, end = map(json.loads, train(place, "--steps", "200", "--json"))
    assert end["validation_loss"] == pytest.approx(loss_of(place / "a model"), abs=1e-6)
    assert end["kept_step"] < end["step"] == 200


def test_the_advice_of_a_finished_run_lengthens_it(place: Path) -> None:
    train(place, "--steps", "3")
    refused = anexa("train", "--resume", "a model", "--no-chat", cwd=place)
    assert refused.returncode == 1
    arguments = advised(refused.stderr)
    assert arguments == ["train", "--resume", "a model", "--steps", "6"]
    result = anexa(*arguments, cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    assert "resuming after step 3\nlengthened from --steps 3 to 6: " in result.stdout
    assert "a learning rate of 0.005\n" in result.stdout
    assert "\ndone: 6 steps, " in result.stdout
    card = (place / "a model" / "README.md").read_text("utf-8")
    commands = re.findall("^anexa train .*$", card, re.MULTILINE)
    for command in commands:
        repeated = shlex.split(command.replace("FOLDER", "again"))[1:]
        out = [] if "--resume" in repeated else ["--out", "again"]
        assert anexa(*repeated, *out, "--no-chat", cwd=place).returncode == 0
    weights = [(place / name / "model.safetensors").read_bytes() for name in ("a model", "again")]
    assert weights[0] == weights[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.parametrize("mark", ["seed 42", " 20% · "])
def test_the_advice_of_a_stopped_run_resumes_it(mark: str, place: Path) -> None:
    arguments = ["names.txt", *QUICK, "--steps", "1000", "--out", "a model"]
    with start("train", *arguments, cwd=place) as process:
        lines_until(process, mark)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    found = re.search(r"the model has the weights of step ([\d,]+), (.*)\nstopped after", output)
    assert found
    step, loss = read_checkpoint(place / "a model").state.kept_step_and_loss
    assert found[1] == f"{step:,}"
    expected = (
        "not evaluated yet" if loss is None else f"validation loss {loss_of(place / 'a model'):.4f}"
    )
    assert found[2] == expected
    assert anexa(*advised(output), cwd=place).returncode == 0
    assert read_checkpoint(place / "a model").state.progress == 1


@pytest.mark.parametrize(
    ("steps", "learned"),
    [
        (0, "weights that have learned nothing yet"),
        (1, "the weights of step 1, which no evaluation has seen yet"),
        (15, "its best weights so far"),
    ],
)
def test_the_advice_about_an_unfinished_model_resumes_it(
    steps: int, learned: str, place: Path
) -> None:
    run = build_trainer(settings(place / "names.txt"), place / "a model")
    stop_after(run, steps)
    result = anexa("export", "a model", "--to", "json", "--out", "a.json", cwd=place)
    found = re.search(r"\(resume it with anexa (.*)\): these are (.*)\n", result.stderr)
    assert found, result.stderr
    assert found[2] == learned
    assert anexa(*shlex.split(found[1]), "--no-chat", cwd=place).returncode == 0
    result = anexa("export", "a model", "--to", "json", "--out", "b.json", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_advice_about_a_folder_that_exists_resumes_its_run(place: Path) -> None:
    stop_after(build_trainer(settings(place / "names.txt"), place / "a model"), 3)
    result = anexa("train", "names.txt", *QUICK, "--out", "a model", cwd=place)
    assert result.returncode == 1
    _, _, option = result.stderr.partition("or resume its run with ")
    assert anexa("train", *shlex.split(option), "--no-chat", cwd=place).returncode == 0
    assert read_checkpoint(place / "a model").state.progress == 1

from __future__ import annotations

import json
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from anexa.model.loading import load_model
from anexa.training import build_trainer
from anexa.training.checkpoint import read_checkpoint, read_train_config
from anexa.training.config_file import CONFIG_PATH
from anexa.training.loss_plot import LOSS_PLOT_PATH, has_matplotlib
from anexa.training.metrics import read_metrics
from tests.cli.process import anexa, lines_until, listing, one_sentence, start
from tests.training.runs import settings, weights_file, write_names

QUICK = ["--preset", "microgpt", "--engine", "numpy"]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return write_names(tmp_path)


def test_plain_text_reports_start_evaluations_and_end(names: Path) -> None:
    result = anexa("train", "names.txt", *QUICK, "--steps", "20", cwd=names.parent)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout
    lines = result.stdout.splitlines()
    assert re.fullmatch(
        r"corpus names\.txt · microgpt with 3,\d{3} parameters, vocabulary 1\d, context 16 · "
        r"numpy on cpu, float32 · up to 16 tokens per step · 20 steps, about \d:\d\d · seed 42",
        lines[0],
    )
    evaluations = [line for line in lines if "validation" in line and line[3] == "%"]
    assert [line[:4] for line in evaluations] == [f"{share:3}%" for share in range(10, 101, 10)]
    assert re.fullmatch(r"done: 20 steps, \d+ tokens in 0:\d\d, validation loss .*", lines[-3])
    folder = Path("models", "names-microgpt")
    assert lines[-2:] == [
        f"talk to it:    anexa chat {folder}",
        f"look inside:   anexa explore {folder}",
    ]
    assert load_model(names.parent / "models" / "names-microgpt")


def test_samples_are_logged_and_losses_plotted(names: Path) -> None:
    arguments = ["names.txt", *QUICK, "--steps", "20", "--out", "m", "--json"]
    result = anexa("train", *arguments, cwd=names.parent)
    assert (result.returncode, result.stderr) == (0, "")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    records, samples = read_metrics(names.parent / "m")
    written = [(event["step"], event["sample"]) for event in events if "sample" in event]
    assert [(sample.step, sample.text) for sample in samples] == written
    assert [s for s, _ in written] == [r.step for r in records if r.validation_loss is not None]
    if has_matplotlib():
        assert (names.parent / "m" / LOSS_PLOT_PATH).read_bytes().startswith(b"\x89PNG")
    else:
        assert not (names.parent / "m" / LOSS_PLOT_PATH).exists()


def test_second_run_gets_a_numbered_folder(names: Path) -> None:
    for folder in ("names-microgpt", "names-microgpt-2", "names-microgpt-3"):
        result = anexa("train", "names.txt", *QUICK, "--steps", "1", cwd=names.parent)
        assert result.returncode == 0
        assert (names.parent / "models" / folder / "model.safetensors").exists()


def test_standard_input_can_be_the_corpus(names: Path) -> None:
    for corpus, text, out in (("names.txt", "", "a"), ("-", names.read_text("utf-8"), "b")):
        options = [*QUICK, "--steps", "5", "--out", out]
        result = anexa("train", corpus, *options, cwd=names.parent, text=text)
        assert result.returncode == 0, result.stderr
    assert weights_file(names.parent / "a") == weights_file(names.parent / "b")


def test_patterns_of_files_may_be_given_several_times(names: Path) -> None:
    notes = names.parent / "notes"
    notes.mkdir()
    for name in ("a.log", "b.md", "c.txt"):
        (notes / name).write_text(f"the text of {name}", "utf-8")
    options = ["--include", "*.log", "--include", "*.md", "--field", "body"]
    result = anexa("train", "notes", *options, cwd=names.parent)
    assert result.returncode == 2
    assert "--field 'body' has no effect: notes has no file with rows" in one_sentence(result)


def test_json_output_is_one_object_a_line(names: Path) -> None:
    arguments = ["names.txt", *QUICK, "--steps", "20", "--out", "m", "--json"]
    result = anexa("train", *arguments, cwd=names.parent)
    assert (result.returncode, result.stderr) == (0, "")
    begin, *evaluations, end = map(json.loads, result.stdout.splitlines())
    assert begin["event"] == "begin"
    assert begin["folder"] == end["folder"] == "m"
    assert begin["step"] == 0
    assert begin["config"]["schedule"]["steps"] == 20
    assert [e["event"] for e in evaluations] == ["evaluation"] * 10
    assert [e["step"] for e in evaluations] == list(range(2, 21, 2))
    assert all(e["train_loss"] > 0 and isinstance(e["sample"], str) for e in evaluations)
    assert end["event"] == "end"
    best = min(evaluations, key=lambda event: event["validation_loss"])
    assert end["step"] == 20
    assert (end["kept_step"], end["validation_loss"]) == (best["step"], best["validation_loss"])


def test_the_configuration_in_its_folder_repeats_a_run(names: Path) -> None:
    options = [*QUICK, "--steps", "5", "--beta1", "0.7", "--grad-clip", "0.5", "--no-chat"]
    file = Path("a", "training", "config.toml")
    for arguments in (
        ["names.txt", *options, "--out", "a"],
        ["--config", str(file), "--out", "b"],
        ["--config", str(file), "--seed", "7", "--out", "c"],
    ):
        result = anexa("train", *arguments, cwd=names.parent)
        assert (result.returncode, result.stderr) == (0, "")
    a, b, c = (names.parent / name for name in "abc")
    assert weights_file(a) == weights_file(b) != weights_file(c)
    assert (a / CONFIG_PATH).read_bytes() == (b / CONFIG_PATH).read_bytes()
    assert read_train_config(c) == read_train_config(a).replace(seed=7)


def test_mistake_in_a_config_file_is_one_sentence(names: Path) -> None:
    (names.parent / "run.toml").write_text("[optimizer]\nlr = 1.0\n", encoding="utf-8")
    result = anexa("train", "--config", "run.toml", cwd=names.parent)
    assert result.returncode == 2
    assert result.stderr.startswith("anexa: run.toml: [optimizer] has no key 'lr': choose one of ")
    assert not (names.parent / "models").exists()


@pytest.fixture(scope="module")
def weights_after_1000_steps(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights file of an uninterrupted run."""
    names = write_names(tmp_path_factory.mktemp("whole"))
    arguments = ["names.txt", *QUICK, "--steps", "1000", "--out", "whole", "--no-chat"]
    assert anexa("train", *arguments, cwd=names.parent).returncode == 0
    return weights_file(names.parent / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_and_saves_the_run(
    name: str, names: Path, weights_after_1000_steps: bytes
) -> None:
    number = signal.Signals[name]
    arguments = ["names.txt", *QUICK, "--steps", "1000", "--out", "m"]
    with start("train", *arguments, cwd=names.parent) as process:
        lines_until(process, " 10% · step 100 ")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert stderr == ""
    [stopped, next_command] = stdout.splitlines()[-2:]
    [step] = re.findall(r"^stopped after step ([\d,]+) and saved$", stopped)
    assert 100 <= int(step.replace(",", "")) < 1000
    program, *arguments = next_command.removeprefix("resume it:").split()
    assert (program, arguments) == ("anexa", ["train", "--resume", "m"])
    result = anexa(*arguments, cwd=names.parent)
    assert result.returncode == 0
    assert f"resuming after step {step}\n" in result.stdout
    assert weights_file(names.parent / "m") == weights_after_1000_steps


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
def test_a_signal_is_reported_in_json(names: Path) -> None:
    arguments = ["names.txt", *QUICK, "--steps", "100000", "--out", "m", "--json"]
    with start("train", *arguments, cwd=names.parent) as process:
        lines_until(process, '"begin"')
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (143, "")
    assert json.loads(stdout.splitlines()[-1])["event"] == "stopped"


def test_finished_run_is_not_resumed_at_its_own_length(names_model: Path, tmp_path: Path) -> None:
    before = listing(names_model)
    result = anexa("train", "--resume", names_model, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        f"anexa: the training in {names_model} is finished after --steps 300: lengthen it with "
        f"anexa train --resume {names_model} --steps 600\n"
    )
    assert listing(names_model) == before


def test_a_resumed_run_keeps_its_engine_and_device(
    names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = names.parent / "m"
    run = build_trainer(settings(names, device="cpu", steps=3), folder)
    run.stopping = True
    assert list(run) == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = anexa("train", "--resume", "m", cwd=names.parent)
    assert "several processes need --engine torch, not numpy" in result.stderr
    monkeypatch.delenv("WORLD_SIZE")
    assert anexa("train", "--resume", "m", "--no-chat", cwd=names.parent).returncode == 0
    assert read_checkpoint(folder).state.step == 3
    assert read_checkpoint(folder).config.device.device == "cpu"


@pytest.mark.slow
def test_minutes_are_wall_clock_minutes(names: Path) -> None:
    """A run is timed by the wall clock; `test_trainer.py` tests how long it is by its timer."""
    began = time.perf_counter()
    command = ["train", "names.txt", *QUICK, "--minutes", "0.1", "--out", "m"]
    assert anexa(*command, cwd=names.parent).returncode == 0
    seconds = time.perf_counter() - began
    # The last of the 6 seconds are for an evaluation, which may take less or more than planned.
    assert 4 < read_checkpoint(names.parent / "m").state.seconds < min(seconds, 12)

"""`anexa runs` and `anexa compare`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from anexa.training import build_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH
from anexa.training.lock import TrainingLock
from anexa.training.loss_plot import has_matplotlib
from anexa.training.summary import summarize
from tests.cli.process import anexa, listing
from tests.training.metrics import history, write_metrics
from tests.training.runs import finish, settings, write_names


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trainings: `a`, `b` with other settings, `c` of other text, and `d`, stopped."""
    place = tmp_path_factory.mktemp("runs")
    models, corpus = place / "models", write_names(place)
    other = place / "other.txt"
    other.write_text(corpus.read_text("utf-8").replace("nn", "xy"), "utf-8")
    finish(build_trainer(settings(corpus), models / "a"))
    finish(build_trainer(settings(corpus, learning_rate=0.02, batch_size=2), models / "b"))
    finish(build_trainer(settings(other), models / "c"))
    stopped = build_trainer(settings(corpus, steps=100), models / "d")
    for step in stopped:
        stopped.stopping = step.step == 25
    for seed, name in enumerate("abcd"):
        write_metrics(models / name, *history(20 + 100 * seed, seed=seed))
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """Copy of the trainings that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "place"))


def cells(table: str) -> dict[str, list[str]]:
    """Parse a table; returns each row by its first cell."""
    rows = [re.split(" {2,}", line.strip()) for line in table.splitlines() if line.strip()]
    return {first: rest for first, *rest in rows}


def test_runs_are_listed_with_their_state(place: Path) -> None:
    (place / "models" / "no model").mkdir()
    long = place / "models" / ("a long name " * 8).strip()
    shutil.copytree(place / "models" / "d", long)
    (place / "models" / ".d.aside").mkdir()
    (place / "models" / ".d.aside" / "config.json").touch()
    (place / "models" / "file").touch()
    with TrainingLock(place / "models" / "c"):
        result = anexa("runs", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    rows = cells(result.stdout)
    assert rows["model"] == ["corpus", "parameters", "steps", "best loss", "state"]
    found = {name: summarize(place / "models" / name) for name in "abcd"}
    losses = {name: f"{summary.best_loss:.4f}" for name, summary in found.items()}
    sizes = {name: f"{summary.parameters:,}" for name, summary in found.items()}
    assert list(rows)[1:] == [str(Path("models", name)) for name in ("a", long.name, *"bcd")]
    assert list(rows.values())[1:] == [
        ["names.txt", sizes["a"], "20", losses["a"], "done"],
        ["names.txt", sizes["d"], "25", losses["d"], "stopped"],
        ["names.txt", sizes["b"], "20", losses["b"], "done"],
        ["other.txt", sizes["c"], "20", losses["c"], "running"],
        ["names.txt", sizes["d"], "25", losses["d"], "stopped"],
    ]
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_a_model_folder_is_a_list_of_one(place: Path) -> None:
    assert len(cells(anexa("runs", "models/b", cwd=place).stdout)) == 2


def test_runs_are_printed_as_json(place: Path) -> None:
    shutil.rmtree(place / "models" / "b" / "training")
    (place / "models" / "c" / "config.json").write_text("{")
    result = anexa("runs", "models", "--json", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    a, b, c, d = json.loads(result.stdout)
    summary = summarize(place / "models" / "a")
    assert a["folder"] == str(Path("models", "a"))
    assert (a["state"], a["corpus"], a["step"]) == ("done", "names.txt", 20)
    assert (a["best_loss"], a["last_loss"]) == (summary.best_loss, summary.last_loss)
    assert (a["tokens"], a["seconds"]) == (summary.tokens, summary.seconds)
    assert a["config"]["optimizer"]["learning_rate"] == 0.01
    assert (b["state"], b["step"], b["parameters"]) == (None, None, summary.parameters)
    assert set(c) == {"folder", "error"}
    assert "config.json is damaged" in c["error"]
    assert d["state"] == "stopped"


def test_damaged_folders_have_a_row(place: Path) -> None:
    models = place / "models"
    (models / "a" / "config.json").write_text("{")
    (models / "b" / "config.json").unlink()
    (models / "c" / CHECKPOINT_PATH).write_bytes(b"GGUF" * 99)
    shutil.rmtree(models / "d" / "training")
    (models / "e").mkdir()
    (models / "e" / "config.json").write_text('{"model_type": "bert"}')
    result = anexa("runs", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    table, _, sentences = result.stdout.partition("\n\n")
    states = {Path(model).name: row[-1] for model, row in cells(table).items()}
    wrong = dict.fromkeys("abce", "cannot be used")
    assert states == {"model": "state", **wrong, "d": "not trained here"}
    lines = sentences.splitlines()
    assert len(lines) == 4
    assert "config.json is damaged" in lines[0]
    assert "it has no config.json" in lines[1]
    assert "state.safetensors is damaged" in lines[2]
    assert "'bert'" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is no folder models: train a model, or name another folder"),
        (["file"], "there is no folder file: train a model, or name another folder"),
        (["empty"], "there are no models in empty: train one, or name another folder"),
    ],
)
def test_folder_without_models_is_an_error(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "empty" / "deeper" / "still").mkdir(parents=True)
    (tmp_path / "file").touch()
    result = anexa("runs", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"anexa: {sentence}\n")


def test_compare_shows_the_options_that_differ(place: Path) -> None:
    result = anexa("compare", "models/a", "models/b", "models/d", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    rows = cells(result.stdout)
    a, b, d = (summarize(place / "models" / name) for name in "abd")
    assert rows["corpus"] == ["names.txt"] * 3
    assert rows["steps"] == ["20", "20", "25"]
    assert rows["tokens"] == [f"{run.tokens:,}" for run in (a, b, d)]
    assert rows["best loss"] == [f"{run.best_loss:.4f}" for run in (a, b, d)]
    assert rows["best step"] == [f"{run.best_step:,}" for run in (a, b, d)]
    assert rows["last loss"] == [f"{run.last_loss:.4f}" for run in (a, b, d)]
    assert rows["state"] == ["done", "done", "stopped"]
    settings = {name: values for name, values in rows.items() if name.startswith("--")}
    assert settings == {
        "--steps": ["20", "20", "100"],
        "--batch-size": ["1", "2", "1"],
        "--learning-rate": ["0.01", "0.02", "0.01"],
    }


def test_compare_prints_json(place: Path) -> None:
    result = anexa("compare", "models/a", "models/b", "--json", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert [run["folder"] for run in report["runs"]] == [str(Path("models", name)) for name in "ab"]
    assert report["differing"] == {"batch_size": [1, 2], "learning_rate": [0.01, 0.02]}
    assert report["comparable"] is True


def test_compare_warns_of_incomparable_losses(place: Path) -> None:
    note = "note: the losses do not compare: {} differ\n"
    result = anexa("compare", "models/a", "models/c", cwd=place)
    assert result.returncode == 0
    assert result.stderr == note.format("corpora and tokenizers")
    assert cells(result.stdout)["corpus"] == ["names.txt", "other.txt"]
    assert "--corpus" not in cells(result.stdout)
    shutil.copy(place / "models" / "a" / "tokenizer.json", place / "models" / "c")
    result = anexa("compare", "models/a", "models/c", "--json", cwd=place)
    assert result.stderr == note.format("corpora")
    assert json.loads(result.stdout)["comparable"] is False
    tokenizer = place / "models" / "b" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text("utf-8") + "\n", "utf-8")
    result = anexa("compare", "models/a", "models/b", cwd=place)
    assert result.stderr == note.format("tokenizers")


@pytest.mark.skipif(not has_matplotlib(), reason="matplotlib is not installed")
def test_compare_plots_the_losses(place: Path) -> None:
    Path(shutil.copytree(place / "models" / "b", place / "a"))
    result = anexa("compare", "models/a", "models/b", "--out", "ab.svg", cwd=place)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("wrote ab.svg\n")
    drawn = (place / "ab.svg").read_text("utf-8")
    assert ">a<" in drawn
    assert ">b<" in drawn
    result = anexa("compare", "models/a", "a", "--out", "aa.svg", "--json", cwd=place)
    assert json.loads(result.stdout)
    assert f">{Path('models', 'a')}<" in (place / "aa.svg").read_text("utf-8")  # told apart
    result = anexa("compare", ".", "../models/b", "--out", "../here.svg", cwd=place / "a")
    assert result.returncode == 0
    assert ">.<" in (place / "here.svg").read_text("utf-8")


@pytest.mark.skipif(has_matplotlib(), reason="matplotlib is installed")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_compare_says_that_it_cannot_plot(options: list[str], place: Path) -> None:
    result = anexa("compare", "models/a", "models/b", "--out", "ab.svg", *options, cwd=place)
    assert (result.returncode, bool(result.stdout)) == (1, True)
    assert result.stderr == "anexa: plots need matplotlib: pip install 'anexa[plot]'\n"


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ("models/a", 2, "a comparison needs two or more model folders: name another one"),
        ("models/a nowhere", 1, "nowhere is not a model folder: there is no such folder"),
        ("models/a models", 1, "models is not a model folder: it has no config.json"),
        ("models/a elsewhere", 1, "elsewhere cannot be compared: it has no metrics of a training"),
        ("models/a bare --out a.png", 1, "bare holds no metrics of a training: it has no "),
        (
            "models/a models/b --out a.txt",
            2,
            "a plot must be a .png, .svg, .pdf file, not ",
        ),
        ("models/a models/b --out no/a.png", 1, "cannot write no"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    arguments: str, status: int, sentence: str, place: Path
) -> None:
    if "no/a.png" in arguments and not has_matplotlib():
        pytest.skip("matplotlib is not installed")
    shutil.copytree(place / "models" / "b", place / "elsewhere")
    shutil.rmtree(place / "elsewhere" / "training")
    shutil.copytree(place / "models" / "b", place / "bare")
    (place / "bare" / "training" / "metrics.jsonl").unlink()
    before = listing(place)
    result = anexa("compare", *arguments.split(), cwd=place)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith(f"anexa: {sentence}")
    assert result.stderr.count("\n") == 1
    assert listing(place) == before

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from anexa.cli.graph import graph
from anexa.errors import AnexaError, UsageError
from anexa.model.architectures import get_architecture
from anexa.training.config import preset_config
from anexa.training.presets import PRESETS

app = typer.Typer()
app.command()(graph)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception:
        raise result.exception
    return result.output


def test_expression_is_drawn_as_mermaid_by_default() -> None:
    output = run("(a*b + c).relu()", "a=2", "b=-3", "c=10")
    assert "flowchart" in output
    assert "(a*b + c).relu() = 4" in output


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", "<svg"), (".mmd", "---"), (".dot", "digraph")]
)
def test_suffix_of_the_file_sets_the_format(tmp_path: Path, suffix: str, start: str) -> None:
    out = tmp_path / f"a{suffix}"
    assert str(out) in run("a + 1", "a=2", "--out", str(out)).replace("\n", "")
    assert out.read_text("utf-8").startswith(start)
    run("a + 1", "a=2", "--out", str(out), "--force", "--format", "dot")
    assert out.read_text("utf-8").startswith("digraph")


@pytest.mark.parametrize("name", PRESETS)
def test_model_folder_is_drawn(tmp_path: Path, name: str) -> None:
    config = preset_config(name).model.to_config(27)
    (tmp_path / "config.json").write_text(json.dumps(get_architecture(config).to_json(config)))
    assert "cross_entropy" in run(str(tmp_path), "--format", "dot")
    with pytest.raises(UsageError, match="has no variables"):
        run(str(tmp_path), "a=2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("a", "a=2", "--out", "picture.png"),
        ("a", "a=2", "--format", "png"),
        ("a",),
        ("a", "a"),
        ("x" * 5000,),
        ("runs/my-model",),
        ("a\0",),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*arguments)


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError):
        run(str(tmp_path))

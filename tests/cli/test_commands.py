"""All commands: help and startup; and `anexa corpora` and `anexa verify`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anexa import __version__
from anexa.data import CORPORA
from anexa.engines import installed_engines
from anexa.model.architectures import ARCHITECTURES
from tests.cli.process import anexa, environment
from tests.slowness import is_within

SAMPLING = [
    *("--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty"),
    *("--frequency-penalty", "--presence-penalty", "--max-tokens", "--seed", "--engine"),
]
OPTIONS = {
    "train": [
        "--preset",
        "--engine",
        "--steps",
        "--minutes",
        "--batch-size",
        "--learning-rate",
        "--layout",
        "--seed",
        "--out",
        "--resume",
        "--no-chat",
        "--json",
    ],
    "chat": SAMPLING,
    "generate": [
        *SAMPLING,
        *("--prompt", "--n", "--logit-bias", "--min-tokens", "--ignore-eos"),
        *("--stop", "--stop-token-id", "--json"),
    ],
    "reinforce": ["--steps", "--samples", "--learning-rate", "--out", "--seed", "--json"],
    "serve": ["--host", "--port", "--api-key", "--allow-host", "--allow-origin", "--max-num-seqs"],
    "eval": ["--problems", "--task", "--seed", "--engine", "--processes", "--json"],
    "export": ["--to", "--out", "--precision", "--force"],
    "publish": ["--private", "--license", "--dry-run"],
    "runs": ["--json"],
    "compare": ["--out", "--json"],
    "verify": ["--json"],
    "explore": ["--port"],
    "learn": ["--list", "--student", "--notebook", "--port"],
    "check": ["--student"],
    "graph": ["--format", "--out"],
    "corpora": ["--json"],
}


def test_help_names_every_command(tmp_path: Path) -> None:
    result = anexa("--help", cwd=tmp_path)
    assert result.returncode == 0
    commands = re.findall(r"^  (\w+)  +[A-Z]", result.stdout.partition("Commands:")[2], re.M)
    assert commands == [
        "train",
        "reinforce",
        "chat",
        "generate",
        "serve",
        "explore",
        "learn",
        "check",
        "eval",
        "export",
        "publish",
        "runs",
        "compare",
        "verify",
        "corpora",
        "graph",
    ]
    assert sorted(commands) == sorted(OPTIONS)
    assert "--debug" in result.stdout


@pytest.mark.parametrize("command", OPTIONS)
def test_each_command_has_help_that_names_its_options(command: str, tmp_path: Path) -> None:
    # All inherit -h but `graph`, which has settings of its own.
    for flag in ("--help", "-h") if command in ("train", "graph") else ("--help",):
        result = anexa(command, flag, cwd=tmp_path)
        assert result.returncode == 0
        assert result.stderr == ""
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", result.stdout))
        assert named >= {*OPTIONS[command], "--help"}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_training_starts_within_seconds(engine: str, tmp_path: Path) -> None:
    """Within 12 CPU seconds for the whole run; it takes about 6."""
    if engine == "torch":
        pytest.importorskip("torch")
    used = []
    for out in ("a", "b"):
        before = os.times()
        options = ["--engine", engine, "--steps", "1", "--no-chat", "--out", out]
        assert anexa("train", *options, cwd=tmp_path).returncode == 0
        after = os.times()
        used.append(sum(after[2:4]) - sum(before[2:4]))
    assert is_within(min(used), 12)


def test_version_is_printed(tmp_path: Path) -> None:
    assert anexa("--version", cwd=tmp_path).stdout == f"anexa {__version__}\n"


# What any program loads that has commands with options of every kind, and nothing of ours.
BARE = """
import sys
from pathlib import Path
from typing import Annotated, Literal
import typer

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

@app.command()
def train(
    paths: Annotated[list[Path] | None, typer.Argument()] = None,
    kind: Literal["a", "b"] = "a",
    rate: Annotated[float, typer.Option(min=0)] = 1.0,
    steps: int | None = None,
    json: bool = False,
) -> None: ...

@app.callback()
def program(context: typer.Context) -> None: ...

app(["train", "--help"] if len(sys.argv) > 2 else ["--help"], standalone_mode=False)
"""
OURS = "from anexa.cli.main import main; main()"


def loaded(program: str, *arguments: str) -> set[str]:
    """List the modules that a Python program has loaded at its end."""
    at_end = "import atexit, sys; atexit.register(lambda: print(*sys.modules, sep='\\n'))\n"
    result = subprocess.run(
        [sys.executable, "-c", at_end + program, *arguments],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert not arguments or "Usage" in result.stdout
    return set(re.findall(r"^[\w.]+$", result.stdout, re.MULTILINE))


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["serve", "--help"]])
def test_help_loads_nothing_but_the_command_line(arguments: list[str]) -> None:
    """So help appears at once: `benchmarks/startup.py` measures the seconds."""
    found = loaded(OURS, *arguments)
    assert "anexa.cli.main" in found
    more = {name.partition(".")[0] for name in found - loaded(BARE, *arguments)}
    assert more - sys.stdlib_module_names == {"anexa"}
    # The options of `train` are the fields of a run's configuration.
    needed = ("base_options", "config", "option_table", "presets", "sections", "specs")
    assert {name for name in found if name.startswith("anexa.training.")} == {
        f"anexa.training.{name}" for name in needed
    }


def test_import_loads_the_package_alone() -> None:
    more = loaded("import anexa") - loaded("import typing")
    assert more == {"anexa", "__future__"}


def test_corpora_lists_the_registry(tmp_path: Path) -> None:
    result = anexa("corpora", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert all(re.search(rf"^{name} ", result.stdout, re.M) for name in CORPORA)
    rows = json.loads(anexa("corpora", "--json", cwd=tmp_path).stdout)
    assert [row["name"] for row in rows] == list(CORPORA)
    for row in rows:
        assert set(row) == {"name", "summary", "layout", "bytes", "source", "available"}
        assert row["available"] or row["source"]


@pytest.mark.slow
def test_verify_reports_that_the_engines_agree(tmp_path: Path) -> None:
    result = anexa("verify", "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = json.loads(result.stdout)
    assert all(row["agrees"] for row in rows)
    installed = set(installed_engines())
    assert {row["engine"] for row in rows} == installed
    assert {row["model_type"] for row in rows} == set(ARCHITECTURES)


@pytest.mark.slow
def test_verify_prints_a_table(tmp_path: Path) -> None:
    result = anexa("verify", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = re.findall(r"^\w+ +(\w+) +(float\d\d) .* (\w+)$", result.stdout, re.M)
    assert {engine for engine, _, _ in rows} >= {"scalar", "lists", "numpy"}
    assert {dtype for _, dtype, _ in rows} == {"float64", "float32"}
    assert {verdict for _, _, verdict in rows} == {"agrees"}

"""What all commands have in common, and the two that only show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from anexa import __version__
from anexa.data import CORPORA
from anexa.engines import ENGINES
from anexa.model.architectures import ARCHITECTURES
from tests.cli.process import anexa, environment

SAMPLING = ["--temperature", "--top-k", "--top-p", "--max-tokens", "--seed", "--engine"]
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
    "generate": [*SAMPLING, "--prompt", "--n", "--stop", "--json"],
    "reinforce": ["--steps", "--samples", "--learning-rate", "--out", "--seed", "--json"],
    "serve": ["--host", "--port", "--api-key", "--allow-host", "--allow-origin", "--running"],
    "eval": ["--problems", "--task", "--seed", "--engine", "--processes", "--json"],
    "export": ["--to", "--out", "--precision", "--force"],
    "publish": ["--private", "--license", "--dry-run"],
    "runs": ["--json"],
    "compare": ["--out", "--json"],
    "verify": ["--json"],
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not add up its children's time")
def test_help_takes_a_moment(tmp_path: Path) -> None:
    """Of the processor, whatever else it does; measured thrice, as caches may be cold."""
    import resource

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    seconds = []
    for _ in range(3):
        before = used()
        assert anexa("--help", cwd=tmp_path).returncode == 0
        seconds.append(used() - before)
    assert min(seconds) <= 0.25


@pytest.mark.parametrize("command", OPTIONS)
def test_each_command_has_help_that_names_its_options(command: str, tmp_path: Path) -> None:
    for flag in ("--help", "-h"):
        result = anexa(command, flag, cwd=tmp_path)
        assert result.returncode == 0
        assert result.stderr == ""
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", result.stdout))
        assert named >= {*OPTIONS[command], "--help"}


def test_help_comes_at_once(tmp_path: Path) -> None:
    """Within a quarter of a second of a core, as measured; twice that where others use it."""
    used = []
    for _ in range(5):
        before = os.times()
        assert anexa("--help", cwd=tmp_path).returncode == 0
        after = os.times()
        used.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(used) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_the_first_step_comes_soon(engine: str, tmp_path: Path) -> None:
    """Within 6 seconds of a core, as measured, all that follows it included; twice that here."""
    if engine == "torch":
        pytest.importorskip("torch")
    used = []
    for out in ("a", "b"):
        before = os.times()
        options = ["--engine", engine, "--steps", "1", "--no-chat", "--out", out]
        assert anexa("train", *options, cwd=tmp_path).returncode == 0
        after = os.times()
        used.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(used) < 12


def test_version(tmp_path: Path) -> None:
    assert anexa("--version", cwd=tmp_path).stdout == f"anexa {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["generate", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = """
import atexit, sys
from anexa.cli.main import main
heavy = {"numpy", "torch", "tokenizers", "safetensors", "prompt_toolkit", "fastapi", "pooch"}
atexit.register(lambda: print("imported", sorted(heavy & set(sys.modules)), file=sys.stderr))
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "Usage" in result.stdout
    assert result.stderr == "imported []\n"


def test_corpora(tmp_path: Path) -> None:
    result = anexa("corpora", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert all(re.search(rf"^{name} ", result.stdout, re.M) for name in CORPORA)
    rows = json.loads(anexa("corpora", "--json", cwd=tmp_path).stdout)
    assert [row["name"] for row in rows] == list(CORPORA)
    for row in rows:
        assert set(row) == {"name", "summary", "layout", "bytes", "source", "here"}
        assert row["here"] or row["source"]


@pytest.mark.slow
def test_verify_says_that_the_engines_agree(tmp_path: Path) -> None:
    result = anexa("verify", "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = json.loads(result.stdout)
    assert all(row["agrees"] for row in rows)
    installed = {name for name in ENGINES if name != "torch" or find_spec("torch")}
    assert {row["engine"] for row in rows} == installed
    assert {row["model_type"] for row in rows} == set(ARCHITECTURES)


@pytest.mark.slow
def test_verify_is_a_table_too(tmp_path: Path) -> None:
    result = anexa("verify", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = re.findall(r"^\w+ +(\w+) +(float\d\d) .* (\w+)$", result.stdout, re.M)
    assert {engine for engine, _, _ in rows} >= {"scalar", "lists", "numpy"}
    assert {dtype for _, dtype, _ in rows} == {"float64", "float32"}
    assert {verdict for _, _, verdict in rows} == {"agrees"}

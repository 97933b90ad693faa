"""The README's own commands, in order, in an empty folder; only the trainings are cut short."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = "Sherlock Holmes, who was usually very late in the mornings, was seated at the table. " * 40


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the README that begins with `anexa` or `python`, as its arguments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if re.match("(anexa|python) ", line)]


def shortened(arguments: list[str]) -> list[str]:
    """The same command; a training ends after three steps."""
    if arguments[:2] == ["anexa", "train"] and "--resume" not in arguments:
        for option in ("--minutes", "--steps"):
            if option in arguments:
                at = arguments.index(option)
                del arguments[at : at + 2]
        arguments += ["--steps", "3"]
    if arguments[:2] == ["python", "microgpt.py"]:
        arguments += ["--steps", "3"]
    return arguments


@pytest.mark.slow
def test_every_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "sherlock.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "my_diary.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "names.txt").write_text("emma\nolivia\nava\n" * 5, encoding="utf-8")
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "cache"))
    names = set()
    for arguments in map(shortened, commands()):
        names.add(arguments[1])
        module = "anexa" if arguments[0] == "anexa" else str(ROOT / arguments[1])
        start = [sys.executable, "-m", module] if module == "anexa" else [sys.executable, module]
        rest = arguments[1:] if module == "anexa" else arguments[2:]
        process = subprocess.run(
            start + rest,
            cwd=tmp_path,
            input="Sherlock\nquit\n",
            capture_output=True,
            encoding="utf-8",
        )
        assert process.returncode == 0, f"{shlex.join(arguments)}\n{process.stderr}"
        assert process.stdout or "--out" in arguments, shlex.join(arguments)
    assert {"train", "chat", "generate", "verify", "graph", "microgpt.py"} <= names
    for name in ("graph.svg", "model.svg"):
        assert (tmp_path / name).read_text(encoding="utf-8").startswith("<svg")
    pytest.importorskip("transformers", reason="transformers is not installed")
    for block in blocks("py"):
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)


def test_the_figures_are_dated() -> None:
    assert re.search(r"Measured on 20\d\d-\d\d-\d\d", README)

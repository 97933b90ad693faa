"""Runs all commands of the README in order, in an empty folder, with shortened trainings."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import TEXT

README = (ROOT / "README.md").read_text(encoding="utf-8")

# What is run for each program, as a user would.
PROGRAMS = {
    "anexa": [sys.executable, "-m", "anexa"],
    "python": [sys.executable],
    "torchrun": [sys.executable, "-m", "torch.distributed.run"],
    "curl": ["curl", "--silent", "--fail"],
}
ADDRESS = "http://127.0.0.1:8000"  # of the server, in the README


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the README that begins with one of `PROGRAMS`, as its arguments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    split = (shlex.split(line, comments=True) for line in lines)
    return [arguments for arguments in split if arguments and arguments[0] in PROGRAMS]


def shortened(arguments: list[str]) -> list[str]:
    """The same command; a training ends after three steps."""
    if "train" in arguments and "--resume" not in arguments:
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
    for module in ("torch", "matplotlib", "transformers", "openai"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    from tests.explore.explorer import exploring
    from tests.server.process import serving

    shutil.copy(ROOT / "microgpt.py", tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "sherlock.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "my_diary.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "names.txt").write_text("emma\nolivia\nava\n" * 5, encoding="utf-8")
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "cache"))
    names, address = set(), ADDRESS
    with ExitStack() as servers:
        for arguments in map(shortened, commands()):
            program, *rest = (argument.replace(ADDRESS, address) for argument in arguments)
            names.add(rest[0] if program in ("anexa", "python") else program)
            if rest[0] == "serve":  # which goes on until it is stopped
                address = servers.enter_context(serving(*rest[1:], cwd=tmp_path)).address
                continue
            if rest[0] == "explore":
                servers.enter_context(exploring(*rest[1:], cwd=tmp_path))
                continue
            process = subprocess.run(
                [*PROGRAMS[program], *rest],
                cwd=tmp_path,
                input="Sherlock\nquit\n",
                capture_output=True,
                encoding="utf-8",
            )
            assert process.returncode == 0, f"{shlex.join(arguments)}\n{process.stderr}"
            assert process.stdout or "--out" in arguments, shlex.join(arguments)
        for block in blocks("py"):
            program = block.replace(ADDRESS, address)
            subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    commands_there = {
        "train",
        "chat",
        "generate",
        "verify",
        "graph",
        "runs",
        "compare",
        "serve",
        "explore",
        "export",
        "publish",
    }
    assert commands_there | {"microgpt.py", "torchrun", "curl"} <= names
    for name in ("graph.svg", "model.svg"):
        assert (tmp_path / name).read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_the_figures_are_dated() -> None:
    assert re.search(r"Measured on 20\d\d-\d\d-\d\d", README)

"""The program as a user has it: a process of its own, its streams and its exit status."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ANEXA = [sys.executable, "-m", "anexa"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows works differently here")

# In the folder `place`.
TRAIN = "train names.txt --preset microgpt --engine numpy --steps 5 --out new"
GENERATE = "generate model --engine numpy"


def environment(**more: str) -> dict[str, str]:
    """Copy the environment, without variables that change the program's output."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    }
    # One thread: models this small only wait for a second one, and on shared cores for long.
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "TERM": "xterm-256color"} | more


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    text: str = "",
    timeout: float = 120,
    errors: str = "strict",
    kind: type[subprocess.Popen[Any]] = subprocess.Popen,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `errors` says how its input `text` is encoded."""
    with kind(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors=errors,
    ) as process:
        try:
            stdout, stderr = process.communicate(text, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def anexa(
    *arguments: str | Path,
    cwd: Path,
    text: str = "",
    timeout: float = 120,
    errors: str = "strict",
) -> subprocess.CompletedProcess[str]:
    """Run `anexa` to its end; see `run`."""
    command = [*ANEXA, *map(str, arguments)]
    return run(command, cwd=cwd, text=text, timeout=timeout, errors=errors, kind=process_class())


# Arguments of this program: lists of arguments of `anexa`, as JSON.
REFUSED_ONE_BY_ONE = """
import json, sys
from anexa.cli.main import main
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        print(end.code, file=sys.stderr)
"""


def refusals(*commands: Sequence[str], cwd: Path) -> list[tuple[int, str]]:
    """Run `anexa` several times in one process, as each process would import PyTorch anew.

    Args:
        commands: arguments of each run, which must end with one line on standard error.
        cwd: current folder.

    Returns:
        For each run, its exit status and that line.
    """
    result = run([sys.executable, "-c", REFUSED_ONE_BY_ONE, json.dumps(commands)], cwd=cwd)
    lines = result.stderr.splitlines()
    assert (result.returncode, len(lines)) == (0, 2 * len(commands)), result.stderr
    return [(int(status), line) for line, status in zip(lines[::2], lines[1::2])]


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start `anexa`; the caller must end the process."""
    return process_class()(
        [*ANEXA, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def process_class() -> type[subprocess.Popen[Any]]:
    """Return the class of a process of `anexa`, whose command begins as `ANEXA`.

    On Linux, a worker of pytest-xdist forks it from a process that has the imports of all commands.
    """
    if sys.platform != "linux" or "PYTEST_XDIST_WORKER" not in os.environ:
        return subprocess.Popen
    from tests.cli.forking import ForkedProcess  # Windows has no fork

    return ForkedProcess


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def lines_until(process: subprocess.Popen[str], fragment: str) -> list[str]:
    """Read the output of a process, up to the line that contains `fragment`."""
    lines = list(_lines_until(process, fragment))
    assert lines, process.communicate()
    assert fragment in lines[-1], (lines, process.communicate())
    return lines


def _lines_until(process: subprocess.Popen[str], fragment: str) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if fragment in line:
            return


def names(folder: Path) -> list[str]:
    """Return the names of all files and folders in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def listing(folder: Path) -> dict[str, bytes | None]:
    """Read everything in a folder: the contents of files; None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    """Return the sentence of an error: one line, which begins with the program's name."""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("anexa: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    assert "internal error" not in result.stderr
    return result.stderr


def converse(
    model: Path, *lines: str, options: Sequence[str] = ()
) -> tuple[str, list[str], list[str]]:
    """Chat with a model through a pipe; returns the opening, the questions and the answers."""
    text = "".join(f"{line}\n" for line in lines)
    result = anexa("chat", model, "--engine", "numpy", *options, cwd=model.parent, text=text)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    opening, *rest = re.split(r"^Prompt: ?(.*)\n", result.stdout, flags=re.M)
    return opening, rest[::2], rest[1::2]

"""Runs of `anexa` as forks of one process that has imported what commands import.

Most commands compute for less time than those imports take. A fork is a process of its own, with
its own streams, environment, working directory and exit status. What Python and its libraries read
when they start, all forks have in common: the hash seed, UTF-8 mode, the number of threads.
"""

from __future__ import annotations

import atexit
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from unittest.mock import patch

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.cli.imports"])


def run_forked(
    arguments: Sequence[str], cwd: Path, env: dict[str, str], text: bytes, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end.

    Args:
        arguments: arguments of `anexa`.
        cwd: working directory.
        env: environment.
        text: bytes of its standard input.
        timeout: seconds after which it is killed.

    Returns:
        Exit status, standard output and standard error.

    Raises:
        subprocess.TimeoutExpired: if it was killed.
    """
    with patch.dict(os.environ, env, clear=True):
        ensure_running()
    command = ["anexa", *arguments]
    (stdin, inputs), (outputs, stdout), (errors, stderr) = (
        _context.Pipe(duplex=False) for _ in range(3)
    )
    process = _context.Process(target=_be, args=(command, cwd, env, [stdin, stdout, stderr]))
    process.start()
    for end in (stdin, stdout, stderr):
        end.close()
    with ThreadPoolExecutor(3) as pool:
        pool.submit(_write, inputs, text)
        streams = [pool.submit(_read, outputs), pool.submit(_read, errors)]
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, timeout)
    return subprocess.CompletedProcess(command, process.exitcode, *(s.result() for s in streams))


def _write(end: Connection, text: bytes) -> None:
    with end, open(end.fileno(), "wb", buffering=0, closefd=False) as file:
        file.write(text)


def _read(end: Connection) -> bytes:
    with end, open(end.fileno(), "rb", closefd=False) as file:
        return file.read()


def _be(command: list[str], cwd: Path, env: dict[str, str], streams: list[Connection]) -> None:
    """Be the command, in the fork."""
    for descriptor, stream in enumerate(streams):
        os.dup2(stream.fileno(), descriptor)
        stream.close()
    sys.stdin = open(0, errors="surrogateescape")  # noqa: SIM115
    sys.stdout = open(1, "w", errors="surrogateescape")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv, sys.path[0] = command, str(cwd)  # as `python -m` has it
    try:
        runpy.run_module("anexa", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()

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
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from typing import Any
from unittest.mock import patch

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.cli.imports"])


class ForkedProcess(subprocess.Popen[Any]):
    """A process of `anexa` that is forked; otherwise as `subprocess.Popen`."""

    def _execute_child(
        self,
        args: list[str | bytes],
        executable: Any,  # noqa: ARG002
        preexec_fn: Any,  # noqa: ARG002
        close_fds: Any,  # noqa: ARG002
        pass_fds: Any,  # noqa: ARG002
        cwd: Any,
        env: Any,
        startupinfo: Any,  # noqa: ARG002
        creationflags: Any,  # noqa: ARG002
        shell: Any,  # noqa: ARG002
        *descriptors: Any,
    ) -> None:
        """Fork the process with both ends of its pipes, or -1: input, output, errors.

        Where there is no pipe, it has a stream of this process.
        """
        with patch.dict(os.environ, env, clear=True):
            ensure_running()
        ends = (descriptors[0], descriptors[3], descriptors[5])
        streams = [
            Connection(os.dup(number if end == -1 else end)) for number, end in enumerate(ends)
        ]
        self._fork = _context.Process(target=_be, args=(args, os.fspath(cwd), env, streams))
        self._fork.start()
        for stream in streams:
            stream.close()
        assert self._fork.pid
        self.pid = self._fork.pid
        self._close_pipe_fds(*descriptors[:6])  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        self.returncode: int | Any = self._fork.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._fork.join(timeout)
        if self.poll() is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode


def _be(
    command: list[str | bytes], cwd: str, env: dict[str, str], streams: list[Connection]
) -> None:
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
    sys.argv, sys.path[0] = ["anexa", *map(os.fsdecode, command[3:])], cwd  # as `python -m` has it
    try:
        runpy.run_module("anexa", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()

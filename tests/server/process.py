"""A server for tests: `anexa serve` in a process of its own, on the local host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.cli.process import start
from tests.server.conformance import check_conformance
from tests.slowness import is_within

MESSAGES = [{"role": "user", "content": "347*86"}]
LONG = [{"role": "user", "content": "9876*5432"}]  # a thought of 400 characters

SHORT_TURN = [{"role": "user", "content": "12+30"}, {"role": "assistant", "content": "42"}]
LONG_TURN = [
    {"role": "user", "content": "123456789+987654321"},
    {"role": "assistant", "content": "1111111110"},
]
# A conversation of 60 turns and a question, which exceeds the context; the last ones fit into it.
HISTORY = [*LONG_TURN * 50, *SHORT_TURN * 10, *MESSAGES]
# As many characters as a question may have. Each digit is two tokens, with its place mark.
LONGEST = {"role": "user", "content": "1" * 1000}

# Certificates, which plain HTTP does not need, take 40 ms to load for each request.
PLAIN: Any = {"timeout": 60, "verify": False}
THOUGHT = (
    "A7B4C3*a6b8:A7*a6+0=42;A2,A7*b8+4=60,B4*a6+60=84;B4,B4*b8+8=40,C3*a6+40=58;C8,"
    "C3*b8+5=29;D9:E2D9C8B4A2"
)


@dataclass
class ServerProcess:
    """A running server and its address."""

    process: subprocess.Popen[str]
    address: str

    def get(self, path: str, **more: Any) -> Any:
        return _checked(httpx.get(self.address + path, **PLAIN, **more))

    def post(self, path: str, body: object = None, **more: Any) -> Any:
        if body is not None:
            more["json"] = body
        return _checked(httpx.post(self.address + path, **PLAIN, **more))

    def chat(self, **fields: object) -> Any:
        return self.post("/v1/chat/completions", {"messages": MESSAGES, **fields})

    @contextmanager
    def cpu_time_below(self, seconds: float) -> Iterator[None]:
        """Check that the server uses less CPU time than this within the block; on Linux only.

        Wall-clock time would depend on what else the machine does.
        """
        before = self._cpu_seconds()
        yield
        assert is_within(self._cpu_seconds() - before, seconds)

    def _cpu_seconds(self) -> float:
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """Value of a metric at /metrics, summed over its labels."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}{{"))

    def num_finished(self, reason: str) -> int:
        """Number of requests that finished as "stop", "length", or "abort": were canceled."""
        start = f'vllm:request_success_total{{finished_reason="{reason}",'
        lines = self.get("/metrics").text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(start))


def _checked(response: Any) -> Any:
    check_conformance(response)
    return response


@contextmanager
def serving(*arguments: str | Path, cwd: Path) -> Iterator[ServerProcess]:
    """Run a server with these options; it is ready when the block begins, and ends with it."""
    with start("serve", "--port", "0", *arguments, cwd=cwd) as process:
        assert process.stdout
        line = process.stdout.readline()
        match = re.fullmatch(r"serving .* at (http://\S+?)( and at .*)?\n", line)
        try:
            assert match, line + (process.stderr.read() if process.stderr else "")
            yield ServerProcess(process, match[1])
        finally:
            process.terminate()
            process.wait(timeout=30)


def streamed(server: ServerProcess, messages: object = MESSAGES, **fields: object) -> str:
    """Send a streamed chat request, and return the whole stream."""
    body = {"messages": messages, "stream": True, "temperature": 0, **fields}
    with httpx.stream(
        "POST", f"{server.address}/v1/chat/completions", json=body, **PLAIN
    ) as response:
        assert response.status_code == 200
        return "".join(response.iter_text())


def reasoning_and_content(stream: str) -> tuple[str, str]:
    """Reasoning and content of a streamed chat answer."""
    events = [json.loads(e.removeprefix("data: ")) for e in stream.split("\n\n")[:-2]]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert stream.endswith("data: [DONE]\n\n")
    return tuple("".join(d.get(key) or "" for d in deltas) for key in ("reasoning", "content"))  # type: ignore[return-value]


def wait_until(holds: Any) -> None:
    """Wait until a condition holds; fail after a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

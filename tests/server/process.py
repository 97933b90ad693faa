"""A real server: `anexa serve` in a process of its own, on this computer alone."""

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
from tests.server.answers import conforms

MESSAGES = [{"role": "user", "content": "347*86"}]
LONG = [{"role": "user", "content": "9876*5432"}]  # a thought of 400 characters
THOUGHT = """\
347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082
347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760
02082+27760:2+0+0=02,8+6+0=14,0+7+1=08,2+7+0=09,0+2+0=02:29842"""


@dataclass
class Running:
    """A server, and where it is."""

    process: subprocess.Popen[str]
    address: str

    def get(self, path: str, **more: Any) -> Any:
        return _checked(httpx.get(self.address + path, timeout=60, **more))

    def post(self, path: str, body: object = None, **more: Any) -> Any:
        if body is not None:
            more["json"] = body
        return _checked(httpx.post(self.address + path, timeout=60, **more))

    def chat(self, **fields: object) -> Any:
        return self.post("/v1/chat/completions", {"messages": MESSAGES, **fields})

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """What is asked here takes no more of a core's time; measured on Linux alone.

        Seconds on the wall would also say what else the machine does.
        """
        before = self._worked()
        yield
        assert self._worked() - before < seconds

    def _worked(self) -> float:
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def figure(self, name: str) -> float:
        """One of the figures at /metrics."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}{{"))


def _checked(response: Any) -> Any:
    conforms(response)
    return response


@contextmanager
def serving(*arguments: str | Path, cwd: Path) -> Iterator[Running]:
    """A server with these options, from when it is ready until the end of the block."""
    with start("serve", "--port", "0", *arguments, cwd=cwd) as process:
        assert process.stdout
        told = process.stdout.readline()
        match = re.fullmatch(r"serving .* at (http://\S+?)( and at .*)?\n", told)
        try:
            assert match, told + (process.stderr.read() if process.stderr else "")
            yield Running(process, match[1])
        finally:
            process.terminate()
            process.wait(timeout=30)


def streamed(server: Running, messages: object = MESSAGES, **fields: object) -> str:
    """The whole of a stream, as it comes."""
    body = {"messages": messages, "stream": True, "temperature": 0, **fields}
    with httpx.stream(
        "POST", f"{server.address}/v1/chat/completions", json=body, timeout=60
    ) as response:
        assert response.status_code == 200
        return "".join(response.iter_text())


def said(stream: str) -> tuple[str, str]:
    """The thought and the answer of a stream."""
    events = [json.loads(e.removeprefix("data: ")) for e in stream.split("\n\n")[:-2]]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert stream.endswith("data: [DONE]\n\n")
    return tuple("".join(d.get(key) or "" for d in deltas) for key in ("reasoning", "content"))  # type: ignore[return-value]


def until(holds: Any, seconds: float = 60) -> None:
    """Wait for something to become so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

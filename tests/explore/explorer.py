"""The glass box for tests: `anexa explore` in a process of its own, on the local host."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import safetensors.numpy

from tests.cli.process import start
from tests.server.process import PLAIN


@dataclass
class Explorer:
    """A running glass box.

    Attributes:
        process: its process.
        address: its address, without a path.
        token: token that requests for data need.
        page: path of the page whose address the command printed.
    """

    process: subprocess.Popen[str]
    address: str
    token: str
    page: str = "/"

    @property
    def start(self) -> str:
        """The address that the command printed."""
        return f"{self.address}{self.page}#token={self.token}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def request(self, path: str, **query: object) -> Any:
        """The response for a path below /api/."""
        params: dict[str, Any] = {key: x for key, x in query.items() if x is not None}
        return httpx.get(f"{self.address}/api/{path}", params=params, headers=self.headers, **PLAIN)

    def get(self, path: str, **query: object) -> Any:
        """The JSON of a path, once the steps that it needs are repeated."""
        response = self.request(path, **query)
        if response.status_code == 409:
            self.job("replay", folder=query.get("folder", 0), step=query["step"])
            response = self.request(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def tensors(self, path: str, **query: object) -> dict[str, Any]:
        """The arrays of a path."""
        response = self.request(path, **query)
        assert response.status_code == 200, response.text
        return safetensors.numpy.load(response.content)

    def error(self, path: str, **query: object) -> str:
        """The sentence of a request that is refused."""
        response = self.request(path, **query)
        assert response.status_code in (400, 404, 409), response.text
        message: str = response.json()["error"]["message"]
        return message

    def job(self, name: str, **body: object) -> Any:
        """The last message of a job: its result, or its error as a sentence."""
        response = httpx.post(
            f"{self.address}/api/{name}", json=body, headers=self.headers, **PLAIN
        )
        assert response.status_code == 200, response.text
        last = json.loads(response.text.splitlines()[-1])
        return last["result"] if "result" in last else last["error"]


@contextmanager
def exploring(*arguments: str | Path, cwd: Path, command: str = "explore") -> Iterator[Explorer]:
    """Run the glass box, or the course, with these arguments; it ends with the block."""
    with start(command, "--port", "0", *arguments, cwd=cwd) as process:
        assert process.stdout
        line = process.stdout.readline()
        match = re.fullmatch(
            r"the (?:glass box|course) is at (http://127\.0\.0\.1:\d+)(/\S*)#token=(\S+)\n", line
        )
        try:
            assert match, line + (process.stderr.read() if process.stderr else "")
            yield Explorer(process, match[1], match[3], match[2])
        finally:
            process.terminate()
            process.wait(timeout=30)

"""Shutdown of the server, and what happens to running requests."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.server.process import (
    LONG,
    THOUGHT,
    ServerProcess,
    reasoning_and_content,
    serving,
    streamed,
    wait_until,
)

pytestmark = pytest.mark.alone


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_requests_finish_before_shutdown(number: signal.Signals, tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        streams: list[str] = []
        threads = [
            threading.Thread(target=lambda: streams.append(streamed(server))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: server.metric("num_requests_running") >= 4)
        server.process.send_signal(number)
        for thread in threads:
            thread.join()
        assert server.process.wait(timeout=30) == 0
        assert [reasoning_and_content(stream) for stream in streams] == [(THOUGHT, "29842")] * 8
        with pytest.raises(httpx.ConnectError):
            server.get("/health")


@pytest.mark.slow
@pytest.mark.parametrize("grace", ["1", "0"])
def test_unfinished_request_gets_error_after_grace(grace: str, tmp_path: Path) -> None:
    with serving("--grace", grace, "--engine", "scalar", cwd=tmp_path) as server:
        outcomes: list[str] = []
        thread = threading.Thread(target=lambda: outcomes.append(outcome(server)))
        thread.start()
        wait_until(lambda: server.metric("num_requests_running") == 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        thread.join()
        assert outcomes == ["503 the server is shutting down: try again later"]
        assert quiet(server)


@pytest.mark.slow
def test_second_signal_shuts_down_at_once(tmp_path: Path) -> None:
    with serving("--grace", "60", "--engine", "scalar", cwd=tmp_path) as server:
        thread = threading.Thread(target=outcome, args=[server])
        thread.start()
        wait_until(lambda: server.metric("num_requests_running") == 1)
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        server.process.wait(timeout=30)  # half of the grace period
        thread.join()
        assert quiet(server)


@pytest.mark.slow
def test_stream_cut_off_by_shutdown_ends_with_error(tmp_path: Path) -> None:
    with serving("--grace", "1", "--engine", "scalar", cwd=tmp_path) as server:
        streams: list[str] = []
        thread = threading.Thread(target=lambda: streams.append(streamed(server, LONG)))
        thread.start()
        wait_until(lambda: server.metric("num_requests_running") == 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        thread.join()
        error = json.loads(streams[0].strip().splitlines()[-1].removeprefix("data: "))["error"]
        assert (error["message"], error["code"]) == (
            "the server is shutting down: try again later",
            "shutting_down",
        )
        assert quiet(server)


def outcome(server: ServerProcess) -> str:
    """Send a request that would take a minute; return the status and error of the response."""
    response = server.chat(messages=LONG, temperature=0)
    return f"{response.status_code} {response.json()['error']['message']}"


def quiet(server: ServerProcess) -> bool:
    """Return whether a server that has ended wrote nothing to standard error."""
    assert server.process.stderr
    return server.process.stderr.read() == ""

"""The server under load: many clients, slow clients, and clients that disconnect."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from anexa.server.worker import PUBLISH_INTERVAL
from tests.server.process import (
    LONG,
    MESSAGES,
    ServerProcess,
    reasoning_and_content,
    serving,
    streamed,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a queue that is long enough for these tests."""
    with serving("--max-queue", "256", cwd=tmp_path_factory.mktemp("roomy")) as running:
        yield running


async def streams(server: ServerProcess, bodies: Sequence[dict[str, Any]]) -> list[str]:
    """Send all requests at the same time, and return their streams."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:

        async def one(body: dict[str, Any]) -> str:
            url = f"{server.address}/v1/chat/completions"
            async with client.stream("POST", url, json=body) as response:
                assert response.status_code == 200
                return "".join([part async for part in response.aiter_text()])

        return list(await asyncio.gather(*map(one, bodies)))


def bodies(count: int) -> list[dict[str, Any]]:
    """Bodies of requests with questions of various lengths, greedy and sampled."""
    rng = random.Random(1)
    made = []
    for seed in range(count):
        a, b = (rng.randrange(10 ** rng.randint(1, 4)) for _ in range(2))
        messages = [{"role": "user", "content": f"{a}{rng.choice('+-*')}{b}"}]
        temperature = rng.choice((0, 0, 1.2))
        made.append(
            {"messages": messages, "temperature": temperature, "seed": seed, "stream": True}
        )
    return made


def test_64_concurrent_streams_equal_single_streams(roomy: ServerProcess) -> None:
    asked = bodies(64)
    together = asyncio.run(streams(roomy, asked))
    alone = [asyncio.run(streams(roomy, [body]))[0] for body in asked]
    assert [*map(reasoning_and_content, together)] == [*map(reasoning_and_content, alone)]


def test_output_is_streamed_while_generated_in_few_events(roomy: ServerProcess) -> None:
    """Outputs are published every `PUBLISH_INTERVAL` seconds, not token by token."""
    body = {"messages": LONG, "temperature": 0, "stream": True}
    begun, lengths = time.monotonic(), list[int]()
    with httpx.stream("POST", f"{roomy.address}/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if '"reasoning"' in line:
                [choice] = json.loads(line.removeprefix("data: "))["choices"]
                lengths.append(len(choice["delta"]["reasoning"]))
    seconds = time.monotonic() - begun
    assert lengths[0] < sum(lengths) / 2, "the first event does not wait for the last token"
    assert 2 < len(lengths) < seconds / PUBLISH_INTERVAL + 3


def test_requests_of_200_disconnected_clients_are_canceled(roomy: ServerProcess) -> None:
    left: list[int] = []  # statuses of streams that were unfinished after half a second
    before = roomy.num_finished("abort")

    async def vanish(client: Any, seed: int) -> None:
        body = {"messages": LONG, "temperature": 2, "seed": seed, "stream": True}
        url = f"{roomy.address}/v1/chat/completions"

        async def listen(response: Any) -> None:
            async for _ in response.aiter_text():
                pass

        async with client.stream("POST", url, json=body) as response:
            try:
                await asyncio.wait_for(listen(response), 0.5)
            except asyncio.TimeoutError:
                left.append(response.status_code)

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            await asyncio.gather(*(vanish(client, seed) for seed in range(200)))

    asyncio.run(all_of_them())
    assert set(left) == {200}
    assert len(left) > 100
    assert roomy.chat(temperature=0).json()["choices"][0]["message"]["content"] == "29842"
    for name in ("num_requests_running", "num_requests_waiting"):
        wait_until(lambda name=name: roomy.metric(name) == 0)
    # Some may have been finished, but not read to the end, when the client went away.
    assert 100 < roomy.num_finished("abort") - before <= len(left)


def test_slow_reader_does_not_delay_other_clients(roomy: ServerProcess) -> None:
    """Its unread output is far larger than the socket buffers."""
    where = urlsplit(roomy.address)
    asked = {"messages": LONG, "stream": True, "n": 16, "logprobs": True, "top_logprobs": 20}
    body = json.dumps(asked).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.connect((where.hostname or "", where.port or 0))
        slow.sendall(head.encode() + body)
        for _ in range(3):
            assert slow.recv(1)
            begun = time.monotonic()
            assert reasoning_and_content(streamed(roomy))[1] == "29842"
            assert time.monotonic() - begun < 30, "what it has not read would take hours"
            time.sleep(1)
        wait_until(
            lambda: roomy.metric("num_requests_running") == 0
        )  # all is generated, but not read
        roomy.process.send_signal(signal.SIGSTOP)  # else it would send more while the test reads
        try:
            slow.settimeout(1)
            read = b""
            with suppress(TimeoutError):
                while part := slow.recv(2**16):
                    read += part
        finally:
            roomy.process.send_signal(signal.SIGCONT)
        assert b"[DONE]" not in read


def test_idle_connection_is_closed_and_busy_one_is_not(tmp_path: Path) -> None:
    """A client that waits for a response is not disconnected, however long the response takes."""
    with serving("--engine", "scalar", cwd=tmp_path) as server:
        where = urlsplit(server.address)
        address = (where.hostname or "", where.port or 0)
        begun = time.monotonic()
        silent, halfway, idle, asking = (socket.create_connection(address) for _ in range(4))
        halfway.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in idle.recv(4096)
        idle.sendall(b"GET /health HTTP/1.1\r\n")
        body = json.dumps({"messages": LONG, "stream": True, "temperature": 0}).encode()
        head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        asking.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + b"\r\n\r\n")
        asking.sendall(body)
        for connection in (silent, halfway, idle):
            connection.settimeout(30)
            while connection.recv(4096):
                pass  # until the server closes it
            assert 9 < time.monotonic() - begun < 20
        time.sleep(2)
        asking.settimeout(60)
        while asking.recv(2**16) and time.monotonic() - begun < 20:
            pass
        assert time.monotonic() - begun >= 20, "it is being answered still"
        for connection in (silent, halfway, idle, asking):
            connection.close()


def test_body_that_does_not_arrive_times_out(tmp_path: Path) -> None:
    with serving("--engine", "numpy", cwd=tmp_path) as server:
        where = urlsplit(server.address)
        with socket.create_connection((where.hostname or "", where.port or 0)) as halfway:
            head = "POST /check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{"
            halfway.sendall(head.encode())
            halfway.settimeout(40)
            begun = time.monotonic()
            answer = b""
            while part := halfway.recv(4096):
                answer += part
        assert 15 < time.monotonic() - begun < 30
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body of a request must arrive within 20 seconds" in answer


def test_connection_of_client_that_reads_nothing_is_aborted(tmp_path: Path) -> None:
    """With a timeout of one second instead of a minute."""
    program = (
        "import sys; from anexa.server import http_server; http_server.WRITE_TIMEOUT = 1; "
        "sys.argv = ['anexa', 'serve', '--port', '0', '--engine', 'numpy']; "
        "from anexa.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout
            where = urlsplit(process.stdout.readline().split()[-1])
            with socket.socket() as greedy:
                greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                greedy.connect((where.hostname or "", where.port or 0))
                greedy.settimeout(5)
                request = b"GET /page/main.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
                with suppress(OSError):  # once neither the system nor the server accepts more
                    for _ in range(4000):
                        greedy.sendall(request)
                time.sleep(6)
                with suppress(
                    ConnectionError
                ):  # but not TimeoutError: the connection must be closed
                    while greedy.recv(2**20):
                        pass
        finally:
            process.terminate()


def test_memory_does_not_grow_over_4000_requests(tmp_path: Path) -> None:
    """The first 1,000 requests fill buffers and caches, and are not counted."""
    with serving(cwd=tmp_path) as server:
        question = [{"role": "user", "content": "7+5"}]
        body = {"messages": question, "temperature": 0, "max_tokens": 4}

        async def ask(count: int) -> None:
            gate = asyncio.Semaphore(16)
            async with httpx.AsyncClient(timeout=60) as client:

                async def one() -> None:
                    async with gate:
                        url = f"{server.address}/v1/chat/completions"
                        assert (await client.post(url, json=body)).status_code == 200

                await asyncio.gather(*(one() for _ in range(count)))

        def resident() -> float:
            """Resident memory in megabytes."""
            status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
            line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            return int(line.split()[1]) / 1024

        asyncio.run(ask(1000))
        before = resident()
        asyncio.run(ask(4000))
        assert resident() < before + 10
        assert server.metric("num_requests_running") == 0
        assert server.chat(messages=MESSAGES, temperature=0).status_code == 200

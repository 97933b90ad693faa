"""Startup, full queues, and failures inside the server."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from anexa.generation import TextStream
from anexa.generation.scheduler import BatchScheduler
from anexa.model.tokenizer import Tokenizer
from anexa.server.app import create_app
from anexa.server.config import ServerConfig
from tests.cli.process import anexa, one_sentence
from tests.server.process import (
    ServerProcess,
    serving,
    streamed,
    wait_until,
)

pytestmark = pytest.mark.alone

# Startup


def test_error_message_if_server_cannot_start(names_model: Path, tmp_path: Path) -> None:
    assert "nothing is not a model folder" in one_sentence(anexa("serve", "nothing", cwd=tmp_path))
    twice = anexa("serve", names_model, names_model, cwd=tmp_path)
    assert "two folders are named" in one_sentence(twice)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = anexa("serve", "--port", port, cwd=tmp_path)
    assert f"127.0.0.1:{port} cannot be listened on" in one_sentence(result)


def test_routes_respond_503_until_models_are_loaded() -> None:
    async def ask() -> list[Any]:
        app = create_app(
            ServerConfig({"anexa": None}), lambda _: None
        )  # its lifespan is never started
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.get(path) for path in ("/health", "/v1/models", "/")]

    health, models, page = asyncio.run(ask())
    assert (health.status_code, models.status_code, page.status_code) == (503, 503, 200)
    assert models.headers["retry-after"] == "1"
    assert "being loaded" in models.json()["error"]["message"]


# A server whose model loads when the file "go" exists.
SLOW = """
import sys, time
from pathlib import Path
from anexa.cli.main import main
from anexa.generation import LanguageModel

load = LanguageModel.open

def slowly(*given):
    while not Path("go").exists():
        time.sleep(0.01)
    return load(*given)

LanguageModel.open = slowly
sys.argv = ["anexa", "serve", "--engine", "numpy", "--port", sys.argv[1]]
main()
"""


@contextmanager
def loading(cwd: Path) -> Iterator[ServerProcess]:
    """Start a server that listens while its model is still loading."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", SLOW, str(port)], cwd=cwd, text=True) as process:
        server = ServerProcess(process, f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: answers(server))
            yield server
        finally:
            process.kill()


def test_server_listens_while_model_loads_and_then_serves(tmp_path: Path) -> None:
    with loading(tmp_path) as server:
        assert server.get("/health").status_code == 503
        assert server.chat().status_code == 503
        (tmp_path / "go").touch()
        wait_until(lambda: server.get("/health").status_code == 200)
        assert server.chat(temperature=0).json()["choices"][0]["message"]["content"] == "29842"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_server_while_model_loads(number: signal.Signals, tmp_path: Path) -> None:
    with loading(tmp_path) as server:
        server.process.send_signal(number)
        assert server.process.wait(timeout=20) == 0


def answers(server: ServerProcess) -> bool:
    """Whether the server accepts connections."""
    try:
        return bool(server.get("/health"))
    except httpx.ConnectError:
        return False


@pytest.mark.slow
def test_several_models_are_named_after_their_folders(names_model: Path, tmp_path: Path) -> None:
    bundled = Path(sys.modules["anexa"].__file__ or "").parent / "bundled"
    with serving(names_model, bundled, "--engine", "numpy", cwd=tmp_path) as server:
        ids = [model["id"] for model in server.get("/v1/models").json()["data"]]
        assert ids == [names_model.name, "bundled"]
        assert server.chat(model="bundled", temperature=0).status_code == 200
        refused = server.chat()  # the first model, which has no chat template
        assert refused.status_code == 400
        assert "use /v1/completions" in refused.json()["error"]["message"]
        text = server.post("/v1/completions", {"prompt": "an", "model": names_model.name})
        assert text.json()["model"] == names_model.name


@pytest.mark.slow
@pytest.mark.parametrize("asked", [[], ["--log-prompts"]])
def test_prompts_are_logged_only_with_log_prompts(asked: list[str], tmp_path: Path) -> None:
    with serving("--engine", "numpy", *asked, cwd=tmp_path) as server:
        assert server.chat(temperature=0).status_code == 200
        server.chat(temperature="hot")
        server.process.terminate()
        stdout, stderr = server.process.communicate(timeout=30)
    assert ("C3B4A7*B8A6" in stdout + stderr) == bool(asked)
    assert "347*86" not in stdout + stderr, "a prompt is logged as the model reads it"


# Full queues and failures


@pytest.mark.slow
def test_request_beyond_the_queue_is_refused_with_retry_after(tmp_path: Path) -> None:
    limits = ["--max-num-seqs", "1", "--max-queue", "1"]
    with serving(*limits, "--engine", "lists", cwd=tmp_path) as server:
        waiting = [
            threading.Thread(target=server.chat, kwargs={"max_tokens": 60}) for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        wait_until(lambda: server.metric("num_requests_running") == 1)
        wait_until(lambda: server.metric("num_requests_waiting") == 1)
        never = server.chat(n=3)
        assert (never.status_code, never.json()["error"]["param"]) == (400, "n")
        refused = server.chat()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "overloaded"
        for thread in waiting:
            thread.join()
        assert server.chat(max_tokens=1).status_code == 200


@pytest.mark.slow
def test_request_times_out(tmp_path: Path) -> None:
    with serving("--timeout", "1", "--engine", "scalar", cwd=tmp_path) as server:
        late = server.chat(temperature=0)
        assert late.status_code == 504
        assert "took longer than 1 seconds" in late.json()["error"]["message"]
        stream = streamed(server)
        assert json.loads(stream.split("data: ")[-1])["error"]["type"] == "server_error"
        wait_until(lambda: server.metric("num_requests_running") == 0)


Asked = Callable[[Any, Any], Awaitable[None]]


def in_process(asked: Asked) -> None:
    """Run a test with a client and the application in this process, so that it can be patched."""

    async def ask() -> None:
        ready = asyncio.Event()
        config = ServerConfig({"anexa": None}, engine="numpy", max_num_seqs=2)
        app = create_app(config, lambda _: ready.set())
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            await ready.wait()
            await asked(client, app)

    asyncio.run(ask())


def chat(client: Any, question: str = "347*86", **fields: object) -> Any:
    messages = [{"role": "user", "content": question}]
    body = {"messages": messages, "temperature": 0, **fields}
    return client.post("/v1/chat/completions", json=body)


def broken(what: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """Whole and streamed response while an engine's method fails, and one after that."""
    said: list[Any] = []

    def fail(*_: object) -> None:
        raise error

    async def asked(client: Any, app: Any) -> None:
        engine = app.state.served["anexa"].model.engine
        with monkeypatch.context() as patch:
            patch.setattr(engine, what, fail)
            said.append(await chat(client))
            said.append(await chat(client, stream=True))
        said.append(await chat(client))

    in_process(asked)
    whole, stream, after = said
    return whole, stream, after


@pytest.mark.parametrize("what", ["next_logits", "new_kv_cache"])
def test_failing_engine_ends_request_and_server_goes_on(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stream, after = broken(what, ZeroDivisionError("division by zero"), monkeypatch)
    assert whole.status_code == 500
    assert whole.json()["error"]["message"] == ("the model could not be computed: division by zero")
    assert "division by zero" in stream.text
    assert "[DONE]" not in stream.text
    assert after.json()["choices"][0]["message"]["content"] == "29842"


def test_memory_error_is_reported_as_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stream, after = broken("new_kv_cache", MemoryError(), monkeypatch)
    assert (whole.status_code, whole.headers["retry-after"]) == (503, "1")
    assert whole.json()["error"]["code"] == "overloaded"
    assert "not enough memory at the moment" in stream.text
    assert after.json()["choices"][0]["message"]["content"] == "29842"


def test_memory_error_outside_of_an_engine_is_reported_as_overload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    async def asked(client: Any, _app: Any) -> None:
        body = {"model": "anexa", "prompt": "347*86", "stream": False}
        message = "there is not enough memory at the moment: try again in a second"
        methods: list[tuple[type, str]] = [(BatchScheduler, "step"), (TextStream, "add")]
        for owner, method in (*methods, (Tokenizer, "encode_prompt")):
            with monkeypatch.context() as patch:
                patch.setattr(owner, method, fail)
                openai = await chat(client)
                ollama = await client.post("/api/generate", json=body)
            assert (openai.status_code, openai.headers["retry-after"]) == (503, "1"), method
            assert openai.json()["error"]["message"] == message
            assert (ollama.status_code, ollama.headers["retry-after"]) == (503, "1"), method
            assert ollama.json() == {"error": message}
        assert (await chat(client)).json()["choices"][0]["message"]["content"] == "29842"

    in_process(asked)


def test_failing_scheduler_step_ends_its_requests_and_no_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def asked(client: Any, _app: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(BatchScheduler, "step", lambda _: 1 / 0)
            failed = await chat(client)
        assert failed.status_code == 500
        message = failed.json()["error"]["message"]
        assert message == "internal error (ZeroDivisionError)"
        assert (await chat(client)).json()["choices"][0]["message"]["content"] == "29842"
        assert (await client.get("/health")).status_code == 200

    in_process(asked)


def test_request_whose_output_fails_does_not_affect_others(monkeypatch: pytest.MonkeyPatch) -> None:
    add = TextStream.add

    def choosy(self: TextStream, token: int) -> str:
        return add(self, token) if "B1A2+B3A0" in self.prompt.text else str(1 / 0)

    async def asked(client: Any, _app: Any) -> None:
        monkeypatch.setattr(TextStream, "add", choosy)
        failed, answered = await asyncio.gather(chat(client), chat(client, "12+30"))
        assert failed.status_code == 500
        assert answered.json()["choices"][0]["message"]["content"] == "42"

    in_process(asked)


def test_failed_worker_is_reported_by_requests_and_health(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(client: Any, _app: Any) -> None:
        for name in ("step", "__init__"):  # so that it cannot be replaced either
            monkeypatch.setattr(BatchScheduler, name, lambda *_: 1 / 0)
        failed, after = await chat(client), await chat(client)
        assert (failed.status_code, after.status_code) == (500, 500)
        assert "the model has failed" in failed.json()["error"]["message"]
        assert "restart the server" in after.json()["error"]["message"]
        health = await client.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "failed"})

    in_process(asked)

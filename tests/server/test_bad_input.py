"""What is wrong is said in a sentence, by the field; nothing brings the server down."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.server.process import MESSAGES, Running, httpx

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def lives(server: Running) -> Any:
    """The server answers after each of these tests as before."""
    yield
    assert server.get("/health").status_code == 200
    assert server.process.poll() is None


def refused(response: Any, status: int = 400) -> tuple[str, str | None]:
    """The message of an error of OpenAI's form, and the field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert 0 < len(error["message"]) < 600
    assert "Traceback" not in response.text
    return error["message"], error["param"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"),
        ("temperature", -0.1),
        ("temperature", 2.5),
        ("temperature", True),
        ("temperature", [0.5]),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_k", 1.5),
        ("top_k", -2),
        ("seed", "1"),
        ("seed", 10**40),
        ("n", 0),
        ("n", 17),
        ("max_tokens", 0),
        ("max_tokens", 10**12),
        ("max_tokens", 3.5),
        ("max_completion_tokens", -1),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", ["a"] * 17),
        ("stop", "a" * 201),
        ("stop", 7),
        ("stream", "yes"),
        ("stream_options", 7),
        ("logprobs", 3),
        ("top_logprobs", 21),
        ("top_logprobs", -1),
        ("reasoning_effort", "a bit"),
        ("chat_template_kwargs", []),
        ("chat_template_kwargs", {"enable_thinking": "false"}),
        ("model", 3),
        ("messages", []),
        ("messages", "hello"),
        ("messages", [{"role": "user"}, "x"]),
        ("messages", [{"content": "1+1"}]),
        ("messages", [{"role": "robot", "content": "1+1"}]),
        ("messages", [{"role": "user", "content": 7}]),
        ("messages", [{}] * 300_000),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
    ],
)
def test_a_wrong_field_is_named(server: Running, field: str, value: object) -> None:
    message, param = refused(server.chat(**{field: value}))
    assert message.startswith(field)
    assert (param or "").split(".")[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 7),
        ("prompt", []),
        ("prompt", [{}] * 300_000),
        ("prompt", ["1"] * 300),
        ("prompt", ["a", 1]),
        ("prompt", [[1], "a"]),
        ("prompt", {"a": 1}),
        ("logprobs", 21),
        ("logprobs", True),
        ("echo", "no"),
    ],
)
def test_a_wrong_field_of_a_completion_is_named(server: Running, field: str, value: object) -> None:
    begun = time.monotonic()
    message, param = refused(server.post(TEXT, {"prompt": "1", **{field: value}}))
    assert time.monotonic() - begun < 2
    assert message.startswith(field)
    assert param == field


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (TEXT, {"prompt": [101]}, "tokens from 0 to 100"),
        (TEXT, {"prompt": [[-1]]}, "tokens from 0 to 100"),
        (TEXT, {"prompt": "1" * 600}, "600 tokens long, but the model sees 512"),
        (TEXT, {"prompt": "é"}, "never seen 'é'"),
        (TEXT, {"prompt": "\ud800"}, "prompt: input should be a valid string"),
        (TEXT, {"prompt": ["1"] * 9, "n": 2}, "18 texts"),
        (CHAT, {"messages": [{"role": "tool", "content": "1"}]}, "the roles are user"),
        (CHAT, {"messages": [{"role": "user", "content": "😀"}]}, "never seen '😀'"),
        (CHAT, {"messages": MESSAGES, "top_logprobs": 2}, "needs logprobs to be true"),
    ],
)
def test_what_the_model_cannot_do_is_said(
    server: Running, path: str, body: object, words: str
) -> None:
    assert words in refused(server.post(path, content=json.dumps(body), headers=JSON_TYPE))[0]


@pytest.mark.parametrize("path", [CHAT, TEXT, "/check"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"NaN",
        b'{"messages": [}',
        b"\xff\xfe{",
        b'{"prompt": "\xc3("}',
        b"[" * 100_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"seed": ' + b"9" * 10_000 + b"}",
        b'{"messages": [{"role": "user", "content": "1+1"}], "prompt": "1", "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "1+1"}], "prompt": "1", "top_p": Infinity}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_malformed_bodies(server: Running, path: str, body: bytes) -> None:
    refused(server.post(path, content=body, headers=JSON_TYPE))


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_body_that_does_not_say_it_is_json_is_none(server: Running, path: str) -> None:
    """A page of another site can send text without asking, but not JSON."""
    body = json.dumps({"messages": MESSAGES, "prompt": "1"})
    refused(server.post(path, content=body, headers={"Content-Type": "text/plain"}))


def test_a_body_has_its_limit(server: Running) -> None:
    large = b'{"prompt": "' + b"1" * 10_000_000 + b'"}'
    assert "1,000,000 bytes" in refused(server.post(TEXT, content=large, headers=JSON_TYPE), 413)[0]
    pieces = (b"1" * 100_000 for _ in range(100))  # chunked: its length is not said beforehand
    refused(server.post(TEXT, content=pieces, headers=JSON_TYPE), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/page/../app.py", 404),
        ("GET", "/page/..%2fapp.py", 404),
        ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/v1/models/../../etc/passwd", 404),
        ("GET", "/v1/models/%00", 404),
        ("GET", "//etc/passwd", 404),
    ],
)
def test_paths_that_lead_nowhere(server: Running, method: str, path: str, status: int) -> None:
    """Sent as they are: a client would tidy them up."""
    answer = raw(
        server, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"root:" not in answer
    assert b"FastAPI" not in answer


def raw(server: Running, text: str | bytes) -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    where = urlsplit(server.address)
    assert where.hostname
    assert where.port
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(text.encode() if isinstance(text, str) else text)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9e9\r\n\r\n",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_request(server: Running, text: bytes) -> None:
    assert b" 4" in raw(server, text)[:13]


def test_unknown_fields_are_ignored(server: Running) -> None:
    response = server.chat(user="somebody", tools=[], response_format={"type": "text"}, foo=[{}])
    assert response.status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body(server: Running) -> None:
    where = urlsplit(server.address)
    for _ in range(20):
        with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
            head = f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(f'{head}Content-Length: 500\r\n\r\n{{"prompt": '.encode())
    assert httpx.get(f"{server.address}/health").status_code == 200


def test_what_is_far_too_long_is_refused_at_once(server: Running) -> None:
    """Before any work is done on it, during which nobody else would be served."""
    messages = [{"role": "user", "content": "7+" * 95_000} for _ in range(5)]
    begun = time.monotonic()
    message, _ = refused(server.chat(messages=messages))
    assert time.monotonic() - begun < 1
    assert "these are 950,000 characters" in message
    message, param = refused(server.post(TEXT, {"prompt": "1", "max_tokens": 5000}))
    assert (message, param) == ("max_tokens is at most 4,096 here", "max_tokens")

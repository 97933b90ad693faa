"""Malformed bodies and HTTP are refused, and the server survives them."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.server.errors import CHAT, JSON_TYPE, TEXT, error_of
from tests.server.process import MESSAGES, PLAIN, ServerProcess

pytestmark = pytest.mark.usefixtures("lives")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "the body of the request is missing"),
        ("7", "the body of the request must be an object, not 7"),
        ('{"a": 1,}', "the body of the request is not JSON, from character 9 on"),
        ("[" * 100_000, "the body of the request cannot be read as JSON"),
    ],
)
def test_error_message_for_body_without_fields(
    server: ServerProcess, body: str, words: str
) -> None:
    response = server.post(TEXT, content=body, headers=JSON_TYPE)
    assert error_of(response) == (words, None)


@pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/embeddings", "/v1/responses", "/check"])
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
def test_malformed_body_is_refused(server: ServerProcess, path: str, body: bytes) -> None:
    error_of(server.post(path, content=body, headers=JSON_TYPE))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (CHAT, "messages"),
        (TEXT, "prompt"),
        ("/v1/embeddings", "input"),
        ("/v1/responses", "input"),
        ("/tokenize", "prompt"),
        ("/detokenize", "tokens"),
    ],
)
@pytest.mark.parametrize("depth", [3, 500, 900])
def test_nested_lists_are_refused(server: ServerProcess, path: str, field: str, depth: int) -> None:
    body = f'{{"{field}": {"[" * depth}1{"]" * depth}}}'
    message, _ = error_of(server.post(path, content=body, headers=JSON_TYPE))
    assert message.startswith(field)


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_body_without_json_content_type_is_refused(server: ServerProcess, path: str) -> None:
    """Web pages of other sites can send plain text without a CORS preflight, but not JSON."""
    body = json.dumps({"messages": MESSAGES, "prompt": "1"})
    message, _ = error_of(server.post(path, content=body, headers={"Content-Type": "text/plain"}))
    assert message.endswith("must be JSON, and say so: Content-Type: application/json")


def test_body_over_size_limit_is_refused(server: ServerProcess) -> None:
    large = b'{"prompt": "' + b"1" * 10_000_000 + b'"}'
    assert (
        "1,000,000 bytes" in error_of(server.post(TEXT, content=large, headers=JSON_TYPE), 413)[0]
    )
    pieces = (b"1" * 100_000 for _ in range(100))  # chunked, without a Content-Length
    error_of(server.post(TEXT, content=pieces, headers=JSON_TYPE), 413)


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
def test_unknown_path_or_method_is_refused(
    server: ServerProcess, method: str, path: str, status: int
) -> None:
    """The paths are sent over a socket, because HTTP clients normalize them."""
    answer = raw(
        server, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"root:" not in answer
    assert b"FastAPI" not in answer


def raw(server: ServerProcess, text: str | bytes) -> bytes:
    """Send bytes, and return what the server sends until it closes the connection."""
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
def test_malformed_http_is_refused(server: ServerProcess, text: bytes) -> None:
    assert b" 4" in raw(server, text)[:13]


def test_error_message_for_unknown_path_and_method(server: ServerProcess) -> None:
    assert error_of(server.get("/v1"), 404) == ("there is nothing at /v1: see /docs", None)
    assert error_of(server.get(TEXT), 405) == (f"{TEXT} does not take GET: see /docs", None)


def test_server_survives_clients_that_disconnect_within_their_body(server: ServerProcess) -> None:
    where = urlsplit(server.address)
    for _ in range(20):
        with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
            head = f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(f'{head}Content-Length: 500\r\n\r\n{{"prompt": '.encode())
    assert httpx.get(f"{server.address}/health", **PLAIN).status_code == 200

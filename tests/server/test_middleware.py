"""HEAD where GET is, and an id on every response."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from tests.server.process import MESSAGES, PLAIN, ServerProcess
from tests.server.test_protection import routes

CHAT = "/v1/chat/completions"
VARYING = {"date", "x-request-id", "content-length"}  # /metrics changes from request to request


def test_head_is_answered_as_get(server: ServerProcess) -> None:
    paths = [path for method, path in routes() if method == "GET"]
    assert {"/", "/health", "/metrics", "/openapi.json", "/v1/models", "/page/main.js"} <= {*paths}
    with httpx.Client(base_url=server.address, **PLAIN) as client:
        for path in paths:
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            names = got.headers.keys()
            assert head.headers.keys() == names
            assert all(head.headers[n] == got.headers[n] for n in names - VARYING)
            if path != "/metrics":
                assert head.headers["content-length"] == str(len(got.content))
        assert client.head("/nothing").status_code == 404
        assert client.head(CHAT).status_code == 405


@pytest.mark.parametrize("sent", ["a", "x" * 200, "~ an id, with !", "00-4bf92f3577b34da6-01"])
def test_request_id_of_the_client_is_kept(server: ServerProcess, sent: str) -> None:
    response = server.get("/health", headers={"X-Request-ID": sent})
    assert response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 201, "é".encode(), b"a\tb", b"\x80"])
def test_request_without_a_sane_id_gets_one(server: ServerProcess, sent: Any) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent}
    ids = {server.get("/health", headers=headers).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(one.startswith("req_") and len(one) == 36 for one in ids)


def test_every_response_has_a_request_id(server: ServerProcess) -> None:
    def id_of(method: str, path: str, **more: Any) -> str:
        headers = {"x-request-id": "mine", **more.pop("headers", {})}
        with httpx.stream(
            method, server.address + path, headers=headers, **PLAIN, **more
        ) as response:
            response.read()
            statuses.append(response.status_code)
            return str(response.headers["x-request-id"])

    statuses: list[int] = []
    body = {"messages": MESSAGES}
    assert id_of("POST", CHAT, json=body) == "mine"
    assert id_of("POST", CHAT, json={**body, "stream": True}) == "mine"
    assert id_of("POST", CHAT, json={}) == "mine"
    assert id_of("POST", CHAT, content=b"1" * 1_000_001) == "mine"
    assert id_of("GET", "/nothing") == "mine"
    assert id_of("DELETE", CHAT) == "mine"
    assert id_of("GET", "/health", headers={"Host": "evil.test"}) == "mine"
    assert id_of("GET", "/health", headers={"Origin": "http://evil.test"}) == "mine"
    assert statuses == [200, 200, 400, 413, 404, 405, 400, 403]

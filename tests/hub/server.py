"""A local server with the Hub's routes for publishing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USERS = {"hf_ada": "ada", "hf_bob": "bob"}


@dataclass
class Repository:
    owner: str
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Hub:
    """State of the test server: repositories, received requests, and failures to simulate.

    Attributes:
        address: URL for HF_ENDPOINT.
        repositories: repositories by USER/NAME.
        requests: received requests as "METHOD /path", in order.
        refusals: HTTP status of the response, by a part of the path.
        cuts: how many connections to close without a response, by a part of the path.
        lost: part of the paths whose requests are executed, and the responses lost.
        unreachable: whether the server closes all later connections without a response, once a
            response was lost.
        is_raced: whether another program of the user creates each repository just before the
            request to do so, and the next such request gets no response.
        stalled: part of the paths whose requests are not answered while the server runs.
        closing: set when the server ends.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    lost: str = "never"
    unreachable: bool = False
    is_raced: bool = False
    stalled: str = "never"
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def playing() -> Iterator[Hub]:
    """Context manager of a running server."""
    hub = Hub()

    class Handler(_Handler):
        the_hub = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    the_hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub = self.the_hub
        hub.requests.append(f"{self.command} {self.path}")
        if hub.stalled in self.path:
            hub.closing.wait()
            self.close_connection = True
            return None
        for piece, times in hub.cuts.items():
            if piece in self.path and times:
                hub.cuts[piece] -= 1
                self.rfile.read(min(10, int(self.headers.get("Content-Length") or 0)))
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return None
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for piece, status in hub.refusals.items():
            if piece in self.path:
                return self.say(status, {"error": "because of the test"})
        if self.command == "PUT":  # to storage, which asks for no token
            hub.large[self.path.rpartition("/")[2]] = body
            return self.say(200, {})
        if self.path == "/api/validate-yaml":  # which needs no token either
            return self.judge(json.loads(body)["content"])
        user = USERS.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if user is None:
            return self.say(401, {"error": "Invalid username or password."})
        return self.say(*self.known(user, body))

    def judge(self, card: str) -> None:
        """Validate the header of a card; an error has the format that the request accepts."""
        message = '"license" must be known'
        if "license: none-such" not in card:
            return self.say(200, {})
        if self.headers["Accept"] == "text/plain":
            return self.send(400, "text/plain", f"- Error: {message}".encode())
        return self.say(400, {"errors": [{"message": message}]})

    def known(self, user: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Respond to a request with a valid token."""
        hub, asked = self.the_hub, {}
        if body and "ndjson" not in self.headers["Content-Type"]:
            asked = json.loads(body)
        if self.path == "/api/whoami-v2":
            return 200, {"name": user, "type": "user", "orgs": []}
        if self.path == "/api/repos/create":
            name = f"{asked.get('organization') or user}/{asked['name']}"
            if hub.is_raced:
                hub.repositories[name] = Repository(user, private=False)
                hub.cuts["/repos/create"] = 1
            if name in hub.repositories:
                url = f"{hub.address}/{name}"
                return 409, {"error": "You already created this model repo", "url": url}
            if not name.startswith(f"{user}/"):
                return 403, {"error": f"You don't have the rights to create under {name}"}
            private = bool(asked.get("private") or asked.get("visibility") == "private")
            hub.repositories[name] = Repository(user, private, {".gitattributes": b"*.bin"})
            return 200, {"url": f"{hub.address}/{name}", "id": name, "name": name}
        if self.path == "/api/repos/delete":
            name = f"{asked.get('organization') or user}/{asked['name']}"
            if hub.repositories[name].owner != user:
                return 403, {"error": "Forbidden"}
            del hub.repositories[name]
            return 200, {}
        found = re.match(r"/(?:api/models/)?([\w.-]+/[\w-]+)", self.path)
        assert found, self.path
        name = found[1]
        repository = hub.repositories.get(name)
        if repository is None:
            return 404, {"error": "Repository not found"}
        if self.command == "GET":
            siblings = [{"rfilename": file} for file in repository.files]
            return 200, {"id": name, "private": repository.private, "siblings": siblings}
        if repository.owner != user:
            return 403, {"error": "Forbidden"}
        if "/preupload/" in self.path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in asked["files"]
            ]
            return 200, {"files": modes}
        if self.path.endswith("/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{hub.address}/storage/{one['oid']}"}}}
                for one in asked["objects"]
            ]
            return 200, {"transfer": "basic", "objects": objects}
        assert "/commit/main" in self.path
        self.commit(repository, [json.loads(line) for line in body.splitlines()])
        return 200, {"commitUrl": f"{hub.address}/{name}/commit/1", "commitOid": "1" * 40}

    def commit(self, repository: Repository, operations: list[dict[str, Any]]) -> None:
        repository.commits += 1
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                content = self.the_hub.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                repository.files[value["path"]] = content
            elif operation["key"] == "deletedFile":
                del repository.files[value["path"]]

    def say(self, status: int, value: dict[str, Any]) -> None:
        self.send(status, "application/json", json.dumps(value).encode())

    def send(self, status: int, kind: str, content: bytes) -> None:
        if self.the_hub.lost in self.path:
            if self.the_hub.unreachable:
                self.the_hub.cuts[""] = 1_000
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

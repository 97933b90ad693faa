"""What stands in front of every route: who may ask, from where, and how much."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Collection, Mapping
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anexa.server import responses
from anexa.server.limits import MOST_BYTES

MOST_HEADERS = 16 * 1024  # bytes
PATIENCE = 20  # seconds, and times the most bytes, for the end of a body that is too large
OPEN = ("/health",)  # routes that need no key, besides the page's own files
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Protection:
    """An ASGI middleware.

    Args:
        app: what it protects.
        hosts: names under which the server is known: another one may be somebody's who has made
            it point here (DNS rebinding).
        origins: of other pages that may use it.
        key: what a request must bring along, if there is one.
        files: the page's own paths, which need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        origins: Collection[str] = (),
        key: str | None = None,
        files: Collection[str] = (),
    ) -> None:
        self._app, self._hosts, self._origins = app, {host.lower() for host in hosts}, set(origins)
        self._key, self._open = key, {*OPEN, *files}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope["method"], path, Headers(scope=scope))
        if refused:
            if refused[0] == 413:
                await self._discard(receive)
            await _refuse(guarded_send, *refused)
            return
        read, over = 0, False

        async def counted_receive() -> Message:
            nonlocal read, over
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                over = True
                raise TooMuchError
            return message

        async def watched_send(message: Message) -> None:
            # Whatever is made of a body that was cut off.
            if not over:
                await guarded_send(message)

        with suppress(TooMuchError):
            await self._app(scope, counted_receive, watched_send)
        if over:
            await self._discard(receive)
            await _refuse(guarded_send, 413, self._too_much)

    async def _discard(self, receive: Receive) -> None:
        """Let a client end its body, within limits: in the midst of it, it hears nothing."""
        left = PATIENCE * MOST_BYTES

        async def read() -> None:
            nonlocal left
            more = True
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message.get("more_body", False)

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read(), PATIENCE)

    @property
    def _too_much(self) -> str:
        return f"the body of a request has at most {MOST_BYTES:,} bytes"

    def _refused(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """The status and the sentence with which a request is refused; None if it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return 400, "this server is not known by that name: see anexa serve --allow-host"
        origin = headers.get("origin")
        if origin and origin not in self._origins and origin.partition("://")[2] != hosts[0]:
            return 403, "pages of other sites may not use this server: see --allow-origin"
        if self._key is not None and path not in self._open and method != "OPTIONS":
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._key.encode())
            if scheme.lower() != "bearer" or not right:
                return 401, "this server needs its API key: Authorization: Bearer …"
        if sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEADERS:
            return 431, f"the headers of a request have at most {MOST_HEADERS:,} bytes"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > MOST_BYTES:
            return 413, self._too_much
        return None


class TooMuchError(Exception):
    """A body has more bytes than it may have."""


def _name(host: str) -> str:
    """The host of `host:port`, which may be an address in brackets."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


async def _refuse(send: Send, status: int, message: str) -> None:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    body = json.dumps(responses.error(message, kind)).encode()
    headers: Mapping[str, str] = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",  # the rest of a body is not read
        **({"www-authenticate": "Bearer"} if status == 401 else {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})

"""What stands in front of every route: who may ask, from where, and how much."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anexa.server import responses
from anexa.server.limits import MOST_BYTES

_log = logging.getLogger(__name__)

MOST_HEADERS = 16 * 1024  # bytes
PATIENCE = 20  # seconds for a body; and times the most bytes, for the end of one that is too large
TOO_MUCH = f"the body of a request has at most {MOST_BYTES:,} bytes"
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
        any_address: whether it may be asked for by any address: there, no name is in play.
        origins: of other pages that may use it.
        key: what a request must bring along, if there is one.
        files: the page's own paths, which need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        any_address: bool = False,
        origins: Collection[str] = (),
        key: str | None = None,
        files: Collection[str] = (),
    ) -> None:
        self._app, self._hosts, self._origins = app, {host.lower() for host in hosts}, set(origins)
        self._key, self._open, self._any_address = key, {*OPEN, *files}, any_address

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

        refused = self._refused(path, Headers(scope=scope))
        if refused:
            if refused[0] == 413:
                await self._discard(receive)
            await refuse(guarded_send, *refused)
            return
        body = Body(receive)
        begun = False

        async def watched_send(message: Message) -> None:
            nonlocal begun
            if body.refused is None:  # else it is made of a body that was cut off
                begun = True
                await guarded_send(message)

        try:
            await self._app(scope, body.receive, watched_send)
        except BodyError:
            pass
        except Exception as error:
            if begun:
                raise
            _log.error("%s: %s: %s", path, type(error).__name__, error)
            body.refused = 500, f"an error that should not be ({type(error).__name__})"
        if body.refused:
            if body.refused[0] == 413:
                await self._discard(receive)
            await refuse(guarded_send, *body.refused)

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

    def _refused(self, path: str, headers: Headers) -> tuple[int, str] | None:
        """The status and the sentence with which a request is refused; None if it is not."""
        hosts = headers.getlist("host")
        name = _name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._hosts and not (self._any_address and _is_address(name)):
            return 400, "this server is not known by that name: see anexa serve --allow-host"
        origin = headers.get("origin")
        if origin and origin not in self._origins and origin.partition("://")[2] != hosts[0]:
            return 403, "pages of other sites may not use this server: see --allow-origin"
        if self._key is not None and path not in self._open:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._key.encode())
            if scheme.lower() != "bearer" or not right:
                return 401, "this server needs its API key: Authorization: Bearer …"
        if sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEADERS:
            return 431, f"the headers of a request have at most {MOST_HEADERS:,} bytes"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > MOST_BYTES:
            return 413, TOO_MUCH
        return None


class BodyError(Exception):
    """A body is too large, or does not come to its end."""


class Body:
    """The body of a request as it is read, within limits.

    Attributes:
        refused: the status and the sentence with which it is refused; None as long as it is not.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._left, self._whole = receive, MOST_BYTES, False
        self._deadline = asyncio.get_running_loop().time() + PATIENCE
        self.refused: tuple[int, str] | None = None

    async def receive(self) -> Message:
        """See ASGI; after the whole body this waits for the client to go, however long it takes.

        Raises:
            BodyError: it is refused.
        """
        if self._whole:
            return await self._receive()
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except asyncio.TimeoutError:
            self.refused = 408, f"the body of a request has {PATIENCE} seconds to come"
            raise BodyError from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.refused = 413, TOO_MUCH
            raise BodyError
        self._whole = not message.get("more_body", False)
        return message


def _name(host: str) -> str:
    """The host of `host:port`, which may be an address in brackets."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def refuse(send: Send, status: int, message: str) -> None:
    """Answer with an error, and close the connection."""
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    kind = "server_error" if status >= 500 else kind
    body = json.dumps(responses.error(message, kind)).encode()
    headers: Mapping[str, str] = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",  # the rest of a body is not read
        **({"www-authenticate": "Bearer"} if status == 401 else {}),
        **({"retry-after": "1"} if status == 503 else {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})

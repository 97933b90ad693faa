"""Middleware for access control and request limits: hosts, origins, API key, body size.

Starlette's `TrustedHostMiddleware` and FastAPI's `HTTPBearer` do only a part of this. The first
cannot allow all IP addresses, uses the first of several `Host` headers, and answers in plain text.
The second protects FastAPI's routes after their body was read, but not /openapi.json and paths
without a route. So both checks are made here, before the body is read, and errors are JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anexa.server.errors import APIError
from anexa.server.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES

_log = logging.getLogger(__name__)

BODY_TIMEOUT = 20  # seconds in which the whole body of a request has to arrive
# Maximum number of bytes that are read and dropped of a body that is too large.
MAX_DISCARDED_BYTES = 20 * MAX_BODY_BYTES
BODY_TOO_LARGE = f"the body of a request has at most {MAX_BODY_BYTES:,} bytes"
PUBLIC_PATHS = ("/health",)  # routes without a key, besides the files of the web pages
# Headers of every response.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Pages that programs of this computer serve. A browser takes the origin of a page from the address
# that it has loaded, and both names are this computer in every network.
LOCAL_ORIGIN_PATTERN = re.compile(r"http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class ProtectionMiddleware:
    """ASGI middleware that refuses requests, limits their size, and sets security headers.

    The statuses of refused requests are 400 (host), 401 (API key), 403 (origin), 408 (the body
    takes too long to arrive), 413 (body too large) and 431 (headers too large).

    Args:
        app: the application behind the middleware.
        hosts: host names and addresses that the `Host` header may name. Any other name may belong
            to an attacker who has made it point to this server (DNS rebinding).
        any_address: whether the `Host` header may also name any IP address, where no DNS is used.
        origins: origins of web pages of other sites that may call the API.
        api_key: API key that clients must send; None if the server needs no key: then pages of
            `LOCAL_ORIGIN_PATTERN` may call the API too.
        public_paths: paths that need no key: the files of the web pages.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        any_address: bool = False,
        origins: Collection[str] = (),
        api_key: str | None = None,
        public_paths: Collection[str] = (),
    ) -> None:
        self._app, self._any_address, self._api_key = app, any_address, api_key
        self._hosts, self._origins = {host.lower() for host in hosts}, set(origins)
        self._public_paths = {*PUBLIC_PATHS, *public_paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request: pass it on to the application, or answer it with an error.

        An unexpected exception of the application is logged, and answered with status 500 if its
        response has not begun.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(path, Headers(scope=scope))
        if refusal is None:
            body = LimitedBody(receive)
            await self._call_app(scope, body, send_with_headers)
            refusal = body.refusal
        if refusal:
            if refusal.status == 413:
                await _discard_body(receive)
            await refuse(send_with_headers, refusal)

    async def _call_app(self, scope: Scope, body: LimitedBody, send: Send) -> None:
        """Call the application, and replace its response if the request body is refused."""
        has_started = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal has_started
            if body.refusal is None:  # else the application has seen only a part of the body
                has_started = True
                await send(message)

        try:
            await self._app(scope, body.receive, send_unless_refused)
        except APIError:
            pass
        except Exception as error:
            if has_started:
                raise
            _log.error("%s: %s: %s", scope["path"], type(error).__name__, error)
            body.refusal = APIError(f"internal error ({type(error).__name__})", status=500)

    def _may_call(self, origin: str, host: str) -> bool:
        """Return whether pages of an origin may call the API.

        The server's own origin may, local ones, and those that the configuration allows.
        """
        is_local = self._api_key is None and LOCAL_ORIGIN_PATTERN.fullmatch(origin) is not None
        return is_local or origin in self._origins or origin.partition("://")[2] == host

    def _refusal(self, path: str, headers: Headers) -> APIError | None:
        """Return the error of a refused request; None if it is allowed."""
        hosts = headers.getlist("host")
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._hosts and not (self._any_address and _is_address(name)):
            return APIError("this server is not known by that name: see anexa serve --allow-host")
        origin = headers.get("origin")
        if origin and not self._may_call(origin, hosts[0]):
            message = "pages of other sites may not use this server: see --allow-origin"
            return APIError(message, status=403)
        if self._api_key is not None and path not in self._public_paths:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(key.strip().encode(), self._api_key.encode())
            if scheme.lower() != "bearer" or not is_right:
                message = "this server needs its API key: Authorization: Bearer …"
                return APIError(message, status=401)
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
            message = f"the headers of a request have at most {MAX_HEADER_BYTES:,} bytes"
            return APIError(message, status=431)
        length = headers.get("content-length", "0")
        if not re.fullmatch("[0-9]+", length) or int(length[:20]) > MAX_BODY_BYTES:
            return APIError(BODY_TOO_LARGE, status=413)
        return None


class LimitedBody:
    """Body of a request, limited to `MAX_BODY_BYTES`, which must arrive in `BODY_TIMEOUT` seconds.

    The time counts from the creation of the object, which needs a running event loop.

    Args:
        receive: ASGI callable that receives the body.

    Attributes:
        refusal: error of a refused body; None while the body is accepted.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes_left, self._is_complete = receive, MAX_BODY_BYTES, False
        self._deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT
        self.refusal: APIError | None = None

    async def receive(self) -> Message:
        """Receive an ASGI message; after the whole body, wait for the disconnect without a limit.

        Raises:
            APIError: if the body is too large, or takes too long to arrive; it is also stored as
                `refusal`.
        """
        if self._is_complete:
            return await self._receive()
        seconds_left = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, seconds_left))
        except asyncio.TimeoutError:
            reason = f"the body of a request must arrive within {BODY_TIMEOUT} seconds"
            self.refusal = APIError(reason, status=408)
            raise self.refusal from None
        self._bytes_left -= len(message.get("body", b""))
        if self._bytes_left < 0:
            self.refusal = APIError(BODY_TOO_LARGE, status=413)
            raise self.refusal
        self._is_complete = not message.get("more_body", False)
        return message


async def _discard_body(receive: Receive) -> None:
    """Read and drop the rest of a request body, within limits.

    Many clients send the whole body before they read the response.
    """

    async def read() -> None:
        bytes_left, has_more = MAX_DISCARDED_BYTES, True
        while has_more and bytes_left > 0:
            message = await receive()
            bytes_left -= len(message.get("body", b""))
            has_more = message.get("more_body", False)

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), BODY_TIMEOUT)


def _host_name(host: str) -> str:
    """Return the host name or address in `host:port`; an IPv6 address is in brackets."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def refuse(send: Send, error: APIError) -> None:
    """Send an error response, and close the connection, as the rest of the body is not read."""
    response = error.response({"Connection": "close"})
    start = {"status": error.status, "headers": response.raw_headers}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": response.body})

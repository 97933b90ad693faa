"""Middleware for every route: HEAD where GET is, and an id for each request."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = "x-request-id"  # header of requests and responses with the id of the request
# A request id from a client: printable ASCII characters.
_ALLOWED_ID = re.compile("[ -~]{1,200}")


class HeadRequestMiddleware:
    """ASGI middleware that answers HEAD as GET; the HTTP server leaves out the body.

    Starlette's routes do so by themselves, FastAPI's do not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, with the method GET for HEAD."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class RequestIdMiddleware:
    """ASGI middleware that sets `x-request-id` on every response.

    An id that the client sends is kept if it is printable ASCII and has at most 200 characters;
    otherwise it is a random one, `req_` and 32 hexadecimal digits.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, and add its id to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = sent if _ALLOWED_ID.fullmatch(sent) else f"req_{uuid4().hex}"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)

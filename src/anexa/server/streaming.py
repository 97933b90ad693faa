"""Sends responses, whole or as server-sent events, from the outputs of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import suppress
from typing import TypeVar

import fastapi
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from anexa.errors import AnexaError
from anexa.server.errors import APIError
from anexa.server.request import Request, RequestOutput
from anexa.server.responder import Responder
from anexa.server.schemas import ResponseModel, json_response
from anexa.server.worker import Worker

Result = TypeVar("Result")

EVENT_STREAM_MEDIA_TYPE = "text/event-stream"  # media type of server-sent events


async def whole_response(
    http_request: fastapi.Request, worker: Worker, responder: Responder
) -> Response:
    """Wait until all requests are finished, and return their outputs as one JSON response.

    If a request fails or the client disconnects, all requests are canceled.

    Raises:
        APIError: if a request fails, or the client disconnects.
    """
    outputs = await wait_for_outputs(http_request, worker, responder.requests)
    # In a thread, because the log probabilities of many prompts take a second.
    return await asyncio.to_thread(lambda: json_response(responder.response(outputs)))


async def wait_for_outputs(
    http_request: fastapi.Request, worker: Worker, requests: Sequence[Request]
) -> list[RequestOutput]:
    """Wait until all requests are finished, and return the whole output of each.

    If a request fails or the client disconnects, all requests are canceled.

    Raises:
        APIError: if a request fails, or the client disconnects.
    """

    async def outputs() -> list[RequestOutput]:
        return [await request.whole_output() for request in requests]

    try:
        return await cancel_on_disconnect(http_request, outputs())
    finally:
        worker.cancel(requests)


async def cancel_on_disconnect(
    http_request: fastapi.Request, awaitable: Awaitable[Result]
) -> Result:
    """Await a result, which is canceled if the client disconnects.

    Exceptions of the awaitable are passed on.

    Args:
        http_request: request of the client, whose body has been read.
        awaitable: what to wait for.

    Returns:
        The result.

    Raises:
        APIError: if the client disconnects; with status 499.
    """

    async def disconnected() -> None:
        while (await http_request.receive())["type"] != "http.disconnect":
            pass

    result, disconnect = asyncio.ensure_future(awaitable), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait([result, disconnect], return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise APIError("the client has disconnected", status=499)
        return result.result()
    finally:
        for task in (result, disconnect):
            task.cancel()
            with suppress(asyncio.CancelledError, AnexaError):
                await task


class RequestStream(StreamingResponse):
    """A streamed response; its requests are canceled when it ends, however it ends.

    Args:
        worker: worker that runs the requests.
        requests: requests whose outputs the body is made of.
        content: generator of the body.
        media_type: MIME type of the body.
    """

    def __init__(
        self,
        worker: Worker,
        requests: Sequence[Request],
        content: AsyncGenerator[bytes],
        media_type: str,
    ) -> None:
        self._worker, self._requests, self._content = worker, requests, content
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response to the client, then cancel unfinished requests."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._worker.cancel(self._requests)
            await self._content.aclose()


async def stream_events(responder: Responder) -> AsyncGenerator[bytes]:
    """Yield server-sent events with the outputs of all requests, as they are generated.

    The last event is `[DONE]`; or, if a request fails, its error.
    """
    outputs: asyncio.Queue[tuple[int, RequestOutput]] = asyncio.Queue(maxsize=1)

    async def collect(index: int) -> None:
        async for output in responder.requests[index]:
            await outputs.put((index, output))

    num_running = len(responder.requests)
    collectors = [asyncio.ensure_future(collect(index)) for index in range(num_running)]
    try:
        for index in range(num_running):
            if first := responder.first_chunk(index):
                yield encode_event(first)
        while num_running:
            index, output = await outputs.get()
            if output.error:
                yield encode_event(output.error.body)
                return
            for chunk in responder.chunks(index, output):
                yield encode_event(chunk)
            num_running -= output.finished
        if responder.include_usage:
            yield encode_event(responder.usage_chunk())
        yield b"data: [DONE]\n\n"
    finally:
        for collector in collectors:
            collector.cancel()


def encode_event(data: ResponseModel) -> bytes:
    """Convert an object to a server-sent event: a line "data: " with its JSON."""
    return b"data: " + data.to_json() + b"\n\n"

"""Responses of the glass box: JSON, tensors, and the lines of a job."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any

from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from anexa.errors import AnexaError, error_sentence
from anexa.explore.quantities import encode_tensors


def json_response(content: Any) -> Response:
    """Create a JSON response; NaN and the infinities become strings, as in `json_line`."""
    return Response(json_line(content), media_type="application/json")


def json_line(content: Any) -> str:
    """Convert a value to a line of JSON, with its line break.

    NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity".
    """
    return json.dumps(_finite(content), ensure_ascii=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"
    return content


def tensors_response(tensors: dict[str, Any]) -> Response:
    """Create a response with tensors, as a safetensors file.

    Args:
        tensors: arrays by name.
    """
    return Response(encode_tensors(tensors), media_type="application/octet-stream")


class JobLines:
    """Iterator over the lines of a job, which another thread may close at any time.

    Args:
        lines: generator of the lines.
    """

    def __init__(self, lines: Generator[str, None, None]) -> None:
        self._lines, self._lock = lines, threading.Lock()

    def __iter__(self) -> JobLines:
        return self

    def __next__(self) -> str:
        with self._lock:
            return next(self._lines)

    def close(self) -> None:
        """Cancel the job; waits for the line that another thread is computing."""
        with self._lock:
            self._lines.close()


class JobResponse(StreamingResponse):
    """Lines of JSON from a job, which ends with its request.

    Args:
        lines: lines of the job; closed at the end, also when the client disconnects before.
    """

    def __init__(self, lines: Generator[str, None, None]) -> None:
        self._lines = JobLines(lines)
        super().__init__(self._lines, media_type="application/x-ndjson")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines to the client as they are computed."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # The exception that cancels a response keeps its frames, and with them the lines.
            self._lines.close()


def run_job(
    job: Generator[Any, None, Any],
    lock: AbstractContextManager[object],
    closing: threading.Event,
) -> Generator[str, None, None]:
    """Run a job, and yield its progress and its result as lines of JSON.

    Closing the iterator, which happens when the client disconnects, cancels the job.

    Args:
        job: generator that yields its progress, and returns its result.
        lock: lock to hold while the job computes; it is free between two reports, so that the page
            stays usable.
        closing: event that is set when the server shuts down; then the job is canceled, and its
            last line is an error.

    Yields:
        A line `{"progress": …}` for each report, and at the end `{"result": …}`, or
        `{"error": …}` with a sentence for the user.
    """
    try:
        while not closing.is_set():
            # Nothing is yielded with the lock held: another thread may go on with this generator.
            try:
                with lock:
                    progress = next(job)
            except StopIteration as end:
                yield json_line({"result": end.value})
                return
            yield json_line({"progress": progress})
        yield json_line({"error": "the program was stopped: start it again"})
    except (AnexaError, MemoryError) as error:
        yield json_line({"error": error_sentence(error)})
    finally:
        job.close()

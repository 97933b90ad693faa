"""Error messages for clients when a computation in the worker's thread fails."""

from __future__ import annotations

import asyncio
import json

import pytest

from anexa.errors import AnexaError, OutOfMemoryError
from anexa.server.errors import APIError
from anexa.server.worker_task import WorkerTask


async def failed_task(error: Exception) -> APIError:
    """Run a task whose only function raises an error, and return the error of the task."""

    def fail() -> None:
        raise error

    task = WorkerTask([fail], num_tokens=1)
    task.run()
    assert task.finished
    task.finish()
    with pytest.raises(APIError) as caught:
        await task.results
    return caught.value


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (
            MemoryError(),
            503,
            "overloaded",
            "there is not enough memory at the moment: try again in a second",
        ),
        (OutOfMemoryError("lower --n-embd"), 503, "overloaded", "lower --n-embd"),
        (AnexaError("a logit is not a number"), 500, None, "a logit is not a number"),
        (ZeroDivisionError("by zero"), 500, None, "internal error (ZeroDivisionError)"),
    ],
)
def test_error_of_a_function_is_the_error_of_its_task(
    error: Exception, status: int, code: str | None, message: str
) -> None:
    found = asyncio.run(failed_task(error))
    body = json.loads(bytes(found.response().body))["error"]
    assert (found.status, body["code"], body["message"]) == (status, code, message)

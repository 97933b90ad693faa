"""Computations in the worker's thread that generate no text, such as embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from anexa.server.errors import APIError, as_api_error
from anexa.server.request import RequestOutput

Result = TypeVar("Result")


class WorkerTask(Generic[Result]):
    """A list of functions that a worker calls one by one, between the steps of its scheduler.

    A task is created in the event loop. It ends at the first function that fails.

    Args:
        functions: functions to call, at least one.
        num_tokens: number of tokens that the functions process, for the metrics.

    Attributes:
        num_tokens: number of tokens that the functions process.
        results: future of the results in the order of the functions, awaited in the event loop; it
            raises `APIError` if a function fails.
    """

    def __init__(self, functions: Sequence[Callable[[], Result]], num_tokens: int) -> None:
        self._functions, self.num_tokens = functions, num_tokens
        self.results: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._so_far: list[Result] = []
        self._error: APIError | None = None

    @property
    def finished(self) -> bool:
        """Whether all functions have been called, or one has failed."""
        return self._error is not None or len(self._so_far) == len(self._functions)

    def run(self) -> None:
        """Call the next function, unless the task is canceled; called in the worker's thread."""
        if self.results.done():  # the task was canceled
            return
        try:
            self._so_far.append(self._functions[len(self._so_far)]())
        except Exception as error:  # of any kind: it ends this task, and no others
            self._error = as_api_error(error)

    def finish(self) -> None:
        """Resolve the future of a finished task with its results, or with the error of a function.

        Called in the event loop.
        """
        if self._error:
            self.results.set_exception(self._error)
        else:
            self.results.set_result(self._so_far)

    def publish(self, output: RequestOutput) -> None:
        """End an unfinished task with the error in an output; called in the event loop.

        Without an error in the output, nothing happens.
        """
        if output.error and not self.results.done():
            self.results.set_exception(output.error)

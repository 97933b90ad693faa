"""Worker of a served model: a thread that runs its scheduler."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from anexa.engines import Engine
from anexa.generation.scheduler import BatchScheduler, StepOutput
from anexa.generation.scheduler import Sequence as ScheduledSequence
from anexa.server.config import ServerConfig
from anexa.server.errors import APIError, as_api_error
from anexa.server.metrics import Metrics
from anexa.server.request import Request, RequestOutput
from anexa.server.worker_task import WorkerTask

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

STOP_TIMEOUT = 2.0  # seconds to wait for the current step when the server shuts down
# Minimum seconds between two outputs of a request. A small model generates a thousand tokens per
# second: sending each one separately would take longer than generating it.
PUBLISH_INTERVAL = 0.025


class Worker:
    """Thread that runs the scheduler of a model, and passes outputs to the event loop.

    Creating a worker starts the thread. A worker is created in the event loop, and its public
    methods must be called there.

    Args:
        engine: engine that computes the model.
        config: limits of the server.
        name: served model name.
        metrics: metrics of the server.

    Attributes:
        scheduler: scheduler of the model's sequences.
        failed: whether the thread has ended because of an error; then `submit` refuses requests.
    """

    def __init__(self, engine: Engine, config: ServerConfig, name: str, metrics: Metrics) -> None:
        self._engine, self._config, self._name = engine, config, name
        self._metrics = metrics.for_model(name)
        self.scheduler = self._new_scheduler()
        self.failed = False
        # Unfinished requests and tasks, with their timeouts.
        self._open: dict[Request | WorkerTask[Any], asyncio.TimerHandle] = {}
        self._commands: queue.SimpleQueue[tuple[Request | WorkerTask[Any], bool] | None]
        self._commands = queue.SimpleQueue()
        # Used by the thread only:
        self._scheduled: dict[ScheduledSequence, Request] = {}
        self._tasks: deque[WorkerTask[Any]] = deque()
        self._unsent: dict[Request, RequestOutput] = {}
        self._last_published = 0.0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="anexa-worker", daemon=True)
        self._thread.start()

    @property
    def max_requests(self) -> int:
        """Maximum number of unfinished requests, running and queued."""
        return self._config.max_num_seqs + self._config.max_queued_requests

    @property
    def idle(self) -> bool:
        """Whether all requests are finished."""
        return not self._open

    async def compute(
        self, functions: Sequence[Callable[[], Result]], num_tokens: int
    ) -> list[Result]:
        """Call functions in the worker's thread, each between two steps of the scheduler.

        Args:
            functions: functions to call, at least one. Running sequences wait while a function
                runs.
            num_tokens: number of tokens that the functions process, for the metrics.

        Returns:
            The results of the functions, in order.

        Raises:
            APIError: if the queue is full or the thread has ended, a function fails, or the
                functions take longer than the timeout of a request.
        """
        task = WorkerTask(functions, num_tokens)
        self.submit([task])
        try:
            return await task.results
        finally:
            self.cancel([task])

    def submit(self, requests: Sequence[Request | WorkerTask[Any]]) -> None:
        """Queue requests, and start their timeouts; if an error is raised, none of them is queued.

        Raises:
            APIError: if the queue has too little room, or the thread has ended because of an error.
        """
        if self.failed:
            raise APIError("the model has failed: restart the server", status=500)
        if len(self._open) + len(requests) > self.max_requests:
            raise APIError(
                "there are too many requests at the moment: try again in a second",
                status=503,
                code="overloaded",
            )
        for request in requests:
            self._open[request] = self._loop.call_later(
                self._config.request_timeout_seconds, self._time_out, request
            )
            self._commands.put((request, True))

    def cancel(self, requests: Iterable[Request | WorkerTask[Any]]) -> None:
        """Remove requests from the scheduler; for a finished request, do nothing."""
        for request in requests:
            if request in self._open:
                self._metrics.count_finished("abort")
                self._open.pop(request).cancel()
                self._commands.put((request, False))

    def shut_down(self) -> None:
        """End all unfinished requests with an error; the thread continues."""
        message = "the server is shutting down: try again later"
        for request in [*self._open]:
            self._abort(request, APIError(message, status=503, code="shutting_down"))

    async def stop(self) -> None:
        """End the thread after its current step; wait for that at most `STOP_TIMEOUT` seconds."""
        self._commands.put(None)
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT)

    def _new_scheduler(self) -> BatchScheduler:
        config = self._config
        return BatchScheduler(self._engine, config.max_num_seqs, 10**6 * config.prefix_cache_mb)

    def _abort(self, request: Request | WorkerTask[Any], error: APIError) -> None:
        self.cancel([request])
        request.publish(RequestOutput(error=error))

    def _time_out(self, request: Request | WorkerTask[Any]) -> None:
        message = f"the request took longer than {self._config.request_timeout_seconds:g} seconds"
        self._abort(request, APIError(message, status=504, code="timeout"))

    def _publish(self, outputs: dict[Request, RequestOutput]) -> None:
        """Pass outputs to their requests; called in the event loop."""
        for request, output in outputs.items():
            if request not in self._open:  # canceled
                continue
            self._metrics.count_output(request, output)
            if output.finished:
                self._open.pop(request).cancel()
            request.publish(output)

    def _continue(self, task: WorkerTask[Any]) -> None:
        """Queue the next function of a task, or set its results; called in the event loop."""
        if task not in self._open:  # canceled
            return
        if task.finished:
            self._open.pop(task).cancel()
            self._metrics.count_task(task.num_tokens)
            task.finish()
        else:
            self._commands.put((task, True))

    def _fail(self, reason: str) -> None:
        """End all requests after the thread has ended; called in the event loop."""
        self.failed = True
        _log.error("%s has failed: %s", self._name, reason)
        for request in [*self._open]:
            self._open.pop(request).cancel()
            request.publish(RequestOutput(error=APIError("the model has failed", status=500)))

    # Called in the thread

    def _run(self) -> None:
        try:
            while self._execute_commands():
                if self._tasks:
                    self._run_task(self._tasks.popleft())
                if self._scheduled:
                    self._step()
        except Exception as error:  # of any kind: no client may wait for a thread that has ended
            self._call_in_loop(self._fail, str(error) or type(error).__name__)

    def _execute_commands(self) -> bool:
        """Add and remove requests; if there are none, wait for one.

        Returns:
            Whether the thread continues; False to end it.
        """
        while not (self._scheduled or self._tasks) or not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            request, is_new = command
            if isinstance(request, WorkerTask):
                if is_new:
                    self._tasks.append(request)
            elif is_new:
                sequence = self.scheduler.add(
                    request.text.prompt.ids, request.sampler, request.num_prompt_logprobs
                )
                request.sequence, self._scheduled[sequence] = sequence, request
            else:
                self._remove(request)
        return True

    def _run_task(self, task: WorkerTask[Any]) -> None:
        """Call the next function of a task.

        Between two steps only one function is called, however many tasks there are.
        """
        task.run()
        self._call_in_loop(self._continue, task)

    def _remove(self, request: Request) -> None:
        if request.sequence is not None:
            del self._scheduled[request.sequence]
            self.scheduler.remove(request.sequence)
            request.sequence = None

    def _step(self) -> None:
        try:
            steps = self.scheduler.step()
        except Exception as error:  # of any kind: it ends the scheduled requests, no later ones
            _log.error("%s: %s: %s", self._name, type(error).__name__, error)
            for request in self._scheduled.values():
                request.sequence = None
                self._unsent[request] = RequestOutput(error=as_api_error(error))
            self._scheduled.clear()
            del self.scheduler  # first, as the new one may need its memory
            self.scheduler = self._new_scheduler()
        else:
            for step in steps:
                self._process(self._scheduled[step.sequence], step)
        is_urgent = any(output.is_first or output.finished for output in self._unsent.values())
        now = time.monotonic()
        if is_urgent or now - self._last_published > PUBLISH_INTERVAL:
            self._call_in_loop(self._publish, self._unsent)
            self._unsent, self._last_published = {}, now

    def _process(self, request: Request, step: StepOutput) -> None:
        """Add the result of a step to the output of its request; drop a finished request."""
        output = self._unsent.setdefault(request, RequestOutput())
        try:
            request.process(step, output)
        except Exception as error:  # of any kind: it ends this request, and no others
            output.error = as_api_error(error)
        if output.finished:
            self._remove(request)

    def _call_in_loop(self, function: Callable[[Any], None], argument: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(function, argument)

"""The thread in which a model writes: one for each model."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from anexa.engines import Engine
from anexa.generation.scheduler import BatchScheduler, Drawn, Stream
from anexa.server.jobs import (
    QueueFull,
    Request,
    RequestOutput,
    RequestTimeout,
    ServiceError,
    ShuttingDown,
)
from anexa.server.limits import Limits
from anexa.server.metrics import Metrics

_log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds for a step to end, when the server does
# Seconds between two tellings of what is written. Nobody reads faster; a small model writes a
# thousand tokens in a second, and to send each by itself takes longer than to write it.
PAUSE = 0.025


def _lost(error: Exception) -> RequestOutput:
    """The end of a text by an error that nobody has thought of."""
    kind = type(error).__name__
    return RequestOutput(done=True, error=ServiceError(f"an error that should not be ({kind})"))


class Worker:
    """The thread in which a model writes.

    Args:
        engine: the model.
        limits: how many texts there may be, and for how long.
        name: of the model.
        metrics: where figures are kept.

    Attributes:
        batcher: what it runs.
        failed: whether it cannot go on: nothing it is asked for will be written.
    """

    def __init__(self, engine: Engine, limits: Limits, name: str, metrics: Metrics) -> None:
        self._engine, self.batcher = engine, BatchScheduler(engine, limits.running)
        self._limits, self._name, self._figures = limits, name, metrics.of(name)
        self.failed = False
        self._open: dict[Request, asyncio.TimerHandle] = {}
        self._orders: queue.SimpleQueue[tuple[Request, bool] | None] = queue.SimpleQueue()
        self._streams: dict[Request, Stream] = {}  # these four are the thread's own
        self._jobs: dict[Stream, Request] = {}
        self._untold: dict[Request, RequestOutput] = {}
        self._told = 0.0  # when something was told of last
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="anexa-worker", daemon=True)
        self._thread.start()

    @property
    def most(self) -> int:
        """So many texts there may be, those that wait included."""
        return self._limits.running + self._limits.waiting

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._open

    def submit(self, jobs: Sequence[Request]) -> None:
        """Have texts written.

        Raises:
            BusyError: too many are waiting; none of these is begun.
            ServiceError: the thread has failed.
        """
        if self.failed:
            raise ServiceError("the model has failed: start the server again")
        if len(self._open) + len(jobs) > self.most:
            raise QueueFull("there are too many requests at the moment: try again in a second")
        for job in jobs:
            self._open[job] = self._loop.call_later(self._limits.seconds, self._expire, job)
            self._orders.put((job, True))

    def cancel(self, job: Request) -> None:
        """Free the place of a text before it is done; nothing, if it is."""
        if job in self._open:
            self._figures.end("abort")
            self._open.pop(job).cancel()
            self._orders.put((job, False))

    def end(self) -> None:
        """Tell all who wait that nothing more is written for them."""
        for job in [*self._open]:
            self.cancel(job)
            job.publish(
                RequestOutput(
                    done=True, error=ShuttingDown("the server is ending: try again later")
                )
            )

    async def stop(self) -> None:
        """End the thread; one that is in the middle of a long step is left to itself."""
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join, PATIENCE)

    def _work(self) -> None:
        try:
            while self._obey():
                self._step()
        except Exception as error:  # whatever it is: nobody is to wait in vain
            self._on_loop(self._fail, str(error) or type(error).__name__)

    def _obey(self) -> bool:
        """Begin and end texts as it was ordered; False if that was all."""
        while not self._jobs or not self._orders.empty():
            order = self._orders.get()
            if order is None:
                return False
            job, begins = order
            if begins:
                stream = self.batcher.add(job.text.prompt.ids, job.sampler)
                self._streams[job], self._jobs[stream] = stream, job
            elif job in self._streams:
                self._forget(job)
        return True

    def _forget(self, job: Request) -> None:
        stream = self._streams.pop(job)
        del self._jobs[stream]
        self.batcher.remove(stream)

    def _step(self) -> None:
        try:
            drawn = self.batcher.step()
        except Exception as error:  # a defect: the texts are lost, and the next ones live
            _log.error("%s: %s: %s", self._name, type(error).__name__, error)
            self._untold = {job: _lost(error) for job in self._streams}
            self._streams.clear()
            self._jobs.clear()
            del self.batcher  # whose memory a new one may need
            self.batcher = BatchScheduler(self._engine, self._limits.running)
        else:
            for one in drawn:
                job = self._jobs[one.stream]
                self._untold.setdefault(job, RequestOutput()).add(self._take(job, one))
        now, urgent = time.monotonic(), any(new.first or new.done for new in self._untold.values())
        if urgent or now - self._told > PAUSE:
            self._on_loop(self._tell, self._untold)
            self._untold, self._told = {}, now

    def _take(self, job: Request, drawn: Drawn) -> RequestOutput:
        """What a token has brought; a text that is done has no place any more."""
        try:
            news = job.take(drawn)
        except Exception as error:  # a defect: this text is lost, no other
            news = _lost(error)
        if news.done:
            self._forget(job)
        return news

    def _on_loop(self, function: Callable[[Any], None], argument: object) -> None:
        with suppress(RuntimeError):  # the server has gone
            self._loop.call_soon_threadsafe(function, argument)

    def _fail(self, why: str) -> None:
        """In the event loop: the thread has ended."""
        self.failed = True
        _log.error("%s has failed: %s", self._name, why)
        for job in [*self._open]:
            self._open.pop(job).cancel()
            job.publish(RequestOutput(done=True, error=ServiceError("the model has failed")))

    def _expire(self, job: Request) -> None:
        self.cancel(job)
        limit = f"{self._limits.seconds:g} seconds"
        job.publish(
            RequestOutput(done=True, error=RequestTimeout(f"the text took longer than {limit}"))
        )

    def _tell(self, news: dict[Request, RequestOutput]) -> None:
        """In the event loop."""
        for job, its_own in news.items():
            if job not in self._open:  # nobody waits for it any more
                continue
            self._figures.count(job, its_own)
            if its_own.done:
                self._open.pop(job).cancel()
            job.publish(its_own)

"""Texts that were asked for, and the thread that writes them: one for each model."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anexa.engines import Engine
from anexa.errors import AnexaError
from anexa.generation import Answer, Piece, Sampler, Writing
from anexa.generation.batcher import Batcher, Drawn, ShortOfMemoryError, Stream
from anexa.server.limits import Limits
from anexa.server.metrics import Metrics

_log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds for a step to end, when the server does


class ServiceError(AnexaError):
    """What the server could not do, and how the API says so.

    Attributes:
        status: of HTTP.
        code: of the error, if it has one.
    """

    status = 500
    code: str | None = None


class BusyError(ServiceError):
    """As many texts wait already as may, or memory is short."""

    status, code = 503, "overloaded"


class LateError(ServiceError):
    """A text took too long."""

    status, code = 504, "timeout"


@dataclass(frozen=True)
class TokenLogprob:
    """A token that was drawn, and how likely the model found it and others.

    Attributes:
        token: its id.
        logprob: the logarithm of its probability, at a temperature of 1.
        top: the likeliest ids, and theirs.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass
class News:
    """What has been written of a text since one last looked.

    Attributes:
        pieces: of its thought and of what it says.
        logprobs: of its tokens, where they were asked for.
        done: whether that was the last of it.
        error: what ended it.
    """

    pieces: list[Piece] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    done: bool = False
    error: ServiceError | None = None

    def add(self, later: News) -> None:
        """Take in what came after it."""
        for piece in later.pieces:
            if self.pieces and self.pieces[-1].thought == piece.thought:
                self.pieces[-1] = Piece(self.pieces[-1].text + piece.text, piece.thought)
            else:
                self.pieces.append(piece)
        self.logprobs += later.logprobs
        self.done, self.error = later.done, later.error


class Job:
    """A text that was asked for; iterate over it for `News`, until it is done.

    Args:
        text: takes in its tokens.
        sampler: draws them.
        answers: whether it is an answer, with a thought perhaps.
        top_logprobs: how many of the likeliest tokens are told of; None: no logprobs.

    Attributes:
        begun: when it was asked for, as `time.monotonic` has it.
        latest: when its latest token was there; 0 before the first.
        counted: tokens that are in the server's figures.
        tells_logprobs: whether they were asked for.
    """

    def __init__(
        self, text: Writing, sampler: Sampler, *, answers: bool, top_logprobs: int | None = None
    ) -> None:
        self.text, self.sampler = text, sampler
        self.answer = Answer(text) if answers else None
        self.begun, self.latest, self.counted = time.monotonic(), 0.0, 0
        self.tells_logprobs = top_logprobs is not None
        self._top_logprobs = top_logprobs
        self._news, self._there_is_some = News(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[News]:
        done = False
        while not done:
            await self._there_is_some.wait()
            self._there_is_some.clear()
            news, self._news = self._news, News()
            done = news.done
            yield news

    def take(self, drawn: Drawn) -> News:
        """In the thread: what a token has brought."""
        if drawn.error:
            kind = BusyError if isinstance(drawn.error, ShortOfMemoryError) else ServiceError
            return News(done=True, error=kind(str(drawn.error)))
        before = self.text.tokens
        piece = self.text.take(drawn.token)
        if self.answer:
            pieces = [*self.answer.take(piece)]
        else:
            pieces = [Piece(piece, thought=False)] if piece else []
        logprobs = []
        if self._top_logprobs is not None and self.text.tokens > before:  # no boundary
            logprobs.append(logprob_of(drawn.logits, drawn.token, self._top_logprobs))
        return News(pieces, logprobs, done=self.text.finish_reason is not None)

    def hear(self, news: News) -> None:
        """In the event loop: what has been written."""
        self._news.add(news)
        self._there_is_some.set()


def logprob_of(logits: Sequence[float], token: int, top: int) -> TokenLogprob:
    """How likely a token is by these logits, and how likely the likeliest are."""
    z = np.asarray(logits, np.float64)
    z = z - z.max() - math.log(np.exp(z - z.max()).sum())
    some = np.argpartition(-z, min(top, len(z) - 1))[:top]
    likeliest = some[np.argsort(-z[some], kind="stable")].tolist()
    return TokenLogprob(token, float(z[token]), tuple((n, float(z[n])) for n in likeliest))


def _lost(error: Exception) -> News:
    """The end of a text by an error that nobody has thought of."""
    kind = type(error).__name__
    return News(done=True, error=ServiceError(f"an error that should not be ({kind})"))


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
        self._engine, self.batcher = engine, Batcher(engine, limits.running)
        self._limits, self._name, self._metrics = limits, name, metrics
        self.failed = False
        self._open: dict[Job, asyncio.TimerHandle] = {}
        self._orders: queue.SimpleQueue[tuple[Job, bool] | None] = queue.SimpleQueue()
        self._streams: dict[Job, Stream] = {}  # these two are the thread's own
        self._jobs: dict[Stream, Job] = {}
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

    def submit(self, jobs: Sequence[Job]) -> None:
        """Have texts written.

        Raises:
            BusyError: too many are waiting; none of these is begun.
            ServiceError: the thread has failed.
        """
        if self.failed:
            raise ServiceError("the model has failed: start the server again")
        if len(self._open) + len(jobs) > self.most:
            raise BusyError("there are too many requests at the moment: try again in a second")
        for job in jobs:
            self._open[job] = self._loop.call_later(self._limits.seconds, self._expire, job)
            self._orders.put((job, True))

    def cancel(self, job: Job) -> None:
        """Free the place of a text before it is done; nothing, if it is."""
        if job in self._open:
            self._metrics.success.labels(self._name, "abort").inc()
            self._open.pop(job).cancel()
            self._orders.put((job, False))

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

    def _forget(self, job: Job) -> None:
        stream = self._streams.pop(job)
        del self._jobs[stream]
        self.batcher.remove(stream)

    def _step(self) -> None:
        try:
            drawn = self.batcher.step()
        except Exception as error:  # a defect: the texts are lost, and the next ones live
            _log.error("%s: %s: %s", self._name, type(error).__name__, error)
            news = [(job, _lost(error)) for job in self._streams]
            self._streams.clear()
            self._jobs.clear()
            del self.batcher  # whose memory a new one may need
            self.batcher = Batcher(self._engine, self._limits.running)
        else:
            news = [(self._jobs[one.stream], self._take(one)) for one in drawn]
        self._on_loop(self._tell, news)

    def _take(self, drawn: Drawn) -> News:
        """What a token has brought; a text that is done has no place any more."""
        job = self._jobs[drawn.stream]
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
            job.hear(News(done=True, error=ServiceError("the model has failed")))

    def _expire(self, job: Job) -> None:
        self.cancel(job)
        limit = f"{self._limits.seconds:g} seconds"
        job.hear(News(done=True, error=LateError(f"the text took longer than {limit}")))

    def _tell(self, news: list[tuple[Job, News]]) -> None:
        """In the event loop."""
        now = time.monotonic()
        for job, its_own in news:
            if job not in self._open:  # nobody waits for it any more
                continue
            if not its_own.error:
                self._count(job, now, last=its_own.done)
            if its_own.done:
                self._open.pop(job).cancel()
            job.hear(its_own)

    def _count(self, job: Job, now: float, *, last: bool) -> None:
        """Keep the figures of one more token."""
        metrics, name = self._metrics, self._name
        metrics.generation_tokens.labels(name).inc(job.text.tokens - job.counted)
        job.counted = job.text.tokens
        if job.latest:
            metrics.between_tokens.labels(name).observe(now - job.latest)
        else:
            metrics.prompt_tokens.labels(name).inc(len(job.text.prompt.ids))
            metrics.first_token.labels(name).observe(now - job.begun)
        job.latest = now
        if last:
            metrics.success.labels(name, job.text.finish_reason).inc()
            metrics.whole.labels(name).observe(now - job.begun)

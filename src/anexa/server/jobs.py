"""Texts that were asked for, and what is told of them as they are written."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from anexa.errors import AnexaError
from anexa.generation import AnswerPiece, ChatAnswer, Sampler, TextStream
from anexa.generation.scheduler import Drawn, ShortOfMemoryError


class ServiceError(AnexaError):
    """What the server could not do, and how the API says so.

    Attributes:
        status: of HTTP.
        code: of the error, if it has one.
    """

    status = 500
    code: str | None = None


class QueueFull(ServiceError):
    """As many texts wait already as may, or memory is short."""

    status, code = 503, "overloaded"


class ShuttingDown(ServiceError):
    """The server ends before a text does."""

    status, code = 503, "ending"


class RequestTimeout(ServiceError):
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
class RequestOutput:
    """What has been written of a text since one last looked.

    Attributes:
        pieces: of its thought and of what it says.
        logprobs: of its tokens, where they were asked for.
        times: when each of its tokens was drawn, the end too, as `time.monotonic` has it.
        first: whether its first piece is among them.
        done: whether that was the last of it.
        error: what ended it.
    """

    pieces: list[AnswerPiece] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    first: bool = False
    done: bool = False
    error: ServiceError | None = None

    def add(self, later: RequestOutput) -> None:
        """Take in what came after it."""
        for piece in later.pieces:
            if self.pieces and self.pieces[-1].is_reasoning == piece.is_reasoning:
                self.pieces[-1] = AnswerPiece(self.pieces[-1].text + piece.text, piece.is_reasoning)
            else:
                self.pieces.append(piece)
        self.logprobs += later.logprobs
        self.times += later.times
        self.first |= later.first
        self.done, self.error = later.done, later.error


class Request:
    """A text that was asked for; iterate over it for `RequestOutput`, until it is done.

    Args:
        text: takes in its tokens.
        sampler: draws them.
        answers: whether it is an answer, with a thought perhaps.
        top_logprobs: how many of the likeliest tokens are told of; None: no logprobs.

    Attributes:
        begun: when it was asked for, as `time.monotonic` has it.
        latest: when the latest token was drawn that is in the server's figures; 0 before.
        counted: tokens that are in them.
        tells_logprobs: whether they were asked for.
    """

    def __init__(
        self, text: TextStream, sampler: Sampler, *, answers: bool, top_logprobs: int | None = None
    ) -> None:
        self.text, self.sampler = text, sampler
        self.answer = ChatAnswer(text) if answers else None
        self.begun, self.latest, self.counted = time.monotonic(), 0.0, 0
        self.tells_logprobs = top_logprobs is not None
        self._top_logprobs, self._has_begun = top_logprobs, False
        self._news, self._there_is_some = RequestOutput(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[RequestOutput]:
        done = False
        while not done:
            await self._there_is_some.wait()
            self._there_is_some.clear()
            news, self._news = self._news, RequestOutput()
            done = news.done
            yield news

    def take(self, drawn: Drawn) -> RequestOutput:
        """In the thread: what a token has brought."""
        if drawn.error:
            kind = QueueFull if isinstance(drawn.error, ShortOfMemoryError) else ServiceError
            return RequestOutput(done=True, error=kind(str(drawn.error)))
        before = self.text.tokens
        piece = self.text.take(drawn.token)
        if self.answer:
            pieces = [*self.answer.take(piece)]
        else:
            pieces = [AnswerPiece(piece, is_reasoning=False)] if piece else []
        logprobs = []
        if self._top_logprobs is not None and self.text.tokens > before:  # no boundary
            logprobs.append(logprob_of(drawn.logits, drawn.token, self._top_logprobs))
        done = self.text.finish_reason is not None
        first = bool(pieces) and not self._has_begun
        self._has_begun |= first
        return RequestOutput(pieces, logprobs, [time.monotonic()], first=first, done=done)

    def publish(self, news: RequestOutput) -> None:
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

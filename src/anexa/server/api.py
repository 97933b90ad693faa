"""The routes of OpenAI's API."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from anexa.errors import AnexaError
from anexa.generation import LanguageModel, Prompt, Sampler, SamplingParams, TextStream
from anexa.generation.text_stream import PromptTooLongError
from anexa.server import responses, schemas
from anexa.server.jobs import Request as GenerationRequest
from anexa.server.jobs import RequestOutput, TokenLogprob
from anexa.server.limits import MOST_TEXTS
from anexa.server.requests import ChatRequest, CompletionRequest, Generation
from anexa.server.responses import JSON, ChatShape, CompletionShape, Shape
from anexa.server.worker import Worker

MOST_TOKENS = 4096  # of a text that continues a prompt
USUAL_TOKENS = 16  # of one, as OpenAI has it
USUAL_TOP_P, USUAL_TOP_K = 1.0, None  # any token may be drawn


class RequestError(AnexaError):
    """A request that cannot be met: an HTTP status, and the field that is wrong."""

    def __init__(
        self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


@dataclass(frozen=True)
class Served:
    """A model that is served, by a worker of its own."""

    model: LanguageModel
    worker: Worker
    created: int

    @property
    def about(self) -> dict[str, Any]:
        """As a list of models has it, and what the page wants to know: limits and defaults."""
        answers = self.model.chat_template is not None
        block_size = self.model.engine.config.block_size
        return {
            "id": self.model.name,
            "object": "model",
            "created": self.created,
            "owned_by": "anexa",
            "max_model_len": block_size,
            "answers": answers,
            "most_tokens": block_size if answers else MOST_TOKENS,
            "temperature": self.model.temperature,
            "top_p": USUAL_TOP_P,
            "top_k": USUAL_TOP_K,
        }


# Of all that can go wrong the answer has one form.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorResponse, "description": words}
    for status, words in (("4XX", "The request cannot be met."), ("5XX", "The server cannot."))
}
router = APIRouter(prefix="/v1", responses=ERRORS)


@router.get("/models", response_model=schemas.ModelList)
async def models(request: Request) -> JSONResponse:
    """The models that are served."""
    return JSONResponse({"object": "list", "data": [one.about for one in _all(request).values()]})


@router.get("/models/{name:path}", response_model=schemas.Model)
async def model(request: Request, name: str) -> JSONResponse:
    """One of them."""
    return JSONResponse(_served(request, name).about)


@router.post(
    "/completions",
    response_model=schemas.Completion,
    responses=schemas.streamed(schemas.CompletionChunk),
)
async def completions(request: Request, asked: CompletionRequest) -> Response:
    """Texts that continue prompts."""
    served = _served(request, asked.model)
    tokenizer, block_size = served.model.tokenizer, served.model.engine.config.block_size
    most = asked.max_tokens or USUAL_TOKENS
    if most > MOST_TOKENS:
        raise RequestError(f"max_tokens is at most {MOST_TOKENS:,} here", "max_tokens")
    prompts = asked.prompts
    if not prompts:
        raise RequestError("prompt must not be an empty list", "prompt")
    if len(prompts) * (asked.n or 1) > MOST_TEXTS:
        raise RequestError(
            f"these are {len(prompts) * (asked.n or 1)} texts, and one request may ask for "
            f"{MOST_TEXTS}",
            "n",
        )
    with _about("prompt"):
        read = [Prompt(tokenizer, block_size, prompt) for prompt in prompts]
    texts = [
        TextStream(tokenizer, prompt, max_tokens=most, stop=asked.stops)
        for prompt in read
        for _ in range(asked.n or 1)
    ]
    jobs = _jobs(served, texts, asked, answers=False, top_logprobs=asked.logprobs)
    shape = CompletionShape(served.model.name, tokenizer, echo=bool(asked.echo))
    return await _respond(request, served.worker, jobs, shape, asked, len(prompts))


@router.post(
    "/chat/completions",
    response_model=schemas.ChatCompletion,
    responses=schemas.streamed(schemas.ChatCompletionChunk),
)
async def chat_completions(request: Request, asked: ChatRequest) -> Response:
    """Answers to a conversation."""
    served = _served(request, asked.model)
    model = served.model
    if model.chat_template is None:
        raise RequestError(
            f"{model.name} continues texts, and does not answer: use /v1/completions", "model"
        )
    if asked.top_logprobs and not asked.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", "top_logprobs")
    messages = [{"role": _role(one.role), "content": one.text} for one in asked.messages]
    block_size = model.engine.config.block_size
    with _about("messages"):
        written = model.prompt(messages, thinking=asked.thinking)
        prompt = Prompt(model.tokenizer, block_size, written)
    room = max(1, block_size - len(prompt.ids))
    most = min(asked.max_completion_tokens or asked.max_tokens or room, room)
    texts = [
        TextStream(model.tokenizer, prompt, max_tokens=most, stop=asked.stops)
        for _ in range(asked.n or 1)
    ]
    top = (asked.top_logprobs or 0) if asked.logprobs else None
    jobs = _jobs(served, texts, asked, answers=True, top_logprobs=top)
    shape = ChatShape(model.name, model.tokenizer)
    return await _respond(request, served.worker, jobs, shape, asked, 1)


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Says of what goes wrong with a field's text that it is the field."""
    try:
        yield
    except AnexaError as error:
        code = "context_length_exceeded" if isinstance(error, PromptTooLongError) else None
        raise RequestError(str(error), field, code=code) from error


def _all(request: Request) -> dict[str, Served]:
    served: dict[str, Served] = request.app.state.served
    if not served:
        raise RequestError("the model is being loaded: try again in a second", status=503)
    return served


def _served(request: Request, name: str | None) -> Served:
    """The model of that name; without a name the first one."""
    served = _all(request)
    if name is None:
        return next(iter(served.values()))
    if name not in served:
        raise RequestError(
            f"there is no model {name[:100]!r}: choose one of {', '.join(served)}",
            "model",
            status=404,
            code="model_not_found",
        )
    return served[name]


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _jobs(
    served: Served,
    texts: Sequence[TextStream],
    asked: Generation,
    *,
    answers: bool,
    top_logprobs: int | None,
) -> list[GenerationRequest]:
    """Each text with random draws of its own; by chance where no seed was given."""
    seed = random.getrandbits(32) if asked.seed is None else asked.seed % 2**64
    temperature = served.model.temperature if asked.temperature is None else asked.temperature
    top_k = asked.top_k if asked.top_k and asked.top_k > 0 else USUAL_TOP_K
    top_p = USUAL_TOP_P if asked.top_p is None else asked.top_p
    return [
        GenerationRequest(
            text,
            Sampler(SamplingParams(temperature, top_k, top_p, seed + number)),
            answers=answers,
            top_logprobs=top_logprobs,
        )
        for number, text in enumerate(texts)
    ]


async def _respond(
    request: Request,
    worker: Worker,
    jobs: list[GenerationRequest],
    shape: Shape,
    asked: Generation,
    prompts: int,
) -> Response:
    if len(jobs) > worker.most:
        raise RequestError(f"these are {len(jobs)} texts, and there may be {worker.most}", "n")
    if request.app.state.log_prompts:
        for job in jobs:
            print(json.dumps({"prompt": job.text.prompt.text}), file=sys.stderr, flush=True)
    worker.submit(jobs)
    if asked.stream:
        return JobsResponse(worker, jobs, _stream(jobs, shape, asked.with_usage, prompts))
    told: list[list[TokenLogprob]] = [[] for _ in jobs]

    async def collect() -> None:
        for job, its_own in zip(jobs, told):
            async for news in job:
                if news.error:
                    raise news.error
                its_own += news.logprobs

    try:
        await _unless_gone(request, collect())
    finally:
        for job in jobs:
            worker.cancel(job)
    return JSONResponse(shape.answer(jobs, told, prompts))


async def _unless_gone(request: Request, work: Awaitable[None]) -> None:
    """Do something, until it is done or nobody waits for it any more."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise RequestError("the client has gone", status=499)
        tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, AnexaError):
                await task


class JobsResponse(StreamingResponse):
    """The stream of some texts, whose places are free when it ends, in whatever way."""

    def __init__(
        self, worker: Worker, jobs: list[GenerationRequest], events: AsyncGenerator[bytes]
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._worker, self._jobs, self._events = worker, jobs, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            for job in self._jobs:
                self._worker.cancel(job)
            await self._events.aclose()


async def _stream(
    jobs: list[GenerationRequest], shape: Shape, with_usage: bool, prompts: int
) -> AsyncGenerator[bytes]:
    """The events of a stream: of all texts, as they come."""
    news: asyncio.Queue[tuple[int, RequestOutput]] = asyncio.Queue(maxsize=1)

    async def listen(index: int, job: GenerationRequest) -> None:
        async for some in job:
            await news.put((index, some))

    def choice(index: int, said: JSON, **more: Any) -> JSON:
        return {"index": index, **said, "logprobs": None, "finish_reason": None, **more}

    def with_logprobs(index: int) -> dict[str, Any]:
        """Those that have come since the last bit."""
        told, untold[index] = untold[index], []
        return {"logprobs": shape.logprobs(jobs[index], told)} if told else {}

    untold: list[list[TokenLogprob]] = [[] for _ in jobs]
    listeners = [asyncio.ensure_future(listen(*pair)) for pair in enumerate(jobs)]
    try:
        for index, job in enumerate(jobs):
            beginning = shape.first(job)
            if beginning:
                yield shape.bit([choice(index, beginning)], tells=with_usage)
        left = len(jobs)
        while left:
            index, some = await news.get()
            if some.error:
                error = responses.error(str(some.error), "server_error", code=some.error.code)
                yield responses.event(error)
                return
            untold[index] += some.logprobs
            for piece in some.pieces:
                said = choice(index, shape.delta(piece), **with_logprobs(index))
                yield shape.bit([said], tells=with_usage)
            if some.done:
                left -= 1
                reason = jobs[index].text.finish_reason
                end = choice(index, shape.last(), **with_logprobs(index), finish_reason=reason)
                yield shape.bit([end], tells=with_usage)
        if with_usage:
            yield shape.bit([], responses.usage(jobs, prompts), tells=True)
        yield responses.DONE
    finally:
        for listener in listeners:
            listener.cancel()

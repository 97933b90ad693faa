"""Routes of OpenAI's API: models, completions, and chat completions."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fastapi
from fastapi import APIRouter
from fastapi.responses import Response

from anexa.errors import AnexaError
from anexa.generation import LanguageModel, Prompt, Sampler, SamplingParams, TextStream
from anexa.generation.text_stream import PromptTooLongError
from anexa.server import chat_completions, completions, schemas
from anexa.server.errors import APIError
from anexa.server.limits import MAX_CHOICES, MAX_COMPLETION_TOKENS
from anexa.server.request import Request
from anexa.server.responder import Responder
from anexa.server.schemas import GenerationRequest
from anexa.server.streaming import EventStream, whole_response
from anexa.server.worker import Worker

DEFAULT_COMPLETION_TOKENS = 16  # as in OpenAI's API
DEFAULT_TOP_P, DEFAULT_TOP_K = 1.0, None  # any token may be drawn


@dataclass(frozen=True)
class ServedModel:
    """A loaded model, and the worker that runs it.

    Attributes:
        model: the model.
        worker: thread that generates its sequences.
        created: time when the model was loaded, in seconds since 1970.
    """

    model: LanguageModel
    worker: Worker
    created: int

    @property
    def block_size(self) -> int:
        """Context length in tokens."""
        return self.model.engine.config.block_size

    def to_schema(self) -> schemas.Model:
        """Describe the model as `GET /v1/models` does."""
        supports_chat = self.model.chat_template is not None
        return schemas.Model(
            id=self.model.name,
            object="model",
            created=self.created,
            owned_by="anexa",
            max_model_len=self.block_size,
            supports_chat=supports_chat,
            max_tokens=self.block_size if supports_chat else MAX_COMPLETION_TOKENS,
            temperature=self.model.temperature,
            top_p=DEFAULT_TOP_P,
            top_k=DEFAULT_TOP_K,
        )


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorResponse, "description": "The request is wrong or not allowed."},
    "5XX": {"model": schemas.ErrorResponse, "description": "The server cannot answer."},
}
router = APIRouter(prefix="/v1", responses=ERROR_RESPONSES)


@router.get("/models")
async def list_models(http_request: fastapi.Request) -> schemas.ModelList:
    """List the served models."""
    models = [served.to_schema() for served in _served_models(http_request).values()]
    return schemas.ModelList(object="list", data=models)


@router.get("/models/{name:path}")
async def get_model(http_request: fastapi.Request, name: str) -> schemas.Model:
    """Describe a served model."""
    return _served_model(http_request, name).to_schema()


@router.post(
    "/completions",
    response_model=completions.Completion,
    responses=schemas.describe_stream(completions.CompletionChunk),
)
async def create_completion(
    http_request: fastapi.Request, body: completions.CompletionRequest
) -> Response:
    """Continue one or several prompts."""
    served = _served_model(http_request, body.model)
    max_tokens = body.max_tokens or DEFAULT_COMPLETION_TOKENS
    if max_tokens > MAX_COMPLETION_TOKENS:
        raise APIError(f"max_tokens must be at most {MAX_COMPLETION_TOKENS:,}", "max_tokens")
    if not body.prompts:
        raise APIError("prompt must not be an empty list", "prompt")
    n = body.n or 1
    num_choices = len(body.prompts) * n
    if num_choices > MAX_CHOICES:
        raise APIError(
            f"the number of prompts times n is {num_choices}: it must be at most {MAX_CHOICES}",
            "n",
        )
    tokenizer = served.model.tokenizer
    with _errors_of_field("prompt"):
        prompts = [Prompt(tokenizer, served.block_size, prompt) for prompt in body.prompts]
    texts = [
        TextStream(tokenizer, prompt, max_tokens=max_tokens, stop=body.stop or ())
        for prompt in prompts
        for _ in range(n)
    ]
    requests = _requests(served, texts, body, is_chat=False, num_logprobs=body.logprobs)
    responder = completions.CompletionResponder(body, requests, served.model.name, tokenizer)
    return await _respond(http_request, served.worker, responder, stream=bool(body.stream))


@router.post(
    "/chat/completions",
    response_model=chat_completions.ChatCompletion,
    responses=schemas.describe_stream(chat_completions.ChatCompletionChunk),
)
async def create_chat_completion(
    http_request: fastapi.Request, body: chat_completions.ChatCompletionRequest
) -> Response:
    """Answer a conversation."""
    served = _served_model(http_request, body.model)
    model = served.model
    if model.chat_template is None:
        raise APIError(f"{model.name} has no chat template: use /v1/completions", "model")
    if body.top_logprobs and not body.logprobs:
        raise APIError("top_logprobs needs logprobs to be true", "top_logprobs")
    messages = [message.model_dump() for message in body.messages]
    with _errors_of_field("messages"):
        rendered = model.render_prompt(messages, thinking=body.thinking)
        prompt = Prompt(model.tokenizer, served.block_size, rendered)
    allowed = body.max_completion_tokens or body.max_tokens
    max_tokens = model.answer_tokens(len(prompt.ids), allowed)
    texts = [
        TextStream(model.tokenizer, prompt, max_tokens=max_tokens, stop=body.stop or ())
        for _ in range(body.n or 1)
    ]
    num_logprobs = (body.top_logprobs or 0) if body.logprobs else None
    requests = _requests(served, texts, body, is_chat=True, num_logprobs=num_logprobs)
    responder = chat_completions.ChatCompletionResponder(
        body, requests, model.name, model.tokenizer
    )
    return await _respond(http_request, served.worker, responder, stream=bool(body.stream))


@contextmanager
def _errors_of_field(field: str) -> Iterator[None]:
    """Convert errors to `APIError` errors about a field of the request body."""
    try:
        yield
    except AnexaError as error:
        code = "context_length_exceeded" if isinstance(error, PromptTooLongError) else None
        raise APIError(str(error), field, code=code) from error


def _served_models(http_request: fastapi.Request) -> dict[str, ServedModel]:
    """Return all served models by name, in the order of the command line."""
    served: dict[str, ServedModel] = http_request.app.state.served
    if not served:
        raise APIError("the model is being loaded: try again in a second", status=503)
    return served


def _served_model(http_request: fastapi.Request, name: str | None) -> ServedModel:
    """Return the served model with a name; the first one if the name is None."""
    served = _served_models(http_request)
    if name is None:
        return next(iter(served.values()))
    if name not in served:
        raise APIError(
            f"there is no model {name[:100]!r}: choose one of {', '.join(served)}",
            "model",
            status=404,
            code="model_not_found",
        )
    return served[name]


def _requests(
    served: ServedModel,
    texts: Sequence[TextStream],
    body: GenerationRequest,
    *,
    is_chat: bool,
    num_logprobs: int | None,
) -> list[Request]:
    """Make one request per text. Their seeds count up from the body's seed, or a random one."""
    seed = random.getrandbits(32) if body.seed is None else body.seed % 2**64
    temperature = served.model.temperature if body.temperature is None else body.temperature
    top_k = body.top_k if body.top_k and body.top_k > 0 else DEFAULT_TOP_K
    top_p = DEFAULT_TOP_P if body.top_p is None else body.top_p
    return [
        Request(
            text,
            Sampler(SamplingParams(temperature, top_k, top_p, (seed + index) % 2**64)),
            is_chat=is_chat,
            num_logprobs=num_logprobs,
        )
        for index, text in enumerate(texts)
    ]


async def _respond(
    http_request: fastapi.Request, worker: Worker, responder: Responder, *, stream: bool
) -> Response:
    """Submit the requests, and respond with their outputs."""
    requests = responder.requests
    if len(requests) > worker.max_requests:
        raise APIError(
            f"the request asks for {len(requests)} choices: this server runs and queues at most "
            f"{worker.max_requests}",
            "n",
        )
    if http_request.app.state.log_prompts:
        for request in requests:
            print(json.dumps({"prompt": request.text.prompt.text}), file=sys.stderr, flush=True)
    worker.submit(requests)
    if stream:
        return EventStream(worker, responder)
    return await whole_response(http_request, worker, responder)

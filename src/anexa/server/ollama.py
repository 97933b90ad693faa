"""Routes of Ollama's API that generate text: `POST /api/generate` and `POST /api/chat`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import datetime, timezone
from typing import Any, TypeAlias

import fastapi
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

from anexa.errors import AnexaError
from anexa.generation import Prompt
from anexa.model.chat_format import THINK
from anexa.server import schemas
from anexa.server.answering import Conversation, build_requests, conversation_prompt, truncate
from anexa.server.error_handlers import invalid_request
from anexa.server.errors import STATUS_HEADERS, APIError, overloaded_error
from anexa.server.limits import MAX_COMPLETION_TOKENS
from anexa.server.ollama_schemas import (
    AnswerRequest,
    AnswerResponse,
    ChatRequest,
    ChatResponse,
    GenerateRequest,
    GenerateResponse,
    OllamaError,
    ResponseMessage,
)
from anexa.server.request import Request, RequestOutput
from anexa.server.responder import Fields
from anexa.server.schemas import json_response
from anexa.server.served_models import ServedModel, find_model, served_models
from anexa.server.streaming import RequestStream, wait_for_outputs
from anexa.server.submission import errors_of_field, submit

NDJSON_MEDIA_TYPE = "application/x-ndjson"  # media type of a stream: a JSON object on each line
LATEST_TAG = ":latest"  # the tag that Ollama gives a model without one
NANOSECONDS_PER_SECOND = 1_000_000_000  # in a second: the unit of Ollama's durations
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    # Errors of the whole server, such as a wrong key, are those of OpenAI's API.
    status: {**description, "model": OllamaError | schemas.ErrorResponse}
    for status, description in schemas.ERROR_RESPONSES.items()
}

Handler: TypeAlias = Callable[[fastapi.Request], Coroutine[Any, Any, Response]]
LineFields: TypeAlias = Callable[[str, str | None], Fields]
"""Function from new text and new reasoning to the fields of a line that hold them."""


class OllamaRoute(APIRoute):
    """A route of Ollama's API: any body is read as JSON, and errors have the form of that API.

    The examples in Ollama's documentation send JSON with curl's default `Content-Type`, that of a
    form, so the type is not checked. Other sites cannot call the routes by sending such a form:
    `ProtectionMiddleware` checks the origin.
    """

    def get_route_handler(self) -> Handler:
        """Return the handler of a request: FastAPI's own, with Ollama's form of errors."""
        handler = super().get_route_handler()

        async def handle(http_request: fastapi.Request) -> Response:
            MutableHeaders(scope=http_request.scope)["Content-Type"] = "application/json"
            try:
                return await handler(http_request)
            except RequestValidationError as invalid:
                error = invalid_request(invalid)
            except APIError as refusal:
                error = refusal
            except MemoryError:
                error = overloaded_error()
            except AnexaError as other:
                error = APIError(str(other))
            body = OllamaError(error=str(error))
            return json_response(body, error.status, STATUS_HEADERS.get(error.status))

        return handle


router = APIRouter(prefix="/api", route_class=OllamaRoute, responses=ERROR_RESPONSES)


def describe_lines(line: type[AnswerResponse]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response: a stream of lines unless `stream` is false.

    Args:
        line: model of a whole response, and of a line.

    Returns:
        The argument `responses` of the route.
    """
    schema = {"$ref": f"#/components/schemas/{line.__name__}"}
    return {
        200: {
            "description": "The whole response if `stream` is false, else a stream of lines.",
            "content": {NDJSON_MEDIA_TYPE: {"schema": schema}},
        }
    }


@router.post(
    "/generate", response_model=GenerateResponse, responses=describe_lines(GenerateResponse)
)
async def generate(http_request: fastapi.Request, body: GenerateRequest) -> Response:
    """Generate the answer to a prompt; without a chat template, or with `raw`, continue it."""
    served = find_ollama_model(http_request, body.model)

    def line_fields(text: str, reasoning: str | None) -> Fields:
        return {"response": text} | ({} if reasoning is None else {"thinking": reasoning})

    if not body.prompt:
        return _load_response(served, body, GenerateResponse, line_fields)
    if body.raw and body.system:
        raise APIError("raw mode does not support system: leave one of them out", "system")
    if body.raw or served.model.chat_template is None:
        if body.system:
            raise APIError(f"{served.model.name} has no chat template for system", "system")
        request = await _continuation(http_request, served, body)
    else:
        system = [{"role": "system", "content": body.system}] if body.system else []
        messages = [*system, {"role": "user", "content": body.prompt}]
        conversation = Conversation(messages, "prompt", body.thinking)
        request = await _answer(http_request, served, body, conversation)
    return await _respond(http_request, served, body, request, GenerateResponse, line_fields)


@router.post("/chat", response_model=ChatResponse, responses=describe_lines(ChatResponse))
async def chat(http_request: fastapi.Request, body: ChatRequest) -> Response:
    """Generate the assistant's next answer to a conversation."""
    served = find_ollama_model(http_request, body.model)

    def line_fields(text: str, reasoning: str | None) -> Fields:
        thinking = {} if reasoning is None else {"thinking": reasoning}
        return {"message": ResponseMessage(role="assistant", content=text, **thinking)}

    if not body.messages:
        return _load_response(served, body, ChatResponse, line_fields)
    messages = [{"role": one.role, "content": one.content or ""} for one in body.messages]
    conversation = Conversation(messages, "messages", body.thinking)
    end: Fields = {}
    if body.truncate:
        conversation, end["dropped_turns"] = await truncate(served, conversation, body.max_tokens)
    request = await _answer(http_request, served, body, conversation)
    return await _respond(http_request, served, body, request, ChatResponse, line_fields, end)


def find_ollama_model(http_request: fastapi.Request, name: str | None) -> ServedModel:
    """Return the model that answers a request; its name may have the tag `latest`.

    Raises:
        APIError: if there are several models and none has this name, or while they are being
            loaded.
    """
    if name is not None and name not in served_models(http_request):
        name = name.removesuffix(LATEST_TAG)
    return find_model(http_request, name)


def supports_thinking(served: ServedModel) -> bool:
    """Return whether the chat template of a model has thoughts: reasoning before an answer."""
    template = served.model.chat_template or ""
    return THINK in template or "enable_thinking" in template


def timestamp(seconds: float | None = None) -> str:
    """Format a time in UTC as Ollama does, such as 2026-11-29T12:00:00.123456Z.

    Args:
        seconds: seconds since 1970; None means now.
    """
    now = datetime.now(timezone.utc)
    time = now if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


async def _continuation(
    http_request: fastapi.Request, served: ServedModel, body: GenerateRequest
) -> Request:
    """Build the request for a text that continues a prompt, without the chat template."""
    if body.think:
        raise _cannot_think(served)
    with errors_of_field("prompt"):
        prompt = Prompt(served.model.tokenizer, served.block_size, body.prompt)
    room = max(1, served.block_size - len(prompt.ids))
    max_tokens = body.max_tokens or min(room, MAX_COMPLETION_TOKENS)
    if max_tokens > MAX_COMPLETION_TOKENS:
        field = "options.num_predict"
        raise APIError(f"{field} must be at most {MAX_COMPLETION_TOKENS:,}", field)
    [request] = await build_requests(
        http_request,
        served,
        [prompt],
        body.sampling,
        max_tokens=max_tokens,
        is_chat=False,
        grammar=body.grammar,
    )
    return request


async def _answer(
    http_request: fastapi.Request,
    served: ServedModel,
    body: AnswerRequest,
    conversation: Conversation,
) -> Request:
    """Build the request for the answer to a conversation."""
    prompt = await conversation_prompt(served, conversation)
    if body.think and not supports_thinking(served):
        raise _cannot_think(served)
    [request] = await build_requests(
        http_request,
        served,
        [prompt],
        body.sampling,
        max_tokens=served.model.answer_token_limit(len(prompt.ids), body.max_tokens),
        is_chat=True,
        thinking=body.thinking,
        grammar=body.grammar,
    )
    return request


def _cannot_think(served: ServedModel) -> APIError:
    return APIError(f'"{served.model.name}" does not support thinking', "think")


def _load_response(
    served: ServedModel,
    body: AnswerRequest,
    response_model: type[AnswerResponse],
    line_fields: LineFields,
) -> Response:
    """Respond to a request without a prompt, with which Ollama's clients ask to load a model."""
    head = {"model": body.model or served.model.name, "created_at": timestamp()}
    fields = {**head, **line_fields("", None), "done": True, "done_reason": "load"}
    return json_response(response_model(**fields))


async def _respond(
    http_request: fastapi.Request,
    served: ServedModel,
    body: AnswerRequest,
    request: Request,
    response_model: type[AnswerResponse],
    line_fields: LineFields,
    end: Fields | None = None,
) -> Response:
    """Submit a request, and respond with its output.

    Args:
        http_request: request of the client.
        served: model that generates the text.
        body: body of the HTTP request.
        request: request to submit.
        response_model: model of a whole response, and of a line of a stream.
        line_fields: function that returns the fields of a line for an output.
        end: further fields of the last line; default: none.

    Returns:
        A whole response, or a stream of lines.
    """
    model = body.model or served.model.name
    worker = served.worker

    def line(text: str, reasoning: str | None, **fields: Any) -> AnswerResponse:
        head = {"model": model, "created_at": timestamp(), **line_fields(text, reasoning)}
        return response_model(**head, **({"done": False} | fields))

    async def lines() -> AsyncGenerator[bytes]:
        token_times: list[float] = []
        async for output in request:
            token_times += output.token_times
            if output.error:
                yield OllamaError(error=str(output.error)).to_json() + b"\n"
                return
            if output.reasoning:
                yield line("", output.reasoning).to_json() + b"\n"
            if output.text:
                yield line(output.text, None).to_json() + b"\n"
            if output.finish_reason:
                last = RequestOutput(token_times=token_times, finish_reason=output.finish_reason)
                yield line("", None, **_statistics(request, last), **(end or {})).to_json() + b"\n"

    submit(http_request, worker, [request])
    if body.stream is not False:
        return RequestStream(worker, [request], lines(), NDJSON_MEDIA_TYPE)
    [output] = await wait_for_outputs(http_request, worker, [request])
    statistics = _statistics(request, output) | (end or {})
    return json_response(line(output.text, output.reasoning or None, **statistics))


def _statistics(request: Request, output: RequestOutput) -> Fields:
    """Return the fields of the last line: why the text ended, durations, and token counts."""
    first, last = output.token_times[0], output.token_times[-1]
    return {
        "done": True,
        "done_reason": output.finish_reason,
        "total_duration": round((last - request.arrival_time) * NANOSECONDS_PER_SECOND),
        "load_duration": 0,
        "prompt_eval_count": len(request.text.prompt.ids),
        "prompt_eval_duration": round((first - request.arrival_time) * NANOSECONDS_PER_SECOND),
        "eval_count": request.text.num_tokens,
        "eval_duration": round((last - first) * NANOSECONDS_PER_SECOND),
    }

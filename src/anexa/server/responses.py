"""The route `POST /v1/responses`: OpenAI's Responses API, without anything that is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import fastapi
from fastapi import APIRouter
from fastapi.responses import Response

from anexa.generation import Prompt, SamplingParams, TextStream
from anexa.server import schemas
from anexa.server.errors import APIError
from anexa.server.request import Request
from anexa.server.response_builder import ResponseBuilder
from anexa.server.responses_schemas import (
    EVENTS,
    Event,
    ResponseEvent,
    ResponseObject,
    ResponsesRequest,
)
from anexa.server.served_models import ServedModel, served_model
from anexa.server.streaming import EVENT_STREAM, RequestStream, whole_outputs
from anexa.server.submission import build_requests, errors_of_field, sampling_params, submit

router = APIRouter(prefix="/v1", responses=schemas.ERROR_RESPONSES)


@router.post(
    "/responses", response_model=ResponseObject, responses=schemas.describe_events(*EVENTS)
)
async def create_response(http_request: fastapi.Request, body: ResponsesRequest) -> Response:
    """Answer a conversation."""
    served = served_model(http_request, body.model)
    worker, params = served.worker, sampling_params(served, body)
    request = _request(served, body, params)
    builder = ResponseBuilder(body, request, params, served.model.name)
    submit(http_request, worker, [request])
    if body.stream:
        return RequestStream(worker, [request], _events(request, builder), EVENT_STREAM)
    [output] = await whole_outputs(http_request, worker, [request])
    *_, last = builder.add(output)
    assert isinstance(last, ResponseEvent)
    return schemas.json_response(last.response)


def _request(served: ServedModel, body: ResponsesRequest, params: SamplingParams) -> Request:
    """Build the request that answers the conversation of a body."""
    model = served.model
    if model.chat_template is None:
        raise APIError(f"{model.name} has no chat template: use /v1/completions", "model")
    with errors_of_field("input"):
        rendered = model.render_prompt(body.conversation_messages, thinking=body.thinking)
        prompt = Prompt(model.tokenizer, served.block_size, rendered)
    allowed = body.max_output_tokens
    max_tokens = model.answer_tokens(
        len(prompt.ids), None if allowed == schemas.UNLIMITED else allowed
    )
    stop = body.stop or ()
    with errors_of_field("min_tokens"):
        text = TextStream(model.tokenizer, prompt, max_tokens=max_tokens, stop=stop, params=params)
    [request] = build_requests(served, [text], params, is_chat=True, num_logprobs=None)
    return request


async def _events(request: Request, builder: ResponseBuilder) -> AsyncGenerator[bytes]:
    """Yield the server-sent events of a response."""
    for event in builder.begin():
        yield _as_bytes(event)
    async for output in request:
        for event in builder.add(output):
            yield _as_bytes(event)


def _as_bytes(event: Event) -> bytes:
    return b"event: " + event.type.encode() + b"\ndata: " + event.to_json() + b"\n\n"

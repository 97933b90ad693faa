"""The route `POST /v1/responses`: OpenAI's Responses API, without stored responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import fastapi
from fastapi import APIRouter
from fastapi.responses import Response

from anexa.generation.grammars import Grammar
from anexa.server import schemas
from anexa.server.answering import Conversation, build_requests, conversation_prompt, truncate
from anexa.server.errors import APIError
from anexa.server.generation_fields import UNLIMITED
from anexa.server.openapi import describe_events
from anexa.server.request import Request
from anexa.server.response_builder import ResponseBuilder
from anexa.server.responses_request import ResponsesRequest
from anexa.server.responses_schemas import (
    EVENTS,
    Event,
    ResponseEvent,
    ResponseObject,
)
from anexa.server.served_models import find_model
from anexa.server.streaming import EVENT_STREAM_MEDIA_TYPE, RequestStream, wait_for_outputs
from anexa.server.structured_outputs import JSON_OBJECT
from anexa.server.submission import errors_of_field, submit

router = APIRouter(prefix="/v1", responses=schemas.ERROR_RESPONSES)


@router.post("/responses", response_model=ResponseObject, responses=describe_events(*EVENTS))
async def create_response(http_request: fastapi.Request, body: ResponsesRequest) -> Response:
    """Generate the assistant's next answer to a conversation, in the form of the Responses API."""
    served = find_model(http_request, body.model)
    conversation = Conversation(body.conversation_messages, "input", body.thinking)
    dropped_turns: int | None = None
    allowed = None if body.max_output_tokens == UNLIMITED else body.max_output_tokens
    if body.truncation == "auto":
        conversation, dropped_turns = await truncate(served, conversation, allowed)
    prompt = await conversation_prompt(served, conversation)
    [request] = await build_requests(
        http_request,
        served,
        [prompt],
        body,
        max_tokens=served.model.answer_token_limit(len(prompt.ids), allowed),
        is_chat=True,
        thinking=body.thinking,
        grammar=_grammar(body),
    )
    builder = ResponseBuilder(body, request, served.model.name, dropped_turns)
    submit(http_request, served.worker, [request])
    if body.stream:
        return RequestStream(
            served.worker, [request], _events(request, builder), EVENT_STREAM_MEDIA_TYPE
        )
    [output] = await wait_for_outputs(http_request, served.worker, [request])
    *_, last = builder.add(output)
    assert isinstance(last, ResponseEvent)
    return schemas.json_response(last.response)


def _grammar(body: ResponsesRequest) -> Grammar | None:
    """Return the grammar of the text that a body asks for; None if every text is allowed."""
    wanted = body.text and body.text.format
    if not wanted or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Grammar.json_schema(JSON_OBJECT, "text.format")
    if wanted.name is None or wanted.json_schema is None:
        field = f"text.format.{'name' if wanted.name is None else 'schema'}"
        raise APIError(f"{field} is missing", field)
    with errors_of_field("text.format.schema"):
        return Grammar.json_schema(wanted.json_schema, "text.format.schema")


async def _events(request: Request, builder: ResponseBuilder) -> AsyncGenerator[bytes]:
    """Yield the server-sent events of a response."""
    for event in builder.begin():
        yield _as_bytes(event)
    async for output in request:
        for event in builder.add(output):
            yield _as_bytes(event)


def _as_bytes(event: Event) -> bytes:
    return b"event: " + event.type.encode() + b"\ndata: " + event.to_json() + b"\n\n"

"""JSON objects of `POST /v1/responses`: the response, and the events of its stream."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from anexa.server import schemas
from anexa.server.chat_messages import ReasoningEffort

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
ResponseStatus: TypeAlias = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(schemas.ResponseModel):
    """The text of a message of the assistant; `annotations` and `logprobs` are empty."""

    type: Literal["output_text"]
    text: str
    annotations: list[None]
    logprobs: list[None]


class ReasoningText(schemas.ResponseModel):
    """The text of the reasoning before a message."""

    type: Literal["reasoning_text"]
    text: str


class OutputMessage(schemas.ResponseModel):
    """Output item: a message of the assistant."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class ReasoningItem(schemas.ResponseModel):
    """Output item: the reasoning before a message, as a whole; so there is no summary."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[None]
    content: list[ReasoningText]


OutputItem: TypeAlias = OutputMessage | ReasoningItem


class InputTokensDetails(schemas.ResponseModel):
    """Number of tokens of the input whose keys and values were reused."""

    cached_tokens: int


class OutputTokensDetails(schemas.ResponseModel):
    """Number of generated tokens of the reasoning, with the tag that ends it."""

    reasoning_tokens: int


class ResponseUsage(schemas.ResponseModel):
    """Numbers of tokens that a response has read and generated."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(schemas.ResponseModel):
    """Error that a response failed with."""

    code: Literal["server_error"]
    message: str


class IncompleteDetails(schemas.ResponseModel):
    """Reason why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ReasoningSettings(schemas.ResponseModel):
    """Options of the reasoning, as in the request."""

    effort: ReasoningEffort | None
    summary: None


class TextSettings(schemas.ResponseModel):
    """Options of the text, as in the request."""

    format: dict[str, Any] = Field(description="as in the request")


class ResponseObject(schemas.ResponseModel):
    """Response of `POST /v1/responses`: its output items, and what the request asked for.

    Times are in seconds since 1970; `completed_at` is null unless the status is "completed".
    """

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    background: Literal[False]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: ReasoningSettings
    store: Literal[False]
    temperature: float
    text: TextSettings
    tool_choice: Literal["auto"]
    tools: list[None]
    top_p: float
    truncation: Literal["auto", "disabled"]
    dropped_turns: int | None = Field(
        None, description="number of turns that were dropped, if truncation is auto"
    )
    usage: ResponseUsage | None


# Events of a stream


class Event(schemas.ResponseModel):
    """Fields of every event; events are numbered from 0."""

    type: str
    sequence_number: int


class ResponseEvent(Event):
    """Event at the beginning or end of a response."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    response: ResponseObject


class ItemEvent(Event):
    """Event at the beginning or end of an output item."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: OutputItem


class ContentEvent(Event):
    """Fields of an event about the text of an item."""

    item_id: str
    output_index: int
    content_index: Literal[0]


class PartEvent(ContentEvent):
    """Event at the beginning or end of the text of an item."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    part: OutputText | ReasoningText


class DeltaEvent(ContentEvent):
    """Event with the next piece of a text.

    `logprobs` is an empty list in events of a message, and left out in events of reasoning.
    """

    type: Literal["response.output_text.delta", "response.reasoning_text.delta"]
    delta: str
    logprobs: list[None] | None = None


class TextEvent(ContentEvent):
    """Event at the end of a text, with the whole text; `logprobs` is as in a `DeltaEvent`."""

    type: Literal["response.output_text.done", "response.reasoning_text.done"]
    text: str
    logprobs: list[None] | None = None


# Models of all events of a stream.
EVENTS = (ResponseEvent, ItemEvent, PartEvent, DeltaEvent, TextEvent)

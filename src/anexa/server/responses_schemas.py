"""JSON objects of `POST /v1/responses`: the request body, the response, and the stream's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from anexa.model.chat_format import Message
from anexa.server import limits, schemas
from anexa.server.chat_completions import ReasoningEffort, RefusalPart
from anexa.server.schemas import Text, TokenCount, max_entries
from anexa.server.unsupported import Neutral, Unsupported
from anexa.server.unsupported_fields import EmptyList, False_, Null, One, UnsupportedSampling, Zero

WITHOUT_EFFECT: Any = Field(None, description="without effect")

# Requests


class TextPart(schemas.RequestModel):
    """Part of a message's content."""

    type: Literal["input_text", "output_text", "text"]
    text: Text


Part = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(fail_fast=True), max_entries(limits.MAX_MESSAGES)]


class InputMessage(schemas.RequestModel):
    """Message of a conversation, the assistant's as it came in an earlier response."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | Parts

    @property
    def message(self) -> Message:
        """The message for the chat template."""
        content = self.content
        if isinstance(content, list):
            content = "".join(p.text if isinstance(p, TextPart) else p.refusal for p in content)
        return {"role": self.role, "content": content}


class ReasoningInput(schemas.RequestModel):
    """Thought of an earlier response; models do not get it back."""

    type: Literal["reasoning"]


def _type_of(item: object) -> str | None:
    """Return the type of an input item; an item without one is a message."""
    if isinstance(item, dict):
        kind = item.get("type") or "message"
        return kind if isinstance(kind, str) else None
    return getattr(item, "type", None) or "message"


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")] | Annotated[ReasoningInput, Tag("reasoning")],
    Discriminator(
        _type_of,
        custom_error_type="item_type",
        custom_error_message='the type of an item is "message" or "reasoning"',
    ),
]
InputItems = Annotated[
    list[InputItem], Field(min_length=1, fail_fast=True), max_entries(limits.MAX_MESSAGES)
]


class Reasoning(schemas.RequestModel):
    """How a model is to reason."""

    effort: ReasoningEffort | None = Field(
        None, description='"none": the model answers without thinking'
    )
    summary: Null = None
    generate_summary: Null = None
    context: Annotated[Unsupported, Neutral("auto", "current_turn")] = None


class FormatOptions(schemas.RequestModel):
    """Format of the text: any text, a JSON object, or JSON of a schema, which is always kept to."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(schemas.RequestModel):
    """Options of the text."""

    format: FormatOptions | None = None
    verbosity: Annotated[Unsupported, Neutral("medium")] = None


class StreamOptions(schemas.RequestModel):
    """Options of a stream."""

    include_obfuscation: False_ = None


class ResponsesRequest(schemas.SamplingFields, UnsupportedSampling):
    """Body of `POST /v1/responses`: a conversation to answer. Nothing of it is kept."""

    model_config = schemas.examples(
        {"input": "347*86", "temperature": 0},
        {"input": [{"role": "user", "content": "347*86"}], "stream": True, "store": False},
    )

    model: str | None = Field(None, description="served model name; the first model by default")
    input: Text | InputItems
    instructions: Text | None = Field(None, description="a system message before the input")
    max_output_tokens: TokenCount | None = Field(
        None, description="maximum number of generated tokens, reasoning included"
    )
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description='"auto": the oldest turns of a conversation that is too long are dropped'
    )
    metadata: dict[str, str] | None = Field(None, description="is given back in the response")
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    access_programs: Null = None
    background: False_ = None
    background_options: Null = None
    context_management: EmptyList = None
    guided_json: Null = None
    guided_regex: Null = None
    guided_choice: Null = None
    guided_grammar: Null = None
    structured_outputs: Null = None
    conversation: Null = None
    image: Null = None
    include: EmptyList = None
    max_tokens: Null = None
    max_tool_calls: Null = None
    messages: Null = None
    moderation: Null = None
    n: One = None
    previous_response_id: Null = None
    prompt: Null = None
    response_format: Null = None
    store: False_ = None
    tool_choice: Annotated[Unsupported, Neutral("none", "auto")] = None
    tools: EmptyList = None
    top_logprobs: Zero = None

    parallel_tool_calls: object = WITHOUT_EFFECT
    prompt_cache_key: object = WITHOUT_EFFECT
    prompt_cache_options: object = WITHOUT_EFFECT
    prompt_cache_retention: object = WITHOUT_EFFECT
    safety_identifier: object = WITHOUT_EFFECT
    service_tier: object = WITHOUT_EFFECT
    user: object = WITHOUT_EFFECT

    @property
    def conversation_messages(self) -> Sequence[Message]:
        """The instructions and the input as messages, without thoughts."""
        messages: list[Message] = []
        if self.instructions:
            messages.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*messages, {"role": "user", "content": self.input}]
        given = [item.message for item in self.input if isinstance(item, InputMessage)]
        return messages + given

    @property
    def thinking(self) -> bool:
        """Whether the model may think before it answers; true by default."""
        return not (self.reasoning and self.reasoning.effort == "none")


# Responses

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
ResponseStatus: TypeAlias = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(schemas.ResponseModel):
    """The text of a message."""

    type: Literal["output_text"]
    text: str
    annotations: list[None]
    logprobs: list[None]


class ReasoningText(schemas.ResponseModel):
    """The text of a thought."""

    type: Literal["reasoning_text"]
    text: str


class OutputMessage(schemas.ResponseModel):
    """A message of the assistant."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class ReasoningItem(schemas.ResponseModel):
    """The thought before a message; it is given whole, so there is no summary."""

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
    """Number of generated tokens of the thought, with the tag that ends it."""

    reasoning_tokens: int


class ResponseUsage(schemas.ResponseModel):
    """Token counts of a response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(schemas.ResponseModel):
    """Why a response failed."""

    code: Literal["server_error"]
    message: str


class IncompleteDetails(schemas.ResponseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ReasoningSettings(schemas.ResponseModel):
    """How the model was to reason."""

    effort: ReasoningEffort | None
    summary: None


class TextSettings(schemas.ResponseModel):
    """Settings of the text."""

    format: dict[str, Any] = Field(description="as in the request")


class ResponseObject(schemas.ResponseModel):
    """Response of `POST /v1/responses`: its output items, and what the request asked for."""

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
    """The response has begun, or ended."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    response: ResponseObject


class ItemEvent(Event):
    """An output item has begun, or ended."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: OutputItem


class ContentEvent(Event):
    """Fields of an event about the text of an item."""

    item_id: str
    output_index: int
    content_index: Literal[0]


class PartEvent(ContentEvent):
    """The text of an item has begun, or ended."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    part: OutputText | ReasoningText


class DeltaEvent(ContentEvent):
    """The next piece of a text; that of a message has log probabilities, which are left empty."""

    type: Literal["response.output_text.delta", "response.reasoning_text.delta"]
    delta: str
    logprobs: list[None] | None = None


class TextEvent(ContentEvent):
    """The whole text at its end."""

    type: Literal["response.output_text.done", "response.reasoning_text.done"]
    text: str
    logprobs: list[None] | None = None


EVENTS = (ResponseEvent, ItemEvent, PartEvent, DeltaEvent, TextEvent)

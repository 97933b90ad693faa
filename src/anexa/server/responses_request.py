"""The body of `POST /v1/responses`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from anexa.model.chat_format import Message
from anexa.server import limits, schemas
from anexa.server.chat_messages import ReasoningEffort, RefusalPart
from anexa.server.generation_fields import SamplingFields, TokenCount
from anexa.server.schemas import Text, max_entries
from anexa.server.unsupported import Neutral, Unsupported
from anexa.server.unsupported_fields import EmptyList, False_, Null, One, UnsupportedSampling, Zero

# Default of a field whose value is accepted and ignored.
WITHOUT_EFFECT: Any = Field(None, description="without effect")


class InputTextPart(schemas.RequestModel):
    """Text part of a message's content."""

    type: Literal["input_text", "output_text", "text"]
    text: Text


InputPart = Annotated[InputTextPart | RefusalPart, Field(discriminator="type")]
InputParts = Annotated[list[InputPart], Field(fail_fast=True), max_entries(limits.MAX_MESSAGES)]


class InputMessage(schemas.RequestModel):
    """Message of a conversation.

    The assistant's messages may be output items of earlier responses.
    """

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | InputParts

    @property
    def message(self) -> Message:
        """The message as chat templates read it: its role, and its content as one string."""
        content = self.content
        if isinstance(content, list):
            content = "".join(
                p.text if isinstance(p, InputTextPart) else p.refusal for p in content
            )
        return {"role": self.role, "content": content}


class ReasoningInput(schemas.RequestModel):
    """Reasoning item of an earlier response, which is not part of the prompt."""

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
    """Options of the reasoning before an answer."""

    effort: ReasoningEffort | None = Field(
        None, description='"none": the model answers without thinking'
    )
    summary: Null = None
    generate_summary: Null = None
    context: Annotated[Unsupported, Neutral("auto", "current_turn")] = None


class FormatOptions(schemas.RequestModel):
    """Format of the text: any text, a JSON object, or JSON that matches a schema.

    For "json_schema", `name` and `schema` are required. The text always matches the schema,
    whatever `strict` is.
    """

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(schemas.RequestModel):
    """Options of the text of an answer, such as its format."""

    format: FormatOptions | None = None
    verbosity: Annotated[Unsupported, Neutral("medium")] = None


class ResponseStreamOptions(schemas.RequestModel):
    """Options of a streamed response."""

    include_obfuscation: False_ = None


class ResponsesRequest(SamplingFields, UnsupportedSampling):
    """Body of `POST /v1/responses`: a conversation to answer. The server stores nothing."""

    model_config = schemas.examples(
        {"input": "347*86", "temperature": 0},
        {"input": [{"role": "user", "content": "347*86"}], "stream": True, "store": False},
    )

    model: str | None = Field(None, description="served model name; the first model by default")
    input: Text | InputItems
    instructions: Text | None = Field(None, description="system message before the input")
    max_output_tokens: TokenCount | None = Field(
        None, description="maximum number of generated tokens, reasoning included"
    )
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description='"auto": the oldest turns of a conversation that is too long are dropped'
    )
    metadata: dict[str, str] | None = Field(None, description="returned in the response")
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None

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
        """The instructions, as a system message, and the input as messages, without reasoning."""
        messages: list[Message] = []
        if self.instructions:
            messages.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*messages, {"role": "user", "content": self.input}]
        inputs = [item.message for item in self.input if isinstance(item, InputMessage)]
        return messages + inputs

    @property
    def thinking(self) -> bool:
        """Whether the model may reason before it answers; true by default."""
        return not (self.reasoning and self.reasoning.effort == "none")

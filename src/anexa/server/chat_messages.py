"""Messages of a conversation in a request body, and the fields that say how they are rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from anexa.model.chat_format import PromptEnd
from anexa.server import limits, schemas
from anexa.server.errors import APIError
from anexa.server.schemas import Text, max_entries
from anexa.server.tools import ToolCall, with_parsed_arguments
from anexa.server.unsupported_fields import Null

# As in OpenAI's API. With "none" the model does not think; the other values have no effect.
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextPart(schemas.RequestModel):
    """Part of a message's content that is text."""

    type: Literal["text"]
    text: Text


class RefusalPart(schemas.RequestModel):
    """Part of the content of an assistant's message in which it declined to answer."""

    type: Literal["refusal"]
    refusal: Text


# Content of a message as a list of parts.
ContentPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
ContentParts = Annotated[list[ContentPart], Field(fail_fast=True), max_entries(limits.MAX_MESSAGES)]


class ChatMessage(schemas.RequestModel):
    """Message of a conversation: its role, its content, and tool calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | ContentParts | None = None
    reasoning_content: Text | None = Field(None, description="thought of the assistant")
    reasoning: Text | None = Field(None, description="another name of reasoning_content")
    name: str | None = None
    tool_calls: (
        Annotated[list[ToolCall], Field(fail_fast=True), max_entries(limits.MAX_TOOLS)] | None
    ) = Field(None, description="calls of the assistant")
    tool_call_id: str | None = Field(None, description="call that the message is the result of")
    audio: Null = None
    function_call: Null = None


class TemplateOptions(schemas.RequestModel):
    """Arguments of the chat template; one that is not listed is refused."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None


class TemplateFields(schemas.RequestModel):
    """Request fields about the rendering of a conversation as a prompt."""

    chat_template_kwargs: TemplateOptions | None = None
    continue_final_message: bool | None = Field(
        None,
        description="whether to continue the last message; by default if it is the assistant's",
    )
    add_generation_prompt: bool | None = Field(
        None, description="whether to begin a new answer; by default if no message is continued"
    )

    @property
    def prompt_end(self) -> PromptEnd | None:
        """End of the prompt; None: the end that suits the last message.

        Raises:
            APIError: if the request asks for two endings.
        """
        if self.continue_final_message and self.add_generation_prompt:
            raise APIError(
                "continue_final_message and add_generation_prompt must not both be true",
                "continue_final_message",
            )
        if self.continue_final_message:
            return "message"
        if self.add_generation_prompt is False:
            return "nothing"
        is_new = self.add_generation_prompt or self.continue_final_message is False
        return "answer" if is_new else None

    @property
    def thinking(self) -> bool:
        """Whether the model may reason before it answers; true by default."""
        options = self.chat_template_kwargs
        return options is None or options.enable_thinking is not False


def template_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Convert messages of a request to the form that chat templates read.

    Fields that are null are left out, and the arguments of tool calls are parsed.

    Raises:
        APIError: if the arguments of a tool call are not a JSON object.
    """
    return with_parsed_arguments([message.model_dump(exclude_none=True) for message in messages])

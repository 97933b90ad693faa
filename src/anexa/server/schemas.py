"""What answers look like, for those who read /openapi.json and for the tests.

Names are those of OpenAI's own library. While the server runs nothing is checked against them:
`responses` writes what they describe.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

Ending = Literal["stop", "length"]


class Answered(BaseModel):
    """A part of an answer, which has these fields and no others."""

    model_config = ConfigDict(strict=True, extra="forbid")


class ErrorObject(Answered):
    """What is wrong, whose fault it is, and in which field."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "server_error"]
    param: str | None
    code: str | None


class ErrorResponse(Answered):
    """What is answered instead."""

    error: ErrorObject


class Model(Answered):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int = Field(description="when it was loaded: seconds since 1970")
    owned_by: Literal["anexa"]
    max_model_len: int = Field(description="tokens that it sees at once")
    answers: bool = Field(description="whether it answers, or only continues texts")
    most_tokens: int = Field(description="of a text, at most")
    temperature: float = Field(description="that it was made for")
    top_p: float
    top_k: int | None


class ModelList(Answered):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class CompletionUsage(Answered):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(Answered):
    """One of the texts that were asked for."""

    index: int
    finish_reason: Ending


class ChoicePart(Answered):
    """More of one of them; the last part says why it ends."""

    index: int
    finish_reason: Ending | None


class Whole(Answered):
    """What all whole answers say."""

    id: str
    created: int
    model: str
    usage: CompletionUsage


class Chunk(Answered):
    """What all parts of a stream say; if it was asked for, the last one has what was used."""

    id: str
    created: int
    model: str
    usage: CompletionUsage | None = None


class Logprobs(Answered):
    """How likely the tokens of a text were."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Choice):
    """A text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class Completion(Whole):
    """The answer of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class CompletionChoicePart(ChoicePart):
    """More of a text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class CompletionChunk(Chunk):
    """A part of its stream."""

    object: Literal["text_completion"]
    choices: list[CompletionChoicePart]


class TopLogprob(Answered):
    """A token, and how likely it was."""

    token: str
    bytes: list[int]
    logprob: float


class ChatCompletionTokenLogprob(TopLogprob):
    """A token that was drawn, and the likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(Answered):
    """How likely the tokens of an answer were, those of its thought too."""

    content: list[ChatCompletionTokenLogprob]
    refusal: None


class ChatCompletionMessage(Answered):
    """An answer, and the thought before it under both of the names that it goes by."""

    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning_content: str | None
    reasoning: str | None


class ChatCompletionChoice(Choice):
    """One of the answers."""

    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | None


class ChatCompletion(Whole):
    """The answer of `POST /v1/chat/completions`."""

    object: Literal["chat.completion"]
    choices: list[ChatCompletionChoice]


class ChoiceDelta(Answered):
    """The role at first, then some of the thought, then some of the answer; nothing at the end."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    reasoning_content: str = ""
    reasoning: str = ""


class ChatCompletionChoicePart(ChoicePart):
    """More of one of the answers."""

    delta: ChoiceDelta
    logprobs: ChoiceLogprobs | None


class ChatCompletionChunk(Chunk):
    """A part of its stream."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatCompletionChoicePart]


class CheckedLine(Answered):
    """A step of a thought."""

    text: str
    true: bool
    error: str | None = Field(description="what is wrong first, in words")
    read: bool = Field(description="whether it is of the form that steps have")


class CheckedThought(Answered):
    """The answer of `POST /check`."""

    lines: list[CheckedLine]
    all_true: bool
    understood: bool = Field(description="whether the question is one that can be checked")
    first_error: str | None


class Health(Answered):
    """The answer of `GET /health`."""

    status: Literal["ok"]


class Trouble(Answered):
    """The same, as long as nothing can be written."""

    status: Literal["loading", "failed"]


_PLACE = "#/components/schemas/{model}"


def streamed(part: type[Chunk]) -> dict[int | str, dict[str, Any]]:
    """The description of an answer that is also told as a stream of such parts."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {
            "anyOf": [
                {"$ref": _PLACE.format(model=name)}
                for name in (part.__name__, ErrorResponse.__name__)
            ]
        },
    }
    event = {
        "type": "object",
        "description": "One event: a part, or an error, which ends the stream, or `[DONE]`.",
        "properties": {"data": {"anyOf": [data, {"const": "[DONE]"}]}},
        "required": ["data"],
    }
    return {
        200: {
            "description": "All of it, or where `stream` is true a stream of its parts.",
            "content": {"text/event-stream": {"schema": event}},
        }
    }


def schemas_of_parts() -> dict[str, Any]:
    """The schemas of the parts of streams, which FastAPI does not know of."""
    _, found = models_json_schema(
        [(CompletionChunk, "serialization"), (ChatCompletionChunk, "serialization")],
        ref_template=_PLACE,
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas

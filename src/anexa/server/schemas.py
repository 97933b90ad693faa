"""JSON objects of requests and responses that several routes share.

The fields of the requests that generate text are in `generation_fields`, and the other models of
the completion routes in `completions` and `chat_completions`. Models are named as in OpenAI's
Python library. Unknown fields of a request are ignored, because many programs send fields of other
servers; wrong values are refused by field name (`error_handlers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi.responses import Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from anexa.server import limits
from anexa.server.introduction import ModelTask

MAX_EXACT_FLOAT = 2**53  # below it every whole number is exact as a float


class RequestModel(BaseModel):
    """A JSON object in a request body.

    A whole number may be written as 16 or 16.0, between which JSON does not distinguish: some
    clients send all numbers as floats.
    """

    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        protected_namespaces=(),
        # pydantic looks for unpaired surrogates, which no response can repeat, in limited strings.
        str_max_length=limits.MAX_TEXT_CHARS,
    )

    @model_validator(mode="before")
    @classmethod
    def _take_whole_floats(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: _whole_floats_as_integers(value) for name, value in data.items()}


def _whole_floats_as_integers(value: object, depth: int = 2) -> object:
    """Convert whole floats to integers: a number, or those in a list.

    The fields of nested objects are converted by their own `RequestModel`.

    Args:
        value: value of a field, as JSON.
        depth: levels of lists to look into; default: the two of a list of prompts as token ids.

    Returns:
        The converted value.
    """
    if isinstance(value, list) and depth:
        return [_whole_floats_as_integers(entry, depth - 1) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_FLOAT:
        return int(value)
    return value


class ResponseModel(BaseModel):
    """A JSON object in a response body: it has these fields and no others.

    Fields that were not set are left out of the JSON.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    def to_json(self) -> bytes:
        """Serialize the object as JSON, in UTF-8."""
        return self.model_dump_json(exclude_unset=True).encode()


def json_response(
    content: ResponseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Build an HTTP response from its body.

    Args:
        content: body of the response.
        status: HTTP status; default: 200.
        headers: further headers; default: none.
    """
    return Response(content.to_json(), status, headers, "application/json")


# Requests


def max_entries(count: int, entry_type: type = object) -> BeforeValidator:
    """Return a validator that limits the length of a list or an object.

    It runs before the entries are validated, which may take long.

    Args:
        count: maximum number of entries.
        entry_type: only lists whose first entry is of this type are limited; default: all lists.
            In a union of list types, each has its own limit.
    """

    def check(value: object) -> object:
        is_long = isinstance(value, list | dict) and len(value) > count
        if is_long and isinstance(next(iter(value)), entry_type):  # type: ignore[call-overload]
            raise PydanticCustomError("too_long", "too long", {"max_length": count})
        return value

    return BeforeValidator(check)


def examples(*bodies: dict[str, Any]) -> ConfigDict:
    """Return the model configuration that adds example bodies to the schema of a request."""
    return ConfigDict(json_schema_extra={"examples": [*bodies]})


# A prompt, or a text of a message.
Text = Annotated[str, Field(max_length=limits.MAX_TEXT_CHARS)]


class CheckRequest(RequestModel):
    """Body of `POST /check`: a question about arithmetic, the thought about it, and the answer.

    A thought is the model's calculation before the answer, one step per line.
    """

    model_config = examples(
        {
            "question": "12+34",
            "thought": "A2B1+a4b3:A:2+4+0=06,B:1+3+0=04:B4A6",
            "answer": "46",
        }
    )

    question: Text
    thought: str = Field(max_length=100_000)
    answer: str = Field(max_length=10_000)


# Responses


ErrorType = Literal["invalid_request_error", "authentication_error", "server_error"]


class ErrorObject(ResponseModel):
    """An error: a sentence that says what is wrong, the kind of error, and the wrong field.

    `param` is null if no field is wrong, and `code` if the error has no machine-readable code.
    """

    message: str
    type: ErrorType
    param: str | None
    code: str | None


class ErrorResponse(ResponseModel):
    """Body of a response with an error status; `GET /health` and Ollama's routes have others."""

    error: ErrorObject


# Argument `responses` of the routes: the error responses in the OpenAPI description.
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorResponse, "description": "The request is wrong or not allowed."},
    "5XX": {"model": ErrorResponse, "description": "The server cannot answer."},
}


class ModelInfo(ResponseModel):
    """A served model, its limits, and the sampling parameters used by default."""

    id: str
    object: Literal["model"]
    created: int = Field(description="time when the model was loaded: seconds since 1970")
    owned_by: Literal["anexa"]
    max_model_len: int = Field(description="context length in tokens")
    supports_chat: bool = Field(description="whether /v1/chat/completions takes this model")
    max_tokens: int = Field(description="maximum number of generated tokens of a choice")
    temperature: float
    top_p: float
    top_k: int | None
    architecture: str = Field(description="architecture, such as `llama`")
    num_parameters: int
    engine: str = Field(description="engine that computes the model, such as `numpy`")
    task: ModelTask = Field(description="what the model was trained for; `text` is a base model")
    description: str = Field(description="what the model can do, in whole sentences")
    examples: list[str] = Field(description="prompts to try")


class ModelList(ResponseModel):
    """Response of `GET /v1/models`: the served models."""

    object: Literal["list"]
    data: list[ModelInfo]


class PromptLogprob(ResponseModel):
    """Log probability of a token at a position of the prompt, as vLLM reports it.

    `logprob` is the natural logarithm, and `decoded_token` the text of the token.
    """

    logprob: float
    rank: int = Field(description="1 for the most likely token of the position")
    decoded_token: str


PromptLogprobs = list[dict[int, PromptLogprob] | None]
"""For each token of a prompt its own log probability and those of the most likely tokens, by id."""


class PromptTokensDetails(ResponseModel):
    """Parts of the token count of the prompts."""

    cached_tokens: int = Field(description="tokens whose keys and values were reused")


class CompletionTokensDetails(ResponseModel):
    """Parts of the token count of the generated texts."""

    reasoning_tokens: int = Field(description="tokens of thoughts, with the tags that end them")


class CompletionUsage(ResponseModel):
    """Token counts of a request; each prompt counts once, however many choices continue it."""

    prompt_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens: int
    completion_tokens_details: CompletionTokensDetails
    total_tokens: int


class Completions(ResponseModel):
    """Fields of a whole response of either completion route.

    `created` is the time at which the response was begun, in seconds since 1970.
    """

    id: str
    created: int
    model: str
    usage: CompletionUsage


class Chunk(ResponseModel):
    """Fields of a chunk of a stream of either completion route.

    If the request asks for the token usage, it is null in all chunks but the last. `id` and
    `created`, a time in seconds since 1970, are the same in all chunks.
    """

    id: str
    created: int
    model: str
    usage: CompletionUsage | None = None


class Choice(ResponseModel):
    """Fields of a choice of a whole response; choices are numbered from 0."""

    index: int


class ChunkChoice(ResponseModel):
    """Fields of a choice of a chunk; choices are numbered from 0."""

    index: int


class CheckedFact(ResponseModel):
    """Result of checking a fact: an equation about one or two digits, such as B:8+6+0=14.

    `true` says whether the equation holds.
    """

    text: str
    true: bool
    fits: bool = Field(description="whether it is the equation that belongs at its position")


class CheckedLine(ResponseModel):
    """Result of checking one line of a thought.

    `true` says whether the facts, the value and the calculation that remains are all right.
    """

    text: str
    true: bool
    error: str | None = Field(description="the first error of the line, as a sentence")
    parsed: bool = Field(description="whether the line has the format of a step")
    facts: list[CheckedFact] = Field(description="the equations, in the order of the line")


class CheckedThought(ResponseModel):
    """Response of `POST /check`: the result for each line of the thought.

    `all_true` says whether all lines are true, and lead from the question to the answer.
    `first_error` is the first mistake, as a sentence; null if there is none.
    """

    lines: list[CheckedLine]
    all_true: bool
    question_parsed: bool = Field(description="whether the checker knows the question's phrasing")
    first_error: str | None


class Health(ResponseModel):
    """Response of `GET /health` when all models are loaded."""

    status: Literal["ok"]


class Unhealthy(ResponseModel):
    """Response of `GET /health` while a model is loading, or after one has failed."""

    status: Literal["loading", "failed"]

"""JSON objects of requests and responses that several routes share.

The models of the completion routes are in `completions` and `chat_completions`. Models are named
as in OpenAI's Python library. Unknown fields of a request are ignored, because many programs send
fields of other servers; wrong values are refused by field name (`error_handlers`).
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
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticCustomError

from anexa.generation.sampling_params import BIAS, MAX_COUNT, RANGES
from anexa.server import limits
from anexa.server.introduction import Task
from anexa.server.unsupported_fields import UnsupportedSampling

MAX_EXACT_FLOAT = 2**53  # below it every whole number is exact as a float
TOKEN_ID_KEY = r"^[0-9]{1,9}$"  # JSON has no numbers as keys
UNLIMITED = -1  # as `max_tokens`, as in llama.cpp and Ollama: as many as the server allows


class RequestModel(BaseModel):
    """A JSON object in a request body.

    A whole number may be written as 16 or 16.0, between which JSON does not distinguish: some
    clients send all numbers as floats.
    """

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _take_whole_floats(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: _whole_floats_as_integers(value) for name, value in data.items()}


def _whole_floats_as_integers(value: object) -> object:
    """Convert a whole number, or those in a list; objects are `RequestModel`s of their own."""
    if isinstance(value, list):
        return [_whole_floats_as_integers(entry) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_FLOAT:
        return int(value)
    return value


class ResponseModel(BaseModel):
    """A JSON object in a response body: it has these fields and no others.

    Fields that were not set are left out of the JSON.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    def to_json(self) -> bytes:
        """Serialize the object as UTF-8."""
        return self.model_dump_json(exclude_unset=True).encode()


def json_response(
    content: ResponseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Build an HTTP response from its body."""
    return Response(content.to_json(), status, headers, "application/json")


# Requests


def max_entries(count: int, entry_type: type = object) -> BeforeValidator:
    """Limit the length of a list or an object, checked before its entries are validated.

    Args:
        count: maximum number of entries.
        entry_type: lists whose first entry has another type are accepted.
    """

    def check(value: object) -> object:
        is_long = isinstance(value, list | dict) and len(value) > count
        if is_long and isinstance(next(iter(value)), entry_type):  # type: ignore[call-overload]
            raise PydanticCustomError("too_long", "too long", {"max_length": count})
        return value

    return BeforeValidator(check)


def examples(*bodies: dict[str, Any]) -> ConfigDict:
    """Add example bodies to the schema of a request."""
    return ConfigDict(json_schema_extra={"examples": [*bodies]})


Text = Annotated[str, Field(max_length=limits.MAX_TEXT_CHARS)]
StopString = Annotated[str, Field(min_length=1, max_length=limits.MAX_STOP_CHARS)]
StopStrings = Annotated[list[StopString], max_entries(limits.MAX_STOP_STRINGS)]


def range_field(name: str, **others: float) -> Any:
    """Field of the numbers in a range of `RANGES`, with other bounds where the API has its own."""
    constraints: dict[str, Any] = RANGES[name].bounds | others
    if RANGES[name].kind is float:
        constraints["allow_inf_nan"] = False
    return Field(**constraints)


def _or_unlimited(value: object, validate: ValidatorFunctionWrapHandler) -> int:
    """Accept `UNLIMITED`, and otherwise a number in the range of the field."""
    is_unlimited = isinstance(value, int) and value == UNLIMITED
    count: int = UNLIMITED if is_unlimited else validate(value)
    return count


def _count_schema(minimum: int) -> WithJsonSchema:
    count = {"type": "integer", "minimum": minimum, "maximum": MAX_COUNT}
    unlimited = {"const": UNLIMITED, "description": "as many as the server allows"}
    return WithJsonSchema({"anyOf": [count, unlimited]})


TokenCount = Annotated[
    int, range_field("max_tokens"), WrapValidator(_or_unlimited), _count_schema(1)
]
TokenCountOrNone = Annotated[
    int, range_field("max_tokens", ge=0), WrapValidator(_or_unlimited), _count_schema(0)
]


TokenId = Annotated[int, Field(ge=0, le=MAX_COUNT)]
TokenIdKey = Annotated[str, Field(pattern=TOKEN_ID_KEY)]
Bias = Annotated[float, Field(**BIAS.bounds, allow_inf_nan=False)]


class StreamOptions(RequestModel):
    """Options of a stream."""

    include_usage: bool | None = Field(
        None, description="whether the last chunk reports the token usage"
    )


class SamplingFields(RequestModel):
    """How tokens are sampled; omitted fields have the model's defaults."""

    temperature: Annotated[float, range_field("temperature", le=2)] | None = None
    top_p: Annotated[float, range_field("top_p")] | None = None
    top_k: Annotated[int, range_field("top_k", ge=-1)] | None = Field(
        None, description="-1 or 0: no limit"
    )
    seed: Annotated[int, range_field("seed", ge=-(2**63))] | None = None
    stop: StopString | StopStrings | None = None
    min_p: Annotated[float, range_field("min_p")] | None = None
    repetition_penalty: Annotated[float, range_field("repetition_penalty")] | None = None
    repeat_penalty: Annotated[float, range_field("repetition_penalty")] | None = Field(
        None, description="llama.cpp's name of repetition_penalty"
    )
    frequency_penalty: Annotated[float, range_field("frequency_penalty")] | None = None
    presence_penalty: Annotated[float, range_field("presence_penalty")] | None = None
    logit_bias: Annotated[dict[TokenIdKey, Bias], max_entries(limits.MAX_TOKEN_IDS)] | None = Field(
        None, description="number that is added to the logit of a token, by token id"
    )
    min_tokens: Annotated[int, range_field("min_tokens")] | None = Field(
        None, description="number of tokens before which a text does not end"
    )
    ignore_eos: bool | None = Field(
        None, description="whether the model's end-of-sequence tokens do not end a text"
    )
    stop_token_ids: (
        Annotated[list[TokenId], Field(fail_fast=True), max_entries(limits.MAX_TOKEN_IDS)] | None
    ) = Field(None, description="tokens that end a text, and are not part of it")


class GenerationRequest(SamplingFields, UnsupportedSampling):
    """Fields that both completion routes take; omitted fields have the model's defaults."""

    model: str | None = Field(None, description="served model name; the first model by default")
    n: Annotated[int, range_field("n", le=limits.MAX_CHOICES)] | None = Field(
        None, description="number of choices for each prompt"
    )
    max_tokens: TokenCount | None = Field(
        None, description="maximum number of generated tokens of a choice"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None, description="number of most likely tokens to report at each position of the prompt"
    )

    @property
    def sequences_per_prompt(self) -> int:
        """Number of sequences that are generated for each prompt."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that reports the token usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CheckRequest(RequestModel):
    """Body of `POST /check`: a question about arithmetic, a thought, and the answer."""

    model_config = examples(
        {"question": "12+34", "thought": "12+34:2+4+0=06,1+3+0=04:46", "answer": "46"}
    )

    question: str = Field(max_length=10_000)
    thought: str = Field(max_length=100_000)
    answer: str = Field(max_length=10_000)


# Responses


ErrorType = Literal["invalid_request_error", "authentication_error", "server_error"]


class ErrorObject(ResponseModel):
    """A sentence that says what is wrong, the kind of error, and the field that is wrong."""

    message: str
    type: ErrorType
    param: str | None
    code: str | None


class ErrorResponse(ResponseModel):
    """Body of every response with an error status, but for `GET /health`."""

    error: ErrorObject


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorResponse, "description": "The request is wrong or not allowed."},
    "5XX": {"model": ErrorResponse, "description": "The server cannot answer."},
}


class Model(ResponseModel):
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
    task: Task = Field(description="what the model was trained for; `text` is a base model")
    description: str = Field(description="what the model can do, in whole sentences")
    examples: list[str] = Field(description="prompts to try")


class ModelList(ResponseModel):
    """Response of `GET /v1/models`."""

    object: Literal["list"]
    data: list[Model]


class PromptLogprob(ResponseModel):
    """Log probability of a token at a position of the prompt, as vLLM reports it."""

    logprob: float
    rank: int = Field(description="1 for the most likely token of the position")
    decoded_token: str


PromptLogprobs = list[dict[int, PromptLogprob] | None]
"""For each token of a prompt its own log probability and those of the most likely tokens, by id."""


class PromptTokensDetails(ResponseModel):
    """What is known about the tokens of the prompts."""

    cached_tokens: int = Field(description="tokens whose keys and values were reused")


class CompletionUsage(ResponseModel):
    """Token counts of a request; each prompt counts once, however many choices continue it."""

    prompt_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens: int
    total_tokens: int


class Completions(ResponseModel):
    """Fields of a whole response of either completion route."""

    id: str
    created: int
    model: str
    usage: CompletionUsage


class Chunk(ResponseModel):
    """Fields of a chunk of a stream of either completion route.

    If the request asks for the token usage, it is null in all chunks but the last.
    """

    id: str
    created: int
    model: str
    usage: CompletionUsage | None = None


class Choice(ResponseModel):
    """Fields of a choice of a whole response."""

    index: int


class ChunkChoice(ResponseModel):
    """Fields of a choice of a chunk."""

    index: int


class CheckedFact(ResponseModel):
    """Result of checking the equation of one column."""

    text: str
    true: bool
    fits: bool = Field(description="whether its digits are those of the column and its carry")


class CheckedLine(ResponseModel):
    """Result of checking one line of a thought."""

    text: str
    true: bool
    error: str | None = Field(description="the first error of the line, as a sentence")
    parsed: bool = Field(description="whether the line has the format of a step")
    facts: list[CheckedFact] = Field(description="the equations of the columns, units first")


class CheckedThought(ResponseModel):
    """Response of `POST /check`."""

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


# OpenAPI descriptions of streams, which FastAPI does not generate from response models

_REF = "#/components/schemas/{model}"


def describe_stream(chunk: type[Chunk]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is a stream if `stream` is true."""
    data = _json_of(chunk, ErrorResponse)
    return _describe(
        "A server-sent event: a chunk, an error that ends the stream, or `[DONE]`.",
        {"data": {"anyOf": [data, {"const": "[DONE]"}]}},
    )


def describe_events(*events: type[ResponseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is, if `stream` is true, named events."""
    return _describe(
        "A server-sent event with the name of its type.",
        {"event": {"type": "string"}, "data": _json_of(*events)},
    )


def _json_of(*models: type[ResponseModel]) -> dict[str, Any]:
    """Describe a string with one of these objects as JSON."""
    references = [{"$ref": _REF.format(model=model.__name__)} for model in models]
    return {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": references},
    }


def _describe(description: str, properties: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    event = {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [*properties],
    }
    return {
        200: {
            "description": "The whole response, or a stream of events if `stream` is true.",
            "content": {"text/event-stream": {"schema": event}},
        }
    }


def chunk_schemas(*chunks: type[ResponseModel]) -> dict[str, Any]:
    """Return the JSON schemas of chunks or events and of the objects in them, by name."""
    _, found = models_json_schema([(chunk, "serialization") for chunk in chunks], ref_template=_REF)
    schemas: dict[str, Any] = found["$defs"]
    return schemas

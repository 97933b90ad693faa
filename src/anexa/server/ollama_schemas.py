"""JSON objects of Ollama's API: the bodies of requests, and the responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from anexa.generation.grammars import Grammar
from anexa.server import limits, schemas
from anexa.server.errors import APIError
from anexa.server.generation_fields import SamplingFields
from anexa.server.schemas import Text, max_entries
from anexa.server.structured_outputs import JSON_OBJECT
from anexa.server.unsupported import Neutral, Unsupported

_CHAT = [{"role": "user", "content": "347*86"}]


class Options(SamplingFields):
    """Sampling options under Ollama's names; an option that is not listed here is refused.

    Options about loading and running a model have no effect: the model is loaded already.
    """

    model_config = ConfigDict(extra="forbid")

    num_predict: Annotated[int, Field(ge=-2, le=10**9)] | None = Field(
        None,
        description="maximum number of generated tokens; 0, -1 and -2: as many as the context has "
        "room for",
    )
    repeat_last_n: Annotated[Unsupported, Neutral(-1)] = None  # penalties see the whole text
    typical_p: Annotated[Unsupported, Neutral(1)] = None
    tfs_z: Annotated[Unsupported, Neutral(1)] = None
    mirostat: Annotated[Unsupported, Neutral(0)] = None
    penalize_newline: Annotated[Unsupported, Neutral(True)] = None
    num_ctx: object = Field(None, description="without effect")
    num_keep: object = Field(None, description="without effect")
    num_batch: object = Field(None, description="without effect")
    num_gpu: object = Field(None, description="without effect")
    num_thread: object = Field(None, description="without effect")
    main_gpu: object = Field(None, description="without effect")
    numa: object = Field(None, description="without effect")
    low_vram: object = Field(None, description="without effect")
    f16_kv: object = Field(None, description="without effect")
    use_mmap: object = Field(None, description="without effect")
    use_mlock: object = Field(None, description="without effect")
    mirostat_tau: object = Field(None, description="without effect, as mirostat is off")
    mirostat_eta: object = Field(None, description="without effect, as mirostat is off")


class ModelRequest(schemas.RequestModel):
    """Field of every request body: the name of the model."""

    model: str | None = Field(
        None, description="served model name, with or without `:latest`; the first one by default"
    )


class AnswerRequest(ModelRequest):
    """Fields that the bodies of `POST /api/generate` and `POST /api/chat` share."""

    stream: bool | None = Field(None, description="true by default")
    think: bool | Literal["low", "medium", "high", "max"] | None = Field(
        None, description="false: the model answers without thinking"
    )
    options: Options | None = None
    keep_alive: object = Field(None, description="without effect: models stay loaded")
    truncate: bool | None = Field(
        None, description="whether the oldest turns of a conversation that is too long are dropped"
    )
    shift: object = Field(
        None, description="without effect: generation stops when the context is full"
    )
    format: str | dict[str, Any] | None = Field(
        None, description='"json" for a JSON object, or a JSON schema'
    )
    logprobs: Annotated[Unsupported, Neutral(False)] = None
    top_logprobs: Annotated[Unsupported, Neutral(0)] = None

    @property
    def thinking(self) -> bool:
        """Whether the model may reason before it answers; true by default."""
        return self.think is not False

    @property
    def sampling(self) -> Options:
        """Sampling options; the defaults if the body has none."""
        return self.options or Options.model_validate({})

    @property
    def grammar(self) -> Grammar | None:
        """Grammar of the texts that may be generated; None means that there is no restriction.

        Raises:
            APIError: if the format is unknown.
            UsageError: if the schema is not valid.
        """
        if self.format is None or self.format == "":
            return None
        if self.format == "json":
            return Grammar.json_schema(JSON_OBJECT, "format")
        if isinstance(self.format, str):
            raise APIError('format must be "json" or a JSON schema', "format")
        return Grammar.json_schema(self.format, "format")

    @property
    def max_tokens(self) -> int | None:
        """Maximum number of generated tokens; None means as many as the context has room for."""
        count = self.options and self.options.num_predict
        return count if count and count > 0 else None


class GenerateRequest(AnswerRequest):
    """Body of `POST /api/generate`: a prompt."""

    model_config = schemas.examples(
        {"prompt": "347*86", "stream": False, "options": {"temperature": 0}},
        {"prompt": "12+34=", "raw": True, "options": {"num_predict": 8}},
    )

    prompt: Text = ""
    system: Text | None = None
    raw: bool | None = Field(
        None, description="true: the model continues the prompt, without the chat template"
    )
    suffix: Annotated[Unsupported, Neutral("")] = None
    template: Annotated[Unsupported, Neutral("")] = None
    context: Annotated[Unsupported, Neutral([])] = None
    images: Annotated[Unsupported, Neutral([])] = None


class OllamaMessage(schemas.RequestModel):
    """Message of a conversation: its role and its content."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = None
    thinking: object = Field(
        None, description="without effect: the model does not see the thoughts of earlier answers"
    )
    images: Annotated[Unsupported, Neutral([])] = None
    tool_calls: Annotated[Unsupported, Neutral([])] = None


class ChatRequest(AnswerRequest):
    """Body of `POST /api/chat`: a conversation."""

    model_config = schemas.examples(
        {"messages": _CHAT, "options": {"temperature": 0}}, {"messages": _CHAT, "stream": False}
    )

    messages: Annotated[
        list[OllamaMessage], Field(fail_fast=True), max_entries(limits.MAX_MESSAGES)
    ] = Field(default_factory=list)
    tools: Annotated[Unsupported, Neutral([])] = None


class ShowRequest(ModelRequest):
    """Body of `POST /api/show`: the name of a model."""

    model_config = schemas.examples({"model": "anexa"})

    name: str | None = Field(None, description="older name of the field `model`")
    system: Annotated[Unsupported, Neutral("")] = None
    template: Annotated[Unsupported, Neutral("")] = None
    options: Annotated[Unsupported, Neutral({})] = None
    verbose: Annotated[Unsupported, Neutral(False)] = None


class OllamaError(schemas.ResponseModel):
    """Body of an error response: one sentence."""

    error: str


class AnswerResponse(schemas.ResponseModel):
    """Fields of a whole response, and of a line of a stream.

    Only a whole response and the last line of a stream have durations and numbers of tokens.
    Durations are in nanoseconds. `total_duration` is the time from the request to its last token,
    `prompt_eval_duration` the time to its first token, and `eval_duration` the time from the first
    token to the last. `load_duration` is 0: the model is loaded already. `prompt_eval_count` is the
    number of tokens of the prompt, `eval_count` the number of generated tokens. The `done_reason`
    "load" answers a request without a prompt, with which Ollama's clients load a model.
    """

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load"] | None = None
    total_duration: int | None = None
    load_duration: Literal[0] | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    dropped_turns: int | None = Field(
        None, description="number of turns that were dropped, if the request has `truncate`"
    )


class GenerateResponse(AnswerResponse):
    """Whole response of `POST /api/generate`, or a line of its stream."""

    response: str
    thinking: str | None = None


class ResponseMessage(schemas.ResponseModel):
    """Answer to a conversation; in a line of a stream, the next part of it."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None


class ChatResponse(AnswerResponse):
    """Whole response of `POST /api/chat`, or a line of its stream."""

    message: ResponseMessage


class Details(schemas.ResponseModel):
    """Architecture, size and format of a model.

    `parameter_size` is the number of parameters as a text, such as "804.6K".
    """

    parent_model: Literal[""]
    format: Literal["safetensors"]
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: Literal["F32", "F64"]


class TaggedModel(schemas.ResponseModel):
    """A served model in a list, with its name, size and hash."""

    name: str
    model: str
    modified_at: str = Field(description="time when the model was loaded")
    size: int = Field(description="size of the weights in bytes")
    digest: str = Field(description="SHA-256 of the weights")
    details: Details


class TagList(schemas.ResponseModel):
    """Response of `GET /api/tags`: the served models."""

    models: list[TaggedModel]


class ShowResponse(schemas.ResponseModel):
    """Response of `POST /api/show`: a served model."""

    modelfile: str = Field(description="name and default sampling parameters, as a Modelfile")
    parameters: str = Field(description="default sampling parameters")
    template: str = Field(description="chat template, in Jinja")
    details: Details
    model_info: Mapping[str, Any] = Field(description="sizes of the model, under GGUF's keys")
    capabilities: list[Literal["completion", "thinking"]]
    modified_at: str


class Version(schemas.ResponseModel):
    """Response of `GET /api/version`: the version of Ollama whose API is followed."""

    version: str

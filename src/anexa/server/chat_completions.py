"""`POST /v1/chat/completions`: the request body, and the responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from anexa.generation.logprobs import TokenLogprob
from anexa.model.tokenizer import Tokenizer
from anexa.server import limits, schemas
from anexa.server.chat_messages import (
    ChatMessage,
    ReasoningEffort,
    TemplateFields,
)
from anexa.server.generation_fields import UNLIMITED, GenerationRequest, TokenCount
from anexa.server.request import Request, RequestOutput
from anexa.server.responder import Fields, Responder
from anexa.server.schemas import max_entries
from anexa.server.structured_outputs import StructuredFields
from anexa.server.tool_calls import (
    CallPart,
    DeltaToolCall,
    MessageToolCall,
    ToolCallParser,
    delta_call,
    message_call,
)
from anexa.server.tools import ToolFields
from anexa.server.unsupported_fields import UnsupportedChat

_DROPPED = 'number of turns that did not fit into the context, if truncation is "auto"'
_QUESTION = [{"role": "user", "content": "347*86"}]


class ChatCompletionRequest(
    TemplateFields, GenerationRequest, StructuredFields, ToolFields, UnsupportedChat
):
    """Body of `POST /v1/chat/completions`: a conversation to answer, or to continue."""

    model_config = schemas.examples(
        {"messages": _QUESTION, "temperature": 0},
        {"messages": _QUESTION, "logprobs": True, "top_logprobs": 2},
        {"messages": _QUESTION, "stream": True, "stream_options": {"include_usage": True}},
    )

    messages: Annotated[
        list[ChatMessage], Field(min_length=1, fail_fast=True), max_entries(limits.MAX_MESSAGES)
    ]
    max_completion_tokens: TokenCount | None = Field(
        None, description="takes precedence over max_tokens"
    )
    logprobs: bool | None = Field(None, description="whether to report log probabilities")
    top_logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None, description="number of most likely tokens to report at each position"
    )
    reasoning_effort: ReasoningEffort | None = Field(
        None, description='"none": the model answers without thinking'
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        None,
        description='"auto": the oldest turns are dropped until the conversation fits',
    )

    @property
    def max_answer_tokens(self) -> int | None:
        """Maximum number of generated tokens; None means as many as the context has room for."""
        count = self.max_completion_tokens or self.max_tokens
        return None if count == UNLIMITED else count

    @property
    def thinking(self) -> bool:
        """Whether the model may reason before it answers; true by default."""
        return super().thinking and self.reasoning_effort != "none"


class TopLogprob(schemas.ResponseModel):
    """A likely token at a position of the answer: its text, bytes and natural log probability."""

    token: str
    bytes: list[int]
    logprob: float


class ChatCompletionTokenLogprob(TopLogprob):
    """Log probability of a generated token, and of the most likely tokens at its position."""

    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(schemas.ResponseModel):
    """Log probabilities of the tokens of an answer, including its reasoning."""

    content: list[ChatCompletionTokenLogprob]
    refusal: None


class ChatCompletionMessage(schemas.ResponseModel):
    """An answer; its reasoning has two names, those of vLLM and of DeepSeek's API.

    The reasoning is null if the model has not thought, and the content if the answer only consists
    of tool calls. `tool_calls` is left out if there are none.
    """

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None
    reasoning: str | None
    tool_calls: list[MessageToolCall] = Field(default_factory=list)


# "stop": the model or a stop string ended the answer; "length": it reached its maximum number of
# tokens; "tool_calls": the model ended the answer, which has tool calls.
ChatFinishReason = Literal["stop", "length", "tool_calls"]


class ChatCompletionChoice(schemas.Choice):
    """One answer to the conversation."""

    finish_reason: ChatFinishReason
    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | None


class ChatCompletion(schemas.Completions):
    """Response of `POST /v1/chat/completions`."""

    object: Literal["chat.completion"]
    choices: list[ChatCompletionChoice]
    prompt_logprobs: schemas.PromptLogprobs | None = None
    dropped_turns: int | None = Field(None, description=_DROPPED)


class ChoiceDelta(schemas.ResponseModel):
    """The next part of an answer: its role, then reasoning, then content or tool calls.

    It is empty at the end.
    """

    role: Literal["assistant"] = "assistant"
    content: str = ""
    reasoning_content: str = ""
    reasoning: str = ""
    tool_calls: list[DeltaToolCall] = Field(default_factory=list)


class ChatCompletionChunkChoice(schemas.ChunkChoice):
    """The next part of one answer, in a chunk of a stream."""

    finish_reason: ChatFinishReason | None
    delta: ChoiceDelta
    logprobs: ChoiceLogprobs | None


class ChatCompletionChunk(schemas.Chunk):
    """Chunk of a streamed response of `POST /v1/chat/completions`."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatCompletionChunkChoice]
    dropped_turns: int | None = Field(None, description=_DROPPED)


class ChatCompletionResponder(Responder):
    """Builder of the responses to a `ChatCompletionRequest`.

    Args:
        body: body of the HTTP request.
        requests: one request for each choice, in the order of the choices.
        model: served model name.
        tokenizer: tokenizer of the model.
        dropped_turns: number of turns that were dropped from the conversation; reported only if the
            body has the truncation "auto".
        new_parser: function that creates a parser of the tool calls in one answer; None if there
            can be none.
    """

    id_prefix = "chatcmpl"
    response_object, chunk_object = "chat.completion", "chat.completion.chunk"
    response_model, choice_model = ChatCompletion, ChatCompletionChoice
    chunk_model, chunk_choice_model = ChatCompletionChunk, ChatCompletionChunkChoice
    last_part: ClassVar[Fields] = {"delta": ChoiceDelta()}

    def __init__(
        self,
        body: ChatCompletionRequest,
        requests: Sequence[Request],
        model: str,
        tokenizer: Tokenizer,
        dropped_turns: int = 0,
        new_parser: Callable[[], ToolCallParser] | None = None,
    ) -> None:
        super().__init__(body, requests, model, tokenizer)
        self._parsers = [new_parser() if new_parser else None for _ in requests]
        if body.truncation == "auto":
            self._head["dropped_turns"] = self._chunk_head["dropped_turns"] = dropped_turns
        self._num_prompt_logprobs = body.prompt_logprobs

    def response_fields(self) -> Fields:
        """Return the log probabilities of the prompt, if the request asks for them."""
        if self._num_prompt_logprobs is None:
            return {}
        return {"prompt_logprobs": self.prompt_logprobs(0, self._num_prompt_logprobs)}

    def content(self, index: int, output: RequestOutput) -> Fields:
        """Return the message, with its reasoning, its content and its tool calls.

        To be called once for a choice: the parser of its tool calls reads the output.
        """
        answer = self.requests[index].answer
        assert answer
        found = self._parse(index, output)
        content = "".join(part for part in found if isinstance(part, str))
        calls = [message_call(part) for part in found if not isinstance(part, str)]
        message = ChatCompletionMessage(
            role="assistant",
            content=content if content or not calls else None,
            refusal=None,
            reasoning_content=answer.reasoning,
            reasoning=answer.reasoning,
            **({"tool_calls": calls} if calls else {}),
        )
        return {"message": message}

    def _parse(self, index: int, output: RequestOutput) -> list[str | CallPart]:
        """Separate the tool calls in a part of an answer from its content."""
        parser = self._parsers[index]
        if parser:
            return [*parser.add(output.text, finished=output.finished)]
        return [output.text] if output.text else []

    def finish_reason(self, index: int, output: RequestOutput) -> str | None:
        """Return why an answer ended: "stop", "length" or "tool_calls"; None until it ends.

        To be called after `content` or `parts`, which count the tool calls of the output.
        """
        parser = self._parsers[index]
        is_call = output.finish_reason == "stop" and parser is not None and parser.num_calls > 0
        return "tool_calls" if is_call else output.finish_reason

    def first_part(self, index: int) -> Fields:  # noqa: ARG002 (all choices begin alike)
        """Return the delta with which an answer begins: its role, "assistant"."""
        return {"delta": ChoiceDelta(role="assistant", content="")}

    def parts(self, index: int, output: RequestOutput) -> list[Fields]:
        """Return the deltas for an output: its reasoning, its content, and its tool calls.

        To be called once for each output, in order: the parser of the tool calls reads it. The list
        is empty while the parser holds back text that may be a call.
        """
        deltas = []
        if text := output.reasoning:
            deltas.append(ChoiceDelta(reasoning_content=text, reasoning=text))
        for part in self._parse(index, output):
            if isinstance(part, str):
                deltas.append(ChoiceDelta(content=part))
            else:
                deltas.append(ChoiceDelta(tool_calls=[delta_call(part)]))
        return [{"delta": delta} for delta in deltas]

    def logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> ChoiceLogprobs:  # noqa: ARG002
        """Return log probabilities with one object for each token; `index` is not used."""

        def fields(token: int, logprob: float) -> Fields:
            data = list(self.tokenizer.token_bytes(token))
            return {"token": self.token_text(token), "bytes": data, "logprob": logprob}

        content = [
            ChatCompletionTokenLogprob(
                **fields(one.token, one.logprob),
                top_logprobs=[TopLogprob(**fields(*top)) for top in one.top],
            )
            for one in logprobs
        ]
        return ChoiceLogprobs(content=content, refusal=None)

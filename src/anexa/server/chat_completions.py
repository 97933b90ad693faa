"""`POST /v1/chat/completions`: the request body, and the responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from anexa.server import limits
from anexa.server.request import RequestOutput, TokenLogprob
from anexa.server.responder import Responder
from anexa.server.schemas import (
    Choice,
    Chunk,
    ChunkChoice,
    Completions,
    FinishReason,
    GenerationRequest,
    RequestModel,
    ResponseModel,
    Text,
    TokenCount,
    examples,
    max_entries,
)

_QUESTION = [{"role": "user", "content": "347*86"}]


class TextPart(RequestModel):
    """Part of a message's content."""

    type: Literal["text"]
    text: Text


class Message(RequestModel):
    """Message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Text
        | Annotated[list[TextPart], Field(fail_fast=True), max_entries(limits.MAX_MESSAGES)]
        | None
    ) = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class TemplateOptions(RequestModel):
    """Arguments of the chat template."""

    enable_thinking: bool | None = None


class ChatCompletionRequest(GenerationRequest):
    """Body of `POST /v1/chat/completions`: a conversation that ends with a user's message."""

    model_config = examples(
        {"messages": _QUESTION, "temperature": 0},
        {"messages": _QUESTION, "logprobs": True, "top_logprobs": 2},
        {"messages": _QUESTION, "stream": True, "stream_options": {"include_usage": True}},
    )

    messages: Annotated[
        list[Message], Field(min_length=1, fail_fast=True), max_entries(limits.MAX_MESSAGES)
    ]
    max_completion_tokens: TokenCount | None = Field(
        None, description="takes precedence over max_tokens"
    )
    logprobs: bool | None = Field(None, description="whether to report log probabilities")
    top_logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None, description="number of most likely tokens to report at each position"
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="none: the model answers without thinking"
    )
    chat_template_kwargs: TemplateOptions | None = None

    @property
    def thinking(self) -> bool:
        """Whether the model may think before it answers."""
        options = self.chat_template_kwargs
        is_disabled = options is not None and options.enable_thinking is False
        return not is_disabled and self.reasoning_effort != "none"


class TopLogprob(ResponseModel):
    """Log probability of a token."""

    token: str
    bytes: list[int]
    logprob: float


class ChatCompletionTokenLogprob(TopLogprob):
    """Log probability of a generated token, and of the most likely tokens at its position."""

    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(ResponseModel):
    """Log probabilities of the tokens of an answer, including its reasoning."""

    content: list[ChatCompletionTokenLogprob]
    refusal: None


class ChatCompletionMessage(ResponseModel):
    """An answer; its reasoning stands under the names that vLLM and DeepSeek's API give it."""

    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning_content: str | None
    reasoning: str | None


class ChatCompletionChoice(Choice):
    """One answer to the conversation."""

    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | None


class ChatCompletion(Completions):
    """Response of `POST /v1/chat/completions`."""

    object: Literal["chat.completion"]
    choices: list[ChatCompletionChoice]


class ChoiceDelta(ResponseModel):
    """The next part of an answer: its role, then reasoning, then content; empty at the end."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    reasoning_content: str = ""
    reasoning: str = ""


class ChatCompletionChunkChoice(ChunkChoice):
    """The next part of one answer."""

    delta: ChoiceDelta
    logprobs: ChoiceLogprobs | None


class ChatCompletionChunk(Chunk):
    """Chunk of a streamed response of `POST /v1/chat/completions`."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatCompletionChunkChoice]


class ChatCompletionResponder(Responder):
    """Builds the responses to a `ChatCompletionRequest`."""

    id_prefix = "chatcmpl"

    def response(self, outputs: Sequence[RequestOutput]) -> ChatCompletion:
        """Build the answers, each with its reasoning and its content."""
        choices = [self._choice(index, output) for index, output in enumerate(outputs)]
        return ChatCompletion(
            **self._head, object="chat.completion", choices=choices, usage=self.usage
        )

    def first_chunk(self, index: int) -> ChatCompletionChunk:
        """Build a chunk with the role."""
        return self._chunk(index, ChoiceDelta(role="assistant", content=""), None, None)

    def chunks(self, index: int, output: RequestOutput) -> Iterator[ChatCompletionChunk]:
        """Build a chunk of reasoning, one of content, and an empty one with the finish reason."""
        logprobs = self._logprobs(output.logprobs) if output.logprobs else None
        deltas = []
        if output.reasoning:
            deltas.append(
                ChoiceDelta(reasoning_content=output.reasoning, reasoning=output.reasoning)
            )
        if output.text:
            deltas.append(ChoiceDelta(content=output.text))
        for delta in deltas:
            yield self._chunk(index, delta, logprobs, None)
            logprobs = None
        if output.finish_reason:
            yield self._chunk(index, ChoiceDelta(), logprobs, output.finish_reason)

    def usage_chunk(self) -> ChatCompletionChunk:
        """Build a chunk without choices."""
        head = {**self._head, "usage": self.usage}
        return ChatCompletionChunk(**head, object="chat.completion.chunk", choices=[])

    def _choice(self, index: int, output: RequestOutput) -> ChatCompletionChoice:
        request = self.requests[index]
        assert request.answer
        assert output.finish_reason
        message = ChatCompletionMessage(
            role="assistant",
            content=output.text,
            refusal=None,
            reasoning_content=request.answer.reasoning,
            reasoning=request.answer.reasoning,
        )
        return ChatCompletionChoice(
            index=index,
            message=message,
            logprobs=None if request.num_logprobs is None else self._logprobs(output.logprobs),
            finish_reason=output.finish_reason,
        )

    def _chunk(
        self,
        index: int,
        delta: ChoiceDelta,
        logprobs: ChoiceLogprobs | None,
        finish_reason: FinishReason | None,
    ) -> ChatCompletionChunk:
        choice = ChatCompletionChunkChoice(
            index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason
        )
        return ChatCompletionChunk(
            **self._chunk_head, object="chat.completion.chunk", choices=[choice]
        )

    def _logprobs(self, logprobs: Sequence[TokenLogprob]) -> ChoiceLogprobs:
        def fields(token: int, logprob: float) -> dict[str, Any]:
            data = list(self._tokenizer.token_bytes(token))
            return {"token": self._token_text(token), "bytes": data, "logprob": logprob}

        content = [
            ChatCompletionTokenLogprob(
                **fields(logprob.token, logprob.logprob),
                top_logprobs=[TopLogprob(**fields(*top)) for top in logprob.top],
            )
            for logprob in logprobs
        ]
        return ChoiceLogprobs(content=content, refusal=None)

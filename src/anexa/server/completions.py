"""`POST /v1/completions`: the request body, and the responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated, Literal

from pydantic import Field

from anexa.model.tokenizer import Tokenizer
from anexa.server import limits
from anexa.server.request import Request, RequestOutput, TokenLogprob
from anexa.server.responder import Responder
from anexa.server.schemas import (
    Choice,
    Chunk,
    ChunkChoice,
    Completions,
    FinishReason,
    GenerationRequest,
    ResponseModel,
    Text,
    examples,
    max_entries,
)

Texts = Annotated[list[Text], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, str)]
TokenIds = Annotated[list[int], Field(fail_fast=True), max_entries(limits.MAX_PROMPT_TOKENS, int)]
SeveralTokenIds = Annotated[
    list[TokenIds], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, list)
]


class CompletionRequest(GenerationRequest):
    """Body of `POST /v1/completions`: prompts to continue."""

    model_config = examples(
        {"prompt": "12+34=", "max_tokens": 8},
        {"prompt": ["12+", "34*"], "n": 2, "echo": True, "logprobs": 2, "stream": True},
    )

    prompt: Text | Texts | TokenIds | SeveralTokenIds = ""
    echo: bool | None = Field(None, description="whether the text begins with the prompt")
    logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None, description="number of most likely tokens to report at each position"
    )

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list, each a text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt  # type: ignore[return-value]


class Logprobs(ResponseModel):
    """Log probabilities of the tokens of a text; offsets are characters from its beginning."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Choice):
    """A text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class Completion(Completions):
    """Response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class CompletionChunkChoice(ChunkChoice):
    """The next part of a text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class CompletionChunk(Chunk):
    """Chunk of a streamed response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]


class CompletionResponder(Responder):
    """Builds the responses to a `CompletionRequest`."""

    id_prefix = "cmpl"

    def __init__(
        self,
        body: CompletionRequest,
        requests: Sequence[Request],
        model: str,
        tokenizer: Tokenizer,
    ) -> None:
        super().__init__(body, requests, model, tokenizer)
        self._echo = bool(body.echo)
        self._echoes = [request.text.prompt.text if body.echo else "" for request in requests]
        self._offsets = [len(echo) for echo in self._echoes]  # where the next token begins

    def response(self, outputs: Sequence[RequestOutput]) -> Completion:
        """Build the texts, after their prompts if the request asks for an echo."""
        choices = [self._choice(index, output) for index, output in enumerate(outputs)]
        return Completion(**self._head, object="text_completion", choices=choices, usage=self.usage)

    def first_chunk(self, index: int) -> CompletionChunk | None:
        """Build a chunk with the prompt, if the request asks for an echo."""
        echo = self._echoes[index]
        return self._chunk(index, echo, None, None) if self._echo else None

    def chunks(self, index: int, output: RequestOutput) -> Iterator[CompletionChunk]:
        """Build a chunk of text, and an empty one with the finish reason at the end."""
        logprobs = self._logprobs(index, output.logprobs) if output.logprobs else None
        if output.text:
            yield self._chunk(index, output.text, logprobs, None)
            logprobs = None
        if output.finish_reason:
            yield self._chunk(index, "", logprobs, output.finish_reason)

    def usage_chunk(self) -> CompletionChunk:
        """Build a chunk without choices."""
        head = {**self._head, "usage": self.usage}
        return CompletionChunk(**head, object="text_completion", choices=[])

    def _choice(self, index: int, output: RequestOutput) -> CompletionChoice:
        has_logprobs = self.requests[index].num_logprobs is not None
        assert output.finish_reason
        return CompletionChoice(
            index=index,
            text=self._echoes[index] + output.text,
            logprobs=self._logprobs(index, output.logprobs) if has_logprobs else None,
            finish_reason=output.finish_reason,
        )

    def _chunk(
        self, index: int, text: str, logprobs: Logprobs | None, finish_reason: FinishReason | None
    ) -> CompletionChunk:
        choice = CompletionChunkChoice(
            index=index, text=text, logprobs=logprobs, finish_reason=finish_reason
        )
        return CompletionChunk(**self._chunk_head, object="text_completion", choices=[choice])

    def _logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> Logprobs:
        tokens = [self._token_text(logprob.token) for logprob in logprobs]
        *offsets, self._offsets[index] = accumulate(map(len, tokens), initial=self._offsets[index])
        return Logprobs(
            tokens=tokens,
            token_logprobs=[logprob.logprob for logprob in logprobs],
            top_logprobs=[
                {self._token_text(token): value for token, value in logprob.top}
                for logprob in logprobs
            ],
            text_offset=offsets,
        )

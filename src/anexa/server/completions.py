"""`POST /v1/completions`: the request body, and the responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from anexa.model.tokenizer import Tokenizer
from anexa.server import limits, schemas
from anexa.server.request import Request, RequestOutput, TokenLogprob
from anexa.server.responder import Fields, Responder
from anexa.server.schemas import Text, max_entries

Texts = Annotated[list[Text], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, str)]
TokenIds = Annotated[list[int], Field(fail_fast=True), max_entries(limits.MAX_PROMPT_TOKENS, int)]
SeveralTokenIds = Annotated[
    list[TokenIds], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, list)
]


def as_list(
    prompts: str | list[str] | list[int] | list[list[int]],
) -> list[str] | list[list[int]]:
    """Make a list of one or several prompts, each a text or token ids."""
    if isinstance(prompts, str):
        return [prompts]
    if prompts and isinstance(prompts[0], int):
        return [prompts]  # type: ignore[list-item]
    return prompts  # type: ignore[return-value]


class CompletionRequest(schemas.GenerationRequest):
    """Body of `POST /v1/completions`: prompts to continue."""

    model_config = schemas.examples(
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
        return as_list(self.prompt)


class Logprobs(schemas.ResponseModel):
    """Log probabilities of the tokens of a text.

    An offset is the index in the text of the character that the token begins in; tokens that are
    parts of the same character have the same offset.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(schemas.Choice):
    """A text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class Completion(schemas.Completions):
    """Response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class CompletionChunkChoice(schemas.ChunkChoice):
    """The next part of a text that continues a prompt."""

    text: str
    logprobs: Logprobs | None


class CompletionChunk(schemas.Chunk):
    """Chunk of a streamed response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]


class CompletionResponder(Responder):
    """Builds the responses to a `CompletionRequest`."""

    id_prefix, response_object, chunk_object = "cmpl", "text_completion", "text_completion"
    response_model, choice_model = Completion, CompletionChoice
    chunk_model, chunk_choice_model = CompletionChunk, CompletionChunkChoice
    last_part: ClassVar[Fields] = {"text": ""}

    def __init__(
        self, body: CompletionRequest, requests: Sequence[Request], model: str, tokenizer: Tokenizer
    ) -> None:
        super().__init__(body, requests, model, tokenizer)
        self._echo = bool(body.echo)
        self._echoes = [request.text.prompt.text if body.echo else "" for request in requests]

    def content(self, index: int, output: RequestOutput) -> Fields:
        """The text, after its prompt if the request asks for an echo."""
        return {"text": self._echoes[index] + output.text}

    def first_part(self, index: int) -> Fields | None:
        """The prompt, if the request asks for an echo."""
        return {"text": self._echoes[index]} if self._echo else None

    def parts(self, output: RequestOutput) -> list[Fields]:
        """The text, if there is any."""
        return [{"text": output.text}] if output.text else []

    def logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> Logprobs:
        """Log probabilities as four lists."""
        start = len(self._echoes[index])
        # Of several tokens with the same text, the most likely one stays.
        top = [[(self.token_text(token), p) for token, p in one.top] for one in logprobs]
        return Logprobs(
            tokens=[self.token_text(one.token) for one in logprobs],
            token_logprobs=[one.logprob for one in logprobs],
            top_logprobs=[{**dict(pairs), **dict(reversed(pairs))} for pairs in top],
            text_offset=[start + one.offset for one in logprobs],
        )

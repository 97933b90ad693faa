"""`POST /v1/completions`: the request body, and the responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field

from anexa.generation.logprobs import TokenLogprob
from anexa.generation.text_stream import FinishReason
from anexa.model.tokenizer import Tokenizer
from anexa.server import limits, schemas
from anexa.server.generation_fields import GenerationRequest, TokenCountOrZero, range_field
from anexa.server.request import Request, RequestOutput
from anexa.server.responder import Fields, Responder
from anexa.server.schemas import Text, max_entries
from anexa.server.structured_outputs import StructuredFields
from anexa.server.unsupported_fields import UnsupportedCompletion

# The types of several prompts: texts, or lists of token ids; the token ids of one prompt.
Texts = Annotated[list[Text], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, str)]
TokenIds = Annotated[list[int], Field(fail_fast=True), max_entries(limits.MAX_PROMPT_TOKENS, int)]
TokenIdLists = Annotated[
    list[TokenIds], Field(fail_fast=True), max_entries(limits.MAX_CHOICES, list)
]


def as_list(
    prompts: str | list[str] | list[int] | list[list[int]],
) -> list[str] | list[list[int]]:
    """Return one or several prompts as a list; each prompt is a text or a list of token ids.

    An empty list stays empty: it has no prompts.
    """
    if isinstance(prompts, str):
        return [prompts]
    if prompts and isinstance(prompts[0], int):
        return cast("list[list[int]]", [prompts])
    return cast("list[str] | list[list[int]]", prompts)


class CompletionRequest(GenerationRequest, StructuredFields, UnsupportedCompletion):
    """Body of `POST /v1/completions`: prompts to continue."""

    model_config = schemas.examples(
        {"prompt": "12+34=", "max_tokens": 8},
        {"prompt": ["12+", "34*"], "n": 2, "echo": True, "logprobs": 2, "stream": True},
    )

    prompt: Text | Texts | TokenIds | TokenIdLists = ""
    echo: bool | None = Field(None, description="whether the text begins with the prompt")
    logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = Field(
        None,
        description=(
            "number of most likely tokens to report at each position; with echo at those of the "
            "prompt too"
        ),
    )
    max_tokens: TokenCountOrZero | None = Field(
        None, description="maximum number of generated tokens of a choice; 0: none"
    )
    best_of: Annotated[int, range_field("n", le=limits.MAX_CHOICES)] | None = Field(
        None,
        description="number of texts that are generated for each prompt; the n with the highest "
        "mean log probability of a token are the choices",
    )

    @property
    def sequences_per_prompt(self) -> int:
        """Number of sequences that are generated for each prompt."""
        return self.best_of or self.n or 1

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list, maybe empty; each prompt is a text or a list of token ids."""
        return as_list(self.prompt)

    @property
    def num_prompt_logprobs(self) -> int | None:
        """Number of most likely tokens to report at each position of the prompt.

        None means that log probabilities of the prompt are not reported.
        """
        asked = [self.prompt_logprobs, self.logprobs if self.echo else None]
        return max((number for number in asked if number is not None), default=None)


class Logprobs(schemas.ResponseModel):
    """Natural log probabilities of the tokens of a text, and of the most likely tokens.

    An offset is the index in the text of the character that the token begins in; tokens that are
    parts of the same character have the same offset. The first token of an echoed prompt follows
    no other token, so it has no log probability.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(schemas.Choice):
    """A text that continues a prompt."""

    finish_reason: FinishReason
    text: str
    logprobs: Logprobs | None
    prompt_logprobs: schemas.PromptLogprobs | None = None


class Completion(schemas.Completions):
    """Response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class CompletionChunkChoice(schemas.ChunkChoice):
    """The next part of a text that continues a prompt; the last one has a finish reason."""

    finish_reason: FinishReason | None
    text: str
    logprobs: Logprobs | None


class CompletionChunk(schemas.Chunk):
    """Chunk of a streamed response of `POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]


class CompletionResponder(Responder):
    """Builder of the responses to a `CompletionRequest`."""

    id_prefix, response_object, chunk_object = "cmpl", "text_completion", "text_completion"
    response_model, choice_model = Completion, CompletionChoice
    chunk_model, chunk_choice_model = CompletionChunk, CompletionChunkChoice
    last_part: ClassVar[Fields] = {"text": ""}

    def __init__(
        self, body: CompletionRequest, requests: Sequence[Request], model: str, tokenizer: Tokenizer
    ) -> None:
        super().__init__(body, requests, model, tokenizer)
        self._echo, self._num_logprobs = bool(body.echo), body.logprobs
        self._num_prompt_logprobs = body.prompt_logprobs
        self._echoes = [request.text.prompt.text if body.echo else "" for request in requests]
        # Choices whose prompt is yet to be sent, together with its log probabilities.
        scored = body.echo and body.logprobs is not None
        self._unsent_echoes = {*range(len(requests))} if scored else set[int]()

    def content(self, index: int, output: RequestOutput) -> Fields:
        """Return the text, after its prompt if the request asks for an echo."""
        fields: Fields = {"text": self._echoes[index] + output.text}
        if self._num_prompt_logprobs is not None:
            fields["prompt_logprobs"] = self.prompt_logprobs(index, self._num_prompt_logprobs)
        return fields

    def first_part(self, index: int) -> Fields | None:
        """Return the prompt if an echo without log probabilities is asked for, else None."""
        return {"text": self._echoes[index]} if self._echo and not self._unsent_echoes else None

    def chunks(self, index: int, output: RequestOutput) -> Iterator[schemas.Chunk]:
        """Yield the chunks of an output.

        The first output of a choice is preceded by a chunk with the prompt, if the request asks for
        an echo with log probabilities.
        """
        if index in self._unsent_echoes:
            self._unsent_echoes.remove(index)
            yield self._chunk(index, {"text": self._echoes[index]}, self._echo_logprobs(index))
        yield from super().chunks(index, output)

    def parts(self, index: int, output: RequestOutput) -> list[Fields]:  # noqa: ARG002
        """Return the text of an output as a list of one part; [] if it is empty."""
        return [{"text": output.text}] if output.text else []

    def whole_logprobs(self, index: int, output: RequestOutput) -> Logprobs:
        """Return the log probabilities of the whole text, an echoed prompt included."""
        logprobs = self.logprobs(index, output.logprobs)
        if not self._echo:
            return logprobs
        echoed = self._echo_logprobs(index)
        names = Logprobs.model_fields
        return Logprobs(**{name: getattr(echoed, name) + getattr(logprobs, name) for name in names})

    def logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> Logprobs:
        """Return log probabilities as four lists, with an item for each token."""
        start = len(self._echoes[index])
        return Logprobs(
            tokens=[self.token_text(one.token) for one in logprobs],
            token_logprobs=[one.logprob for one in logprobs],
            top_logprobs=[self._top(one) for one in logprobs],
            text_offset=[start + one.offset for one in logprobs],
        )

    def _echo_logprobs(self, index: int) -> Logprobs:
        """Return the log probabilities of the prompt's tokens; the first token has none."""
        request = self.requests[index]
        logprobs, prompt = request.prompt_logprobs, request.text.prompt
        return Logprobs(
            tokens=[self.token_text(token) for token in prompt.ids],
            token_logprobs=[None, *(one.logprob for one in logprobs)],
            top_logprobs=[None, *(self._top(one) for one in logprobs)],
            text_offset=prompt.offsets(self.tokenizer),
        )

    def _top(self, logprob: TokenLogprob) -> dict[str, float]:
        """Return the most likely tokens, and the token itself if it is not one of them.

        If several tokens have the same text, the dictionary has the most likely one.
        """
        likely = logprob.top[: self._num_logprobs]
        top: dict[str, float] = {}
        for token, p in (*likely, (logprob.token, logprob.logprob)):
            top.setdefault(self.token_text(token), p)
        return top

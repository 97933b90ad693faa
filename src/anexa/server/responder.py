"""Builds the API's responses, whole or as chunks of a stream, from the outputs of requests."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeAlias
from uuid import uuid4

from anexa.generation.logprobs import TokenLogprob
from anexa.model.tokenizer import Tokenizer
from anexa.server import schemas
from anexa.server.generation_fields import GenerationRequest
from anexa.server.request import Request, RequestOutput

Fields: TypeAlias = dict[str, Any]
"""Values for some fields of a response model, by field name."""


class Responder(ABC):
    """Builds the responses to one HTTP request: a whole response, or the chunks of a stream.

    A subclass names the response models of its route, and fills the fields in which they differ.

    Args:
        body: body of the HTTP request.
        requests: one request for each choice, in the order of the choices.
        model: served model name.
        tokenizer: tokenizer of the model.
    """

    id_prefix: str
    response_model: type[schemas.Completions]
    response_object: str
    choice_model: type[schemas.Choice]
    chunk_model: type[schemas.Chunk]
    chunk_object: str
    chunk_choice_model: type[schemas.ChunkChoice]
    last_part: ClassVar[Fields]  # fields of the chunk with the finish reason, which has no text

    def __init__(
        self, body: GenerationRequest, requests: Sequence[Request], model: str, tokenizer: Tokenizer
    ) -> None:
        self.requests, self.tokenizer, self._n = requests, tokenizer, body.n or 1
        self._per_prompt = body.sequences_per_prompt
        self.include_usage = body.include_usage
        head = {
            "id": f"{self.id_prefix}-{uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._head: Fields = {**head, "object": self.response_object}
        self._chunk_head: Fields = {**head, "object": self.chunk_object}
        if self.include_usage:
            self._chunk_head["usage"] = None
        self._held_logprobs: list[list[TokenLogprob]] = [[] for _ in requests]

    @abstractmethod
    def content(self, index: int, output: RequestOutput) -> Fields:
        """Return the fields of a choice with a whole output's text."""

    def response_fields(self) -> Fields:
        """Return further fields of the whole response."""
        return {}

    @abstractmethod
    def first_part(self, index: int) -> Fields | None:
        """Return the fields of the chunk before a choice's output; None if there is none."""

    @abstractmethod
    def parts(self, index: int, output: RequestOutput) -> list[Fields]:
        """Return the fields of the chunks with an output's text: one for each kind of text."""

    def finish_reason(self, index: int, output: RequestOutput) -> str | None:  # noqa: ARG002
        """Return why a choice ended; None while it continues."""
        return output.finish_reason

    @abstractmethod
    def logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> schemas.ResponseModel:
        """Return the log probabilities of the next tokens of a choice as a response object."""

    def whole_logprobs(self, index: int, output: RequestOutput) -> schemas.ResponseModel:
        """Return the log probabilities of a whole output as a response object."""
        return self.logprobs(index, output.logprobs)

    def prompt_logprobs(self, index: int, num_top: int) -> schemas.PromptLogprobs:
        """Return the log probabilities of the prompt of a choice; its first token has none.

        Args:
            index: index of the choice.
            num_top: number of most likely tokens to report at each position.
        """
        positions: schemas.PromptLogprobs = [None]
        for one in self.requests[index].prompt_logprobs:
            ranked = [(one.token, one.logprob, one.rank)]
            ranked += [(token, p, rank) for rank, (token, p) in enumerate(one.top[:num_top], 1)]
            positions.append(
                {
                    token: schemas.PromptLogprob(
                        logprob=p, rank=rank, decoded_token=self.token_text(token)
                    )
                    for token, p, rank in ranked
                }
            )
        return positions

    def response(self, outputs: Sequence[RequestOutput]) -> schemas.Completions:
        """Build the whole response from the whole output of each request."""
        choices = []
        for place, index in enumerate(self._chosen()):
            output = outputs[index]
            has_logprobs = self.requests[index].num_logprobs is not None
            logprobs = self.whole_logprobs(index, output) if has_logprobs else None
            part = self.content(index, output)
            choices.append(
                _build(self.choice_model, place, part, logprobs, self.finish_reason(index, output))
            )
        fields = {**self._head, "choices": choices, **self.response_fields()}
        return self.response_model(**fields, usage=self._usage())

    def _chosen(self) -> list[int]:
        """Indices of the requests whose outputs are the choices: the n best of each prompt."""
        chosen: list[int] = []
        for first in range(0, len(self.requests), self._per_prompt):
            group = range(first, first + self._per_prompt)
            best_first = sorted(group, key=lambda index: -self.requests[index].mean_logprob)
            chosen += best_first[: self._n]
        return chosen

    def first_chunk(self, index: int) -> schemas.Chunk | None:
        """Build the chunk that precedes the output of a choice; None if there is none."""
        part = self.first_part(index)
        return self._chunk(index, part) if part else None

    def chunks(self, index: int, output: RequestOutput) -> Iterator[schemas.Chunk]:
        """Build the chunks of an output: one for each kind of text, and one for the end.

        Log probabilities of text that is held back are in the next chunk.
        """
        parts = self.parts(index, output)
        given = self._held_logprobs[index] + output.logprobs
        is_held = not parts and not output.finish_reason
        self._held_logprobs[index] = given if is_held else []
        logprobs = self.logprobs(index, given) if given and not is_held else None
        for part in parts:
            yield self._chunk(index, part, logprobs)
            logprobs = None
        if output.finish_reason:
            yield self._chunk(index, self.last_part, logprobs, self.finish_reason(index, output))

    def usage_chunk(self) -> schemas.Chunk:
        """Build the last chunk, which has no choices and reports the token usage."""
        return self.chunk_model(**{**self._chunk_head, "choices": [], "usage": self._usage()})

    def _chunk(self, index: int, *part: Any) -> schemas.Chunk:
        choice = _build(self.chunk_choice_model, index, *part)
        fields = {**self._chunk_head, "choices": [choice]}
        return self.chunk_model(**fields)

    def _usage(self) -> schemas.CompletionUsage:
        """Token usage of all choices; each prompt counts once."""
        first_choices = self.requests[:: self._per_prompt]
        prompts = sum(len(request.text.prompt.ids) for request in first_choices)
        cached = sum(request.num_cached_tokens for request in first_choices)
        generated = sum(request.text.num_tokens for request in self.requests)
        return schemas.CompletionUsage(
            prompt_tokens=prompts,
            prompt_tokens_details=schemas.PromptTokensDetails(cached_tokens=cached),
            completion_tokens=generated,
            completion_tokens_details=schemas.CompletionTokensDetails(
                reasoning_tokens=sum(request.num_reasoning_tokens for request in self.requests)
            ),
            total_tokens=prompts + generated,
        )

    def token_text(self, token: int) -> str:
        """Text of a token; of a part of a character its bytes, as in OpenAI's API.

        A special token, which has no text, is shown by its name.
        """
        data = self.tokenizer.token_bytes(token)
        try:
            return data.decode() or self.tokenizer.id_to_token(token) or ""
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _build(
    model: type[Any],
    index: int,
    part: Fields,
    logprobs: schemas.ResponseModel | None = None,
    finish_reason: str | None = None,
) -> Any:
    """Build a choice."""
    return model(**part, index=index, logprobs=logprobs, finish_reason=finish_reason)

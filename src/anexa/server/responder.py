"""Builds OpenAI responses, whole or as chunks of a stream, from the outputs of requests."""

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
"""Values of some fields of a response model, by field name."""


class Responder(ABC):
    """Builder of the responses to one HTTP request: a whole response, or chunks of a stream.

    A subclass sets the response models of its route as class attributes, and fills the fields in
    which routes differ.

    Args:
        body: body of the HTTP request.
        requests: `body.sequences_per_prompt` requests for each prompt; those of the first prompt
            come first. The `index` in the methods is the index of a request. In a stream each
            request is a choice; a whole response has only the best `n` of each prompt.
        model: served model name.
        tokenizer: tokenizer of the model.

    Attributes:
        id_prefix: prefix of the response's `id`, such as "cmpl".
        response_model: model of a whole response.
        response_object: field `object` of a whole response, such as "text_completion".
        choice_model: model of a choice of a whole response.
        chunk_model: model of a chunk of a stream.
        chunk_object: field `object` of a chunk.
        chunk_choice_model: model of a choice of a chunk.
        last_part: fields of a choice in the chunk with its finish reason, which has no text.
        include_usage: whether the last chunk of a stream has the token usage.
    """

    id_prefix: str
    response_model: type[schemas.Completions]
    response_object: str
    choice_model: type[schemas.Choice]
    chunk_model: type[schemas.Chunk]
    chunk_object: str
    chunk_choice_model: type[schemas.ChunkChoice]
    last_part: ClassVar[Fields]

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
        """Return the fields of a choice of a whole response that hold the text of an output."""

    def response_fields(self) -> Fields:
        """Return the fields of a whole response that only this route has; default: none."""
        return {}

    @abstractmethod
    def first_part(self, index: int) -> Fields | None:
        """Return the fields of the chunk before the output of a choice; None for no chunk."""

    @abstractmethod
    def parts(self, index: int, output: RequestOutput) -> list[Fields]:
        """Return the fields of the chunks for an output: a chunk for each kind of text in it.

        The list is empty if the output has no text, or all of it is held back.
        """

    def finish_reason(self, index: int, output: RequestOutput) -> str | None:  # noqa: ARG002
        """Return the reason why a choice ended; None while it is generated."""
        return output.finish_reason

    @abstractmethod
    def logprobs(self, index: int, logprobs: Sequence[TokenLogprob]) -> schemas.ResponseModel:
        """Build the response object with the log probabilities of the next tokens of a choice."""

    def whole_logprobs(self, index: int, output: RequestOutput) -> schemas.ResponseModel:
        """Build the response object with the log probabilities of a whole output."""
        return self.logprobs(index, output.logprobs)

    def prompt_logprobs(self, index: int, num_top: int) -> schemas.PromptLogprobs:
        """Build the response object with the log probabilities of a prompt.

        Its first item is None, as the first token of the prompt follows no other.

        Args:
            index: index of the request.
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
        """Build a whole response from the whole output of each request.

        The choices are the `n` texts of each prompt with the highest mean log probability.
        """
        choices = []
        for number, index in enumerate(self._chosen()):
            output = outputs[index]
            has_logprobs = self.requests[index].num_logprobs is not None
            logprobs = self.whole_logprobs(index, output) if has_logprobs else None
            part = self.content(index, output)
            choices.append(
                _build(self.choice_model, number, part, logprobs, self.finish_reason(index, output))
            )
        fields = {**self._head, "choices": choices, **self.response_fields()}
        return self.response_model(**fields, usage=self._usage())

    def _chosen(self) -> list[int]:
        """Return the indices of the requests that become choices: the best `n` of each prompt."""
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
        """Build the chunks of an output: one for each kind of text, one with the finish reason.

        Log probabilities of tokens whose text is held back are in the next chunk with text, so this
        method is called once for each output, in order.
        """
        parts = self.parts(index, output)
        unsent = self._held_logprobs[index] + output.logprobs
        is_held = not parts and not output.finish_reason
        self._held_logprobs[index] = unsent if is_held else []
        logprobs = self.logprobs(index, unsent) if unsent and not is_held else None
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
        """Return the token usage of all requests; each prompt counts once."""
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
        """Return the text of a token, or the name of a special token.

        If the token is a part of a character, its bytes are spelled out as in OpenAI's API:
        `bytes:\\xc3`.
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
    """Build a choice of a whole response or of a chunk, of the class `model`.

    Args:
        model: class of the choice.
        index: index of the choice.
        part: fields with the text.
        logprobs: log probabilities; None if they are not reported.
        finish_reason: reason why the choice ended; None while it is generated.
    """
    return model(**part, index=index, logprobs=logprobs, finish_reason=finish_reason)

"""From the outputs of requests to the responses of the API."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from anexa.model.tokenizer import Tokenizer
from anexa.server.request import Request, RequestOutput
from anexa.server.schemas import Chunk, Completions, CompletionUsage, GenerationRequest


class Responder(ABC):
    """Builds the responses to one HTTP request: a whole response, or the chunks of a stream.

    Args:
        body: body of the HTTP request.
        requests: one request for each choice, in the order of the choices.
        model: served model name.
        tokenizer: tokenizer of the model.
    """

    id_prefix: str

    def __init__(
        self,
        body: GenerationRequest,
        requests: Sequence[Request],
        model: str,
        tokenizer: Tokenizer,
    ) -> None:
        self.requests, self.include_usage = requests, body.include_usage
        self._n, self._tokenizer = body.n or 1, tokenizer
        self._head: dict[str, Any] = {
            "id": f"{self.id_prefix}-{uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._chunk_head = {**self._head, "usage": None} if self.include_usage else self._head

    @abstractmethod
    def response(self, outputs: Sequence[RequestOutput]) -> Completions:
        """Build the whole response from the whole output of each request."""

    @abstractmethod
    def first_chunk(self, index: int) -> Chunk | None:
        """Build the chunk that precedes the output of a choice; None if there is none."""

    @abstractmethod
    def chunks(self, index: int, output: RequestOutput) -> Iterator[Chunk]:
        """Build the chunks of an output: one for each kind of text, and one for the end."""

    @abstractmethod
    def usage_chunk(self) -> Chunk:
        """Build the last chunk, which reports the token usage."""

    @property
    def usage(self) -> CompletionUsage:
        """Token usage of all choices; each prompt counts once."""
        prompt_tokens = sum(len(request.text.prompt.ids) for request in self.requests[:: self._n])
        completion_tokens = sum(request.text.num_tokens for request in self.requests)
        return CompletionUsage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        )

    def _token_text(self, token: int) -> str:
        """Text of a token; of a part of a character its bytes, as in OpenAI's API."""
        data = self._tokenizer.token_bytes(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

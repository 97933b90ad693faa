"""What is answered, in the shapes of OpenAI's API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from anexa.generation import AnswerPiece
from anexa.model.tokenizer import Tokenizer
from anexa.server.jobs import Request, TokenLogprob

JSON = dict[str, Any]


def error(message: str, kind: str, param: str | None = None, code: str | None = None) -> JSON:
    """An error: what is wrong, whose fault it is, and in which field."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def usage(jobs: Sequence[Request], prompts: int) -> JSON:
    """Tokens that were read and written; a prompt counts once, however many texts follow it."""
    texts = len(jobs) // prompts
    read = sum(len(job.text.prompt.ids) for job in jobs[::texts])
    written = sum(job.text.tokens for job in jobs)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def event(data: JSON) -> bytes:
    """A server-sent event."""
    return (
        b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


DONE = b"data: [DONE]\n\n"


class Shape:
    """How texts are told of: as a whole, or bit by bit.

    Args:
        model: its name.
        tokenizer: of the model.
        whole: the kind of object that an answer is.
        part: the kind of object that a bit of a stream is.
        prefix: of its name.
    """

    whole, part, prefix = "", "", ""

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._head = {"id": f"{self.prefix}-{uuid4().hex}", "created": int(time.time())}
        self._model = model

    def answer(
        self, jobs: Sequence[Request], logprobs: Sequence[list[TokenLogprob]], n: int
    ) -> JSON:
        """All of it."""
        choices = [
            {
                "index": index,
                **self.choice(job),
                "logprobs": self.logprobs(job, told) if job.tells_logprobs else None,
                "finish_reason": job.text.finish_reason,
            }
            for index, (job, told) in enumerate(zip(jobs, logprobs))
        ]
        head = {**self._head, "object": self.whole, "model": self._model}
        return {**head, "choices": choices, "usage": usage(jobs, n)}

    def bit(
        self, choices: Sequence[JSON], used: JSON | None = None, *, tells: bool = False
    ) -> bytes:
        """A part of a stream; `tells` whether parts have a usage at all."""
        data: JSON = {
            **self._head,
            "object": self.part,
            "model": self._model,
            "choices": list(choices),
        }
        return event({**data, "usage": used} if tells else data)

    def choice(self, job: Request) -> JSON:
        """A text as a whole."""
        raise NotImplementedError

    def first(self, job: Request) -> JSON | None:
        """What a stream begins with, before any of the text is written."""
        raise NotImplementedError

    def delta(self, piece: AnswerPiece) -> JSON:
        """Some text."""
        raise NotImplementedError

    def last(self) -> JSON:
        """No text, at the end."""
        raise NotImplementedError

    def logprobs(self, job: Request, told: Iterable[TokenLogprob]) -> JSON:
        """How likely those tokens were that have come since one last asked."""
        raise NotImplementedError

    def text_of(self, token: int) -> str:
        """The text of one token; of a piece of a character its bytes, as OpenAI has them."""
        data = self._tokenizer.token_bytes(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class CompletionShape(Shape):
    """Of `/v1/completions`."""

    whole = part = "text_completion"
    prefix = "cmpl"

    def __init__(self, model: str, tokenizer: Tokenizer, *, echo: bool = False) -> None:
        super().__init__(model, tokenizer)
        self._echo = echo
        self._told: dict[Request, int] = {}  # characters of each text whose logprobs have been told

    def choice(self, job: Request) -> JSON:
        """See `Shape`, here and below."""
        return {"text": (job.text.prompt.text if self._echo else "") + job.text.text}

    def first(self, job: Request) -> JSON | None:
        return {"text": job.text.prompt.text} if self._echo else None

    def delta(self, piece: AnswerPiece) -> JSON:
        return {"text": piece.text}

    def last(self) -> JSON:
        return {"text": ""}

    def logprobs(self, job: Request, told: Iterable[TokenLogprob]) -> JSON:
        tokens, offsets = [], []
        offset = self._told.get(job, len(job.text.prompt.text) if self._echo else 0)
        told = [*told]
        for one in told:
            tokens.append(self.text_of(one.token))
            offsets.append(offset)
            offset += len(tokens[-1])
        self._told[job] = offset
        return {
            "tokens": tokens,
            "token_logprobs": [one.logprob for one in told],
            "top_logprobs": [{self.text_of(t): p for t, p in one.top} for one in told],
            "text_offset": offsets,
        }


class ChatShape(Shape):
    """Of `/v1/chat/completions`; thoughts under both of the names that they go by."""

    whole, part, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, job: Request) -> JSON:
        """See `Shape`, here and below."""
        assert job.answer is not None
        thought = job.answer.reasoning
        message = {"role": "assistant", "content": job.answer.content, "refusal": None}
        return {"message": {**message, "reasoning_content": thought, "reasoning": thought}}

    def first(self, job: Request) -> JSON | None:  # noqa: ARG002 (all begin alike)
        return {"delta": {"role": "assistant", "content": ""}}

    def delta(self, piece: AnswerPiece) -> JSON:
        if piece.is_reasoning:
            return {"delta": {"reasoning_content": piece.text, "reasoning": piece.text}}
        return {"delta": {"content": piece.text}}

    def last(self) -> JSON:
        return {"delta": {}}

    def logprobs(self, job: Request, told: Iterable[TokenLogprob]) -> JSON:  # noqa: ARG002
        def entry(token: int, logprob: float) -> JSON:
            data = list(self._tokenizer.token_bytes(token))
            return {"token": self.text_of(token), "logprob": logprob, "bytes": data}

        content = [
            {**entry(one.token, one.logprob), "top_logprobs": [entry(*pair) for pair in one.top]}
            for one in told
        ]
        return {"content": content, "refusal": None}

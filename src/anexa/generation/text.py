"""Text in, text out: a prompt is continued, piece by piece as it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from anexa.engines import Engine
from anexa.errors import AnexaError, UsageError
from anexa.generation.decoding import decode
from anexa.generation.sampling import Sampler
from anexa.model.tokenizer import Tokenizer


class Completion:
    """The continuation of a prompt; iterating over it writes it, piece by piece.

    Args:
        engine: the model.
        tokenizer: its tokenizer.
        prompt: may be empty.
        sampler: chooses the tokens; the next completion goes on in its random sequence.
        max_tokens: the most tokens to write, at least 1.
        stop: strings that end the text; they are not part of it.

    Attributes:
        prompt: what is continued.
        text: what has been written so far, without the prompt.
        tokens: how many tokens that took.
        finish_reason: "stop" (the document ended, or a stop string came), "length" (max_tokens),
            or None while it is being written.

    Raises:
        UsageError: max_tokens below 1, or an empty stop string.
        AnexaError: the prompt has characters that the model does not know, or is too long for it.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        prompt: str,
        sampler: Sampler,
        *,
        max_tokens: int = 200,
        stop: Sequence[str] = (),
    ) -> None:
        if max_tokens < 1:
            raise UsageError(f"max-tokens must be at least 1, not {max_tokens}")
        if "" in stop:
            raise UsageError("a stop string must have at least one character")
        ids = tokenizer.encode_prompt(prompt)
        block_size = engine.config.block_size
        if len(ids) > block_size:
            raise AnexaError(
                f"the prompt is {len(ids)} tokens long, but the model sees {block_size} at once: "
                "shorten it"
            )
        self.prompt = prompt
        self.text = ""
        self.tokens = 0
        self.finish_reason: str | None = None
        self._boundary = tokenizer.boundary
        drawn = islice(decode(engine, ids, sampler), max_tokens)
        pieces = tokenizer.decode_stream(self._until_boundary(drawn))
        self._pieces = self._until_stop(pieces, stop)

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they are written; together they are `text`."""
        for piece in self._pieces:
            self.text += piece
            yield piece

    def _until_boundary(self, tokens: Iterable[int]) -> Iterator[int]:
        for token in tokens:
            if token == self._boundary:
                self.finish_reason = "stop"
                return
            self.tokens += 1
            yield token
        self.finish_reason = "length"

    def _until_stop(self, pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
        """Hold back an end that may be the beginning of a stop string until it is clear."""
        held = ""
        for piece in pieces:
            held += piece
            found = [at for at in map(held.find, stop) if at >= 0]
            if found:
                held = held[: min(found)]
                self.finish_reason = "stop"
                break
            kept = overlap(held, stop)
            if kept < len(held):
                yield held[: len(held) - kept]
                held = held[len(held) - kept :]
        if held:
            yield held


def overlap(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of a text are the beginning of a stop string."""
    return max(
        (n for word in stop for n in range(1, len(word)) if text.endswith(word[:n])), default=0
    )

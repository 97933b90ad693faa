"""Text in, text out: a prompt is continued, piece by piece as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anexa.engines import Engine
from anexa.errors import AnexaError, UsageError
from anexa.generation.decoding import decode
from anexa.generation.sampling import Sampler
from anexa.model.tokenizer import Tokenizer


class PromptTooLongError(AnexaError):
    """A text is longer than what the model sees at once."""


class Prompt:
    """What is to be continued.

    Args:
        tokenizer: of the model.
        block_size: how many tokens the model sees at once.
        prompt: text, which may be empty, or tokens.

    Attributes:
        text: what it says.
        ids: its tokens, at least one.

    Raises:
        AnexaError: it has characters that the model does not know.
        PromptTooLongError: it is too long for it.
    """

    def __init__(self, tokenizer: Tokenizer, block_size: int, prompt: str | Sequence[int]) -> None:
        if isinstance(prompt, str):
            check_length(len(prompt), tokenizer, block_size)
            self.text, self.ids = prompt, tokenizer.encode_prompt(prompt)
        else:
            self.ids = list(prompt)
            if not self.ids or not all(0 <= token < tokenizer.vocab_size for token in self.ids):
                raise AnexaError(
                    f"a prompt is one or more tokens from 0 to {tokenizer.vocab_size - 1}"
                )
            self.text = tokenizer.decode(self.ids)
        if len(self.ids) > block_size:
            raise PromptTooLongError(
                f"the prompt is {len(self.ids)} tokens long, but the model sees {block_size} at "
                "once: shorten it"
            )


def check_length(characters: int, tokenizer: Tokenizer, block_size: int) -> None:
    """Refuse what cannot fit before any work is done on it.

    Raises:
        PromptTooLongError: if that many characters cannot fit into the context.
    """
    if characters > block_size * tokenizer.max_token_length:
        raise PromptTooLongError(
            f"these are {characters:,} characters, and the model sees {block_size:,} tokens at "
            "once: shorten them"
        )


class TextStream:
    """The continuation of a prompt, which takes in token after token, wherever they come from.

    Args:
        tokenizer: of the model.
        prompt: what is continued.
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
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        stop: Sequence[str] = (),
    ) -> None:
        if max_tokens < 1:
            raise UsageError(f"max-tokens must be at least 1, not {max_tokens}")
        if "" in stop:
            raise UsageError("a stop string must have at least one character")
        self.prompt = prompt
        self.text = ""
        self.tokens = 0
        self.finish_reason: str | None = None
        self._ends, self._decoding = tokenizer.eos_token_ids, tokenizer.detokenizer(prompt.ids)
        self._max_tokens, self._stop = max_tokens, tuple(stop)
        self._held = ""  # an end that may be the beginning of a stop string

    def take(self, token: int) -> str:
        """What is certain of the text after one more token; it may be nothing."""
        reason = "stop" if token in self._ends else None
        if not reason:
            self.tokens += 1
            self._held += self._decoding.add(token)
            reason = "length" if self.tokens == self._max_tokens else None
        if reason:
            self._held += self._decoding.flush()
        found = [at for at in map(self._held.find, self._stop) if at >= 0]
        if found:
            self._held, reason = self._held[: min(found)], "stop"
        kept = 0 if reason else overlap(self._held, self._stop)
        piece = self._held[: len(self._held) - kept]
        self._held = self._held[len(piece) :]
        self.text += piece
        self.finish_reason = reason
        return piece


class Completion(TextStream):
    """A text that an engine writes; iterating over it does it, piece by piece.

    Args:
        engine: the model.
        tokenizer: its tokenizer.
        prompt: text; see `TextStream` for the rest.
        sampler: chooses the tokens; the next completion goes on in its random sequence.

    Raises:
        AnexaError: see `Prompt`.
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
        read = Prompt(tokenizer, engine.config.block_size, prompt)
        super().__init__(tokenizer, read, max_tokens=max_tokens, stop=stop)
        self._drawn = decode(engine, read.ids, sampler)

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they are written; together they are `text`."""
        while not self.finish_reason:
            piece = self.take(next(self._drawn))
            if piece:
                yield piece


def overlap(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of a text are the beginning of a stop string."""
    most = 0
    for word in stop:
        at = text.find(word[0], max(0, len(text) - len(word) + 1))
        while at >= 0 and not word.startswith(text[at:]):
            at = text.find(word[0], at + 1)
        if at >= 0:
            most = max(most, len(text) - at)
    return most

"""Prompts, and streams of generated text: incremental detokenization and stop strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from anexa.engines import Engine
from anexa.errors import AnexaError, UsageError
from anexa.generation.offline import generate_tokens
from anexa.generation.sampling import Sampler
from anexa.generation.sampling_params import GREEDY, RANGES, SamplingParams
from anexa.generation.stop_strings import StopStrings
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.model.tokenizer import Tokenizer

FinishReason: TypeAlias = Literal["stop", "length"]  # see `TextStream.finish_reason`


class PromptTooLongError(AnexaError):
    """Raised when a prompt has more tokens than the context."""


class Prompt:
    """A validated prompt, as text and as token ids.

    Args:
        tokenizer: tokenizer of the model.
        block_size: context length in tokens.
        prompt: text, which may be empty, or token ids.

    Attributes:
        text: text of the prompt.
        ids: token ids of the prompt, at least one.
        in_thought: whether the prompt of a chat answer ends within a thought.

    Raises:
        AnexaError: if the text has characters that the model does not know, there are no ids, an id
            is not in the vocabulary, or the text is empty and no token begins or ends texts.
        PromptTooLongError: if there are more tokens than `block_size`.
    """

    def __init__(self, tokenizer: Tokenizer, block_size: int, prompt: str | Sequence[int]) -> None:
        self.in_thought = isinstance(prompt, RenderedPrompt) and prompt.in_thought
        if isinstance(prompt, str):
            check_prompt_length(len(prompt), tokenizer, block_size)
            self.text, self.ids = prompt, tokenizer.encode_prompt(prompt)
        else:
            self.ids = list(prompt)
            if not self.ids:
                raise AnexaError("a prompt of token ids needs at least one")
            tokenizer.check_ids(self.ids)
            self.text = tokenizer.decode(self.ids)
        if len(self.ids) > block_size:
            raise PromptTooLongError(
                context_exceeded_message(block_size, f"the prompt has {len(self.ids):,} tokens")
            )

    def offsets(self, tokenizer: Tokenizer) -> list[int]:
        """Return, for each token, the index in the text of the character that it begins in."""
        detokenizer, offsets = tokenizer.detokenizer(), list[int]()
        for token in self.ids:
            detokenizer.add(token)
            offsets.append(min(detokenizer.offset, len(self.text)))
        return offsets


def check_prompt_length(num_characters: int, tokenizer: Tokenizer, block_size: int) -> None:
    """Check that a text is short enough for the context, before it is tokenized.

    Args:
        num_characters: length of the text.
        tokenizer: tokenizer of the model.
        block_size: context length in tokens.

    Raises:
        PromptTooLongError: if `num_characters` characters need more than `block_size` tokens.
    """
    if num_characters > block_size * tokenizer.max_token_length:
        raise PromptTooLongError(
            context_exceeded_message(block_size, f"the prompt has {num_characters:,} characters")
        )


def context_exceeded_message(block_size: int, what: str) -> str:
    """Build the message that something is too long for the context.

    It begins as in OpenAI's API and vLLM, as client libraries such as litellm search for it.

    Args:
        block_size: context length in tokens.
        what: clause about the length, such as "the prompt has 600 tokens".
    """
    length = f"This model's maximum context length is {block_size} tokens"
    return f"{length}. However, {what}: shorten it"


class TextStream:
    """The generated text of a prompt, as a stream of pieces that never split a character.

    Tokens are either added by `add`, as the server does, or taken from `tokens` by iterating over
    the stream, which yields pieces of text.

    Args:
        tokenizer: tokenizer of the model.
        prompt: prompt that is continued.
        max_tokens: maximum number of tokens to generate; 0 if only the prompt is of interest.
        stop: string that ends the text, or several; they are not part of it.
        params: sampling parameters: which tokens end the text, and how many must precede its end.
        tokens: iterator of generated tokens, for iterating over the stream; default: the caller
            adds tokens.

    Attributes:
        prompt: prompt that is continued.
        stop: stop strings, and where they are searched for.
        text: text so far, without the prompt.
        num_tokens: tokens so far, without the one that ended the text.
        offset: index in the text of the character that the last token begins in; the text may end
            before it.
        is_cut: whether a stop string has ended the text.
        finish_reason: "stop" (the model ended the text, or a stop string came), "length"
            (max_tokens), or None while the text is unfinished.

    Raises:
        UsageError: if `max_tokens` is below `min_tokens`, or a stop string is empty.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        stop: str | Sequence[str] = (),
        params: SamplingParams = GREEDY,
        tokens: Iterable[int] = (),
    ) -> None:
        if params.min_tokens > max_tokens:
            raise UsageError(
                f"min_tokens must be at most max_tokens, which is {max_tokens:,}, not "
                f"{params.min_tokens:,}"
            )
        self.prompt = prompt
        self.text = ""
        self.num_tokens = self.offset = 0
        self.is_cut = False
        self.finish_reason: FinishReason | None = None
        self._end_token_ids = params.end_token_ids(tokenizer.eos_token_ids)
        self._min_tokens = params.min_tokens
        self._detokenizer = tokenizer.detokenizer(prompt.ids)
        self.stop = StopStrings(stop)
        self._max_tokens, self._tokens = max_tokens, iter(tokens)
        self._held = ""  # suffix of the text that may be the prefix of a stop string

    def __iter__(self) -> Iterator[str]:
        """Yield pieces of text as they are generated; together they are `text`."""
        while not self.finish_reason:
            piece = self.add(next(self._tokens))
            if piece:
                yield piece

    def add(self, token: int) -> str:
        """Add the next token to the text.

        Args:
            token: id of the token.

        Returns:
            The new text that later tokens cannot change, maybe "".
        """
        if self._max_tokens == 0:
            self.finish_reason = "length"
            return ""
        reason: FinishReason | None = "stop" if token in self._end_token_ids else None
        if not reason:
            self.num_tokens += 1
            self._held += self._detokenizer.add(token)
            self.offset = self._detokenizer.offset
            reason = "length" if self.num_tokens == self._max_tokens else None
        if reason:
            self._held += self._detokenizer.flush()
        end = self.stop.find(self._held, is_last=reason is not None)
        if end is not None and self.num_tokens > self._min_tokens:
            self._held, reason, self.is_cut = self._held[:end], "stop", True
        kept = 0 if reason else self.stop.num_held(self._held)
        piece = self._held[: len(self._held) - kept]
        self._held = self._held[len(piece) :]
        self.stop.release(piece)
        self.text += piece
        self.finish_reason = reason
        return piece


def stream_text(
    engine: Engine,
    tokenizer: Tokenizer,
    prompt: str,
    sampler: Sampler,
    *,
    max_tokens: int = 200,
    stop: str | Sequence[str] = (),
) -> TextStream:
    """Create a stream of the text that continues a prompt; iterating over it generates the text.

    Args:
        engine: engine with the model's weights.
        tokenizer: tokenizer of the model.
        prompt: text to continue.
        sampler: sampling parameters and random state; another text with the same sampler continues
            its random sequence.
        max_tokens: maximum number of tokens to generate.
        stop: string that ends the text, or several; they are not part of it.

    Returns:
        The stream.

    Raises:
        AnexaError: if the prompt is too long, or has characters that the model does not know.
        UsageError: if max_tokens is out of range or below `min_tokens`, or a stop string is empty.
    """
    RANGES["max_tokens"].check("max_tokens", max_tokens)
    checked = Prompt(tokenizer, engine.config.block_size, prompt)
    tokens = generate_tokens(engine, checked.ids, sampler)
    return TextStream(
        tokenizer,
        checked,
        max_tokens=max_tokens,
        stop=stop,
        params=sampler.params,
        tokens=tokens,
    )

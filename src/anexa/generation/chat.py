"""Streaming parser of a chat model's answer: separates the reasoning from the content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anexa.generation.stop_strings import AnswerStopStrings, stop_prefix_length
from anexa.generation.text_stream import FinishReason, TextStream
from anexa.model.chat_format import END_THINK, THINK
from anexa.names import counted


class AnswerPiece(NamedTuple):
    """A piece of the text of a chat answer.

    Attributes:
        text: text of the piece.
        is_reasoning: whether it is a part of the reasoning, else of the content.
    """

    text: str
    is_reasoning: bool


class ChatAnswer:
    """The answer of a chat model. Iterating over it generates the answer.

    Text between `<think>` and `</think>` is reasoning, all other text is content; the prompt may
    end within a thought. Stop strings end the content: they are not searched for in the reasoning.

    Args:
        text: stream of the answer's text, `<think>` and `</think>` included; nothing is generated
            yet. Its `stop` is replaced, so that the reasoning is not searched.

    Attributes:
        reasoning: reasoning so far, the text between `<think>` and `</think>`; None if there is no
            `<think>`.
        content: content so far, the text outside of these tags.
        num_think_tags: number of `<think>` tags so far, and 1 more if the prompt ends in a thought.
        is_thinking: whether a `<think>` is not closed yet.
    """

    def __init__(self, text: TextStream) -> None:
        self._text, self._held = text, ""
        self.is_thinking = text.prompt.in_thought
        self.reasoning: str | None = "" if self.is_thinking else None
        self.content = ""
        self.num_think_tags = int(self.is_thinking)
        text.stop = AnswerStopStrings(text.stop.strings, in_thought=self.is_thinking)

    def __repr__(self) -> str:
        return (
            f"ChatAnswer(content={self.content!r}, reasoning={self.reasoning!r}, "
            f"finish_reason={self.finish_reason!r})"
        )

    @property
    def num_tokens(self) -> int:
        """Number of tokens so far, reasoning included."""
        return self._text.num_tokens

    @property
    def finish_reason(self) -> FinishReason | None:
        """Reason why the answer ended, "stop" or "length"; None while it is unfinished."""
        return self._text.finish_reason

    @property
    def incomplete_reason(self) -> str | None:
        """Sentence that says why the answer is not well-formed; None if it is well-formed."""
        if self.finish_reason == "length":
            where = "thought" if self.is_thinking else "answer"
            return (
                f"the {where} was cut off after {counted(self.num_tokens, 'token')}: allow more, "
                "or ask for less"
            )
        if self.is_thinking:
            return "the thought did not end, so there is no answer"
        if self.num_think_tags > 1:
            return "the answer contains a second thought"
        return None if self.content or self.finish_reason is None else "the answer is empty"

    def finish(self) -> ChatAnswer:
        """Generate the rest of the answer; returns the answer itself.

        Raises:
            AnexaError: if the model cannot be computed.
        """
        for _ in self:
            pass
        return self

    def __iter__(self) -> Iterator[AnswerPiece]:
        """Yield the pieces of `reasoning` and `content` as they are generated."""
        for piece in self._text:
            yield from self.add(piece)
        yield from self.add("")

    def add(self, piece: str) -> Iterator[AnswerPiece]:
        """Parse the next piece of text; an incomplete tag is held back until it is complete.

        The attributes are updated while the result is iterated over.

        Args:
            piece: new text; "" at the end of the text, to flush what was held back.

        Yields:
            The pieces of reasoning and content in it.
        """
        text, self._held = self._held + piece, ""
        if not self.finish_reason:
            certain = len(text) - stop_prefix_length(text, (THINK, END_THINK))
            text, self._held = text[:certain], text[certain:]
        yield from self._split(text)

    def _split(self, text: str) -> Iterator[AnswerPiece]:
        """Split a text at `<think>` and `</think>`."""
        while text:
            found = [(at, mark) for mark in (THINK, END_THINK) if (at := text.find(mark)) >= 0]
            if not found:
                yield self._piece(text)
                return
            at, mark = min(found)
            if at:
                yield self._piece(text[:at])
            text = text[at + len(mark) :]
            self.is_thinking = mark == THINK
            if mark == THINK:
                self.num_think_tags += 1
                if self.reasoning:
                    yield self._piece("\n")  # separates two thoughts
                self.reasoning = self.reasoning or ""

    def _piece(self, text: str) -> AnswerPiece:
        if self.is_thinking:
            self.reasoning = (self.reasoning or "") + text
        else:
            self.content += text
        return AnswerPiece(text, is_reasoning=self.is_thinking)

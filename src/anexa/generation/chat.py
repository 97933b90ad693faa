"""The answer of a chat model, split into its reasoning and its content as it streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anexa.generation.text_stream import FinishReason, TextStream, overlap
from anexa.model.chat_format import END_THINK, THINK


class AnswerPiece(NamedTuple):
    """A piece of an answer's text, either of its reasoning or of its content."""

    text: str
    is_reasoning: bool


class ChatAnswer:
    """The answer of a chat model, which iterating over it generates.

    Reasoning stands between `<think>` and `</think>`; everything else is content.

    Args:
        text: text of the answer, `<think>` and `</think>` included.

    Attributes:
        reasoning: reasoning so far; None if there is no `<think>`.
        content: content so far.
        num_thoughts: number of `<think>` marks so far.
        is_thinking: whether the last thought has not ended yet.
    """

    def __init__(self, text: TextStream) -> None:
        self._text, self._held = text, ""
        self.reasoning: str | None = None
        self.content = ""
        self.num_thoughts = 0
        self.is_thinking = False

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
        """Why the answer ended, "stop" or "length"; None while it is unfinished."""
        return self._text.finish_reason

    @property
    def incomplete_reason(self) -> str | None:
        """A sentence about what is wrong with the form of the answer; None if it is well-formed."""
        if self.finish_reason == "length":
            where = "thought" if self.is_thinking else "answer"
            return (
                f"the {where} was cut off after {self.num_tokens} tokens: allow more, or ask for "
                "less"
            )
        if self.is_thinking:
            return "the thought never ended, and so there is no answer"
        if self.num_thoughts > 1:
            return "it began to think again"
        return None if self.content or self.finish_reason is None else "it said nothing"

    def finish(self) -> ChatAnswer:
        """Generate the rest of the answer, and return the answer."""
        for _ in self:
            pass
        return self

    def __iter__(self) -> Iterator[AnswerPiece]:
        """Yield pieces as they are generated; together they are `reasoning` and `content`."""
        for piece in self._text:
            yield from self.add(piece)
        yield from self.add("")

    def add(self, piece: str) -> Iterator[AnswerPiece]:
        """Add the next piece of the text, and yield what is now certain.

        Args:
            piece: new text; may be empty when the text has finished, to flush what was held back.
        """
        text, self._held = self._held + piece, ""
        if not self.finish_reason:
            certain = len(text) - overlap(text, (THINK, END_THINK))
            text, self._held = text[:certain], text[certain:]
        yield from self._split(text)

    def _split(self, text: str) -> Iterator[AnswerPiece]:
        """Yield the pieces between `<think>` and `</think>`."""
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
                self.num_thoughts += 1
                if self.reasoning:
                    yield self._piece("\n")  # between one thought and the next
                self.reasoning = self.reasoning or ""

    def _piece(self, text: str) -> AnswerPiece:
        if self.is_thinking:
            self.reasoning = (self.reasoning or "") + text
        else:
            self.content += text
        return AnswerPiece(text, is_reasoning=self.is_thinking)

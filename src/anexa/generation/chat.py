"""Answers: what a chat model thinks, and what it then says, apart while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anexa.generation.text_stream import Completion, TextStream, overlap
from anexa.model.chat_format import END_THINK, THINK


class AnswerPiece(NamedTuple):
    """Some text of an answer, and whether it is thought rather than said."""

    text: str
    is_reasoning: bool


class ChatAnswer:
    """A text that answers, taken apart; iterating over that of a `Completion` writes it.

    Attributes:
        reasoning: what has been thought so far; None if nothing was.
        content: what has been said so far.
        thoughts: how many thoughts have begun.
        closed: whether the last one has ended.
    """

    def __init__(self, text: TextStream) -> None:
        self._text, self._held = text, ""
        self.reasoning: str | None = None
        self.content = ""
        self.thoughts = 0
        self.closed = True

    def __repr__(self) -> str:
        return (
            f"Answer(content={self.content!r}, reasoning={self.reasoning!r}, "
            f"finish_reason={self.finish_reason!r})"
        )

    @property
    def tokens(self) -> int:
        """How many have been written, thoughts included."""
        return self._text.tokens

    @property
    def finish_reason(self) -> str | None:
        """See `TextStream`."""
        return self._text.finish_reason

    @property
    def incomplete_reason(self) -> str | None:
        """What is wrong with the form of the answer, in words; None if nothing is."""
        if self.finish_reason == "length":
            where = "answer" if self.closed else "thought"
            return (
                f"the {where} was cut off after {self.tokens} tokens: allow more, or ask for less"
            )
        if not self.closed:
            return "the thought never ended, and so there is no answer"
        if self.thoughts > 1:
            return "it began to think again"
        return None if self.content or self.finish_reason is None else "it said nothing"

    def finish(self) -> ChatAnswer:
        """Have all of it written."""
        for _ in self:
            pass
        return self

    def __iter__(self) -> Iterator[AnswerPiece]:
        """Pieces as they are written; together they are `reasoning` and `content`."""
        assert isinstance(self._text, Completion)
        for piece in self._text:
            yield from self.take(piece)
        yield from self.take("")

    def take(self, piece: str) -> Iterator[AnswerPiece]:
        """What is certain after one more piece of the text, of which the last may be nothing."""
        self._held += piece
        text, self._held = self._held, ""
        if not self.finish_reason:
            sure = len(text) - overlap(text, (THINK, END_THINK))
            text, self._held = text[:sure], text[sure:]
        yield from self._pieces(text)

    def _pieces(self, text: str) -> Iterator[AnswerPiece]:
        """What stands between the marks."""
        while text:
            found = [(at, mark) for mark in (THINK, END_THINK) if (at := text.find(mark)) >= 0]
            if not found:
                yield self._piece(text)
                return
            at, mark = min(found)
            if at:
                yield self._piece(text[:at])
            text = text[at + len(mark) :]
            self.closed = mark == END_THINK
            if mark == THINK:
                self.thoughts += 1
                if self.reasoning:
                    yield self._piece("\n")  # between one thought and the next
                self.reasoning = self.reasoning or ""

    def _piece(self, text: str) -> AnswerPiece:
        if self.closed:
            self.content += text
        else:
            self.reasoning = (self.reasoning or "") + text
        return AnswerPiece(text, is_reasoning=not self.closed)

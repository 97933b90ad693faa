"""Answers: what a chat model thinks, and what it then says, apart while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anexa.generation.text import Completion, overlap
from anexa.model.chat import END_THINK, THINK


class Piece(NamedTuple):
    """Some text of an answer, and whether it is thought rather than said."""

    text: str
    thought: bool


class Answer:
    """A completion of a conversation; iterating over it writes it, piece by piece.

    Attributes:
        reasoning: what has been thought so far; None if nothing was.
        content: what has been said so far.
        thoughts: how many thoughts have begun.
        closed: whether the last one has ended.
    """

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self.reasoning: str | None = None
        self.content = ""
        self.thoughts = 0
        self.closed = True

    @property
    def tokens(self) -> int:
        """How many have been written, thoughts included."""
        return self._completion.tokens

    @property
    def finish_reason(self) -> str | None:
        """See `Completion`."""
        return self._completion.finish_reason

    @property
    def trouble(self) -> str | None:
        """What is wrong with the form of the answer, in words; None if nothing is."""
        if self.finish_reason == "length":
            where = "answer" if self.closed else "thought"
            return (
                f"the {where} was cut off after {self.tokens} tokens: allow more, or ask for less"
            )
        if not self.closed:
            return "the thought never ended, and so there is no answer"
        return "it began to think again" if self.thoughts > 1 else None

    def finish(self) -> Answer:
        """Have all of it written."""
        for _ in self:
            pass
        return self

    def __iter__(self) -> Iterator[Piece]:
        """Pieces as they are written; together they are `reasoning` and `content`."""
        held = ""
        for piece in self._completion:
            held += piece
            yield from self._pieces(held)
            held = held[len(held) - overlap(held, (THINK, END_THINK)) :]
        if held:
            yield self._piece(held)

    def _pieces(self, text: str) -> Iterator[Piece]:
        """What is certain in a text: all but an end that may be the beginning of a mark."""
        while text:
            found = [(at, mark) for mark in (THINK, END_THINK) if (at := text.find(mark)) >= 0]
            if not found:
                sure = text[: len(text) - overlap(text, (THINK, END_THINK))]
                if sure:
                    yield self._piece(sure)
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

    def _piece(self, text: str) -> Piece:
        if self.closed:
            self.content += text
        else:
            self.reasoning = (self.reasoning or "") + text
        return Piece(text, thought=not self.closed)

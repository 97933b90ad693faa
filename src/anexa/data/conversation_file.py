"""Conversations of a file, as a stream that can be read repeatedly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from anexa.data.conversation_format import recognize_format
from anexa.data.conversations import parse_conversation
from anexa.data.jsonl import BadRowError, BadRows, Row, read_rows
from anexa.data.reading import Source
from anexa.errors import AnexaError
from anexa.model.chat_format import Message
from anexa.names import counted

# Maximum length, in characters, of the question that a sample during training answers.
MAX_SAMPLE_QUESTION_CHARS = 100

# A note warns of second questions if a smaller fraction of conversations has several answers.
MIN_LONGER_FRACTION = 0.05


@dataclass(frozen=True)
class Conversation:
    """A conversation and the line of the file that it was read from.

    Attributes:
        line: line of the file, from 1.
        messages: messages up to the last answer, as `parse_conversation` returns them.
    """

    line: int
    messages: list[Message]

    def to_json(self) -> str:
        """Serialize the messages; equal conversations have the same text."""
        return json.dumps(self.messages, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Conversations:
    """The conversations of a JSON Lines file, read anew at each iteration.

    Attributes:
        name: name of the corpus or the file, for messages.
        format: name of the format, as `recognize_format` returns it.
        size: size of all messages in UTF-8, in bytes.
        sha256: SHA-256 of the conversations, in hexadecimal.
        has_thoughts: whether an answer has a thought: a reasoning before its content.
        question: the first message of a user with at most `MAX_SAMPLE_QUESTION_CHARS`
            characters, else the shortest; empty if there is none.
        source: function that yields the text of the file in chunks, from the start at each call.
        skip_bad: whether bad rows are left out.
        notes: sentences about the format, and about rows that are left out.
    """

    name: str
    format: str
    size: int
    sha256: str
    has_thoughts: bool
    question: str
    source: Source = field(repr=False, compare=False)
    skip_bad: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def scan(cls, name: str, source: Source, *, skip_bad: bool = False) -> Conversations:
        """Read a file once, to validate it and to hash it.

        Args:
            name: name of the corpus or the file, for messages.
            source: function that yields the text of the file in chunks, from the start at each
                call.
            skip_bad: whether bad rows are left out and counted; default: the first one raises.

        Returns:
            The conversations, with their size and hash.

        Raises:
            AnexaError: if the file has no conversations, or a row is bad and not left out.
        """
        kind = recognize_format(source())
        if kind is None:
            raise AnexaError(
                f"{name} has no conversations: a row has messages (OpenAI), conversations "
                "(ShareGPT), or instruction and output (Alpaca)"
            )
        bad_rows = BadRows(name, skip_bad)
        digest, size, has_thoughts, question = hashlib.sha256(), 0, False, ""
        count = num_longer = 0
        for conversation in _read(source, kind, bad_rows):
            digest.update(conversation.to_json().encode() + b"\n")
            for message in conversation.messages:
                size += sum(len(text.encode()) for text in message_texts(message))
                has_thoughts = has_thoughts or "reasoning_content" in message
                if message["role"] == "user" and (
                    not question
                    or len(message["content"]) < len(question) > MAX_SAMPLE_QUESTION_CHARS
                ):
                    question = message["content"]
            count += 1
            num_longer += sum(one["role"] == "assistant" for one in conversation.messages) > 1
        if not count:
            raise AnexaError(f"{name} has no conversations that can be read")
        notes = [f"read as {kind}: {counted(count, 'conversation')}"]
        if num_longer < MIN_LONGER_FRACTION * count:
            notes.append(
                f"{num_longer:,} of {counted(count, 'conversation')} have more than one answer, so "
                "a second question in a chat may be answered badly: add longer conversations, or "
                "type /new before each question"
            )
        notes += bad_rows.notes()
        sha256 = digest.hexdigest()
        return cls(name, kind, size, sha256, has_thoughts, question, source, skip_bad, tuple(notes))

    def __iter__(self) -> Iterator[Conversation]:
        """Read the file and yield its conversations, in order.

        Raises:
            AnexaError: if the file has changed since it was scanned: at a row that has become bad,
                or else at the end.
        """
        digest = hashlib.sha256()
        for conversation in _read(self.source, self.format, BadRows(self.name, self.skip_bad)):
            digest.update(conversation.to_json().encode() + b"\n")
            yield conversation
        if digest.hexdigest() != self.sha256:
            raise AnexaError(
                f"{self.name} changed while it was read: start again when the file is complete"
            )

    def texts(self) -> Iterator[str]:
        """Yield the text of each conversation: its contents and thoughts, joined by line breaks.

        Raises:
            AnexaError: if the file has changed since it was scanned.
        """
        for conversation in self:
            yield "\n".join(chain.from_iterable(map(message_texts, conversation.messages)))


def message_texts(message: Message) -> list[str]:
    """List the texts of a message: its thought (the reasoning), if it has one, and its content."""
    return [message[name] for name in ("reasoning_content", "content") if name in message]


def _read(source: Source, kind: str, bad_rows: BadRows) -> Iterator[Conversation]:
    for row in read_rows(source(), bad_rows):
        try:
            yield _conversation(row, kind)
        except BadRowError as error:
            bad_rows.add(row.line, error)


def _conversation(row: Row, kind: str) -> Conversation:
    return Conversation(row.line, parse_conversation(row.fields, kind))

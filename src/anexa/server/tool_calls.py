"""Tool calls in generated text: parsers that separate them from the content as it arrives."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple
from uuid import uuid4

from anexa.generation.stop_strings import stop_prefix_length
from anexa.server import schemas

TOOL_CALL, END_TOOL_CALL = "<tool_call>", "</tool_call>"  # of Hermes and Qwen
PYTHON_TAG = "<|python_tag|>"  # of Llama 3


class CallPart(NamedTuple):
    """Part of a tool call in an answer that arrives in pieces.

    Attributes:
        number: number of the call in the answer, from 0.
        name: name of the function; None if the call has begun in an earlier part.
        arguments: next part of the arguments, as JSON.
    """

    number: int
    name: str | None
    arguments: str


class ToolCallParser(ABC):
    """Parser of the content of one answer, which arrives in pieces; each answer needs its own.

    Args:
        allows_several: whether calls after the first are reported; otherwise they are left out.

    Attributes:
        num_calls: number of reported calls so far.
    """

    def __init__(self, *, allows_several: bool = True) -> None:
        self.num_calls, self._allows_several = 0, allows_several

    @abstractmethod
    def add(self, text: str, *, finished: bool) -> Iterator[str | CallPart]:
        """Parse the next piece of the content.

        Args:
            text: next piece.
            finished: whether it is the last piece.

        Yields:
            Content as strings, and parts of calls.
        """

    def _call(self, name: str, arguments: str) -> Iterator[CallPart]:
        if self._allows_several or not self.num_calls:
            self.num_calls += 1
            yield CallPart(self.num_calls - 1, name, arguments)


class NamedCallParser(ToolCallParser):
    """Parser of an answer that consists of the arguments of one function.

    Args:
        name: name of the function.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def add(self, text: str, *, finished: bool) -> Iterator[str | CallPart]:  # noqa: ARG002
        """Yield the piece as a part of the arguments."""
        if text and self.num_calls:
            yield CallPart(0, None, text)
        elif text:
            yield from self._call(self._name, text)


class JSONCallParser(ToolCallParser):
    """Parser of an answer that is a call as JSON, or several with `;` between, as in Llama 3.

    An answer that does not begin as JSON, or is not a call in the end, is content.
    """

    _text: str | None = ""  # what was held back; None: the answer is content

    def add(self, text: str, *, finished: bool) -> Iterator[str | CallPart]:
        """Yield content at once; hold back what may be calls, and yield those when `finished`."""
        if self._text is None:
            if text:
                yield text
            return
        self._text += text
        begun = self._text.lstrip()
        if not finished and (begun.startswith(("{", PYTHON_TAG)) or PYTHON_TAG.startswith(begun)):
            return
        held, self._text = self._text, None
        calls = parse_calls(begun.removeprefix(PYTHON_TAG)) if finished else []
        if held and not calls:
            yield held
        for name, arguments in calls:
            yield from self._call(name, arguments)


class TaggedCallParser(ToolCallParser):
    """Parser of an answer with calls between `<tool_call>` and `</tool_call>`, as in Qwen.

    If there is no call between two tags, they and the text between them are content.
    """

    _held = ""
    _is_blank = True  # whether the content since the last call is nothing but white space

    def add(self, text: str, *, finished: bool) -> Iterator[str | CallPart]:
        """Yield calls that are complete, and content that cannot be the beginning of a call.

        White space that is all the content before, between or after calls is dropped.
        """
        rest = self._held + text
        while (at := rest.find(TOOL_CALL)) >= 0:
            inside, end, after = rest[at + len(TOOL_CALL) :].partition(END_TOOL_CALL)
            if not end and not finished:
                break
            calls = parse_calls(inside)
            self._is_blank = self._is_blank and bool(calls) and not rest[:at].strip()
            content = rest[:at] if calls else rest[: len(rest) - len(after)]
            if content and not self._is_blank:
                yield content
            for name, arguments in calls:
                yield from self._call(name, arguments)
            self._is_blank, rest = self._is_blank or bool(calls), after
        if at < 0:
            at = len(rest) if finished else len(rest) - stop_prefix_length(rest, (TOOL_CALL,))
        self._is_blank = self._is_blank and not rest[:at].strip()
        if self._is_blank and not finished:  # white space is held back, as a call may follow
            at = 0
        content, self._held = rest[:at], rest[at:]
        if content and not (self._is_blank and self.num_calls):
            yield content


def parse_calls(text: str) -> list[tuple[str, str]]:
    """Parse JSON objects with a name and arguments (or "parameters").

    Args:
        text: one object, or several with `;` between them.

    Returns:
        Name and arguments (as JSON; "{}" if there are none) of each call; [] if the text is
        anything else.
    """
    decoder, calls, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        try:
            call, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return []
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str):
            return []
        arguments = call.get("arguments", call.get("parameters", {}))
        if not isinstance(arguments, dict):
            return []
        calls.append((name, json.dumps(arguments, ensure_ascii=False)))
        rest = rest[end:].lstrip().removeprefix(";").lstrip()
    return calls


# In responses


class MessageFunctionCall(schemas.ResponseModel):
    """A function that the model calls, and its arguments as JSON."""

    name: str
    arguments: str


class MessageToolCall(schemas.ResponseModel):
    """A tool call in a message of the assistant."""

    id: str
    type: Literal["function"]
    function: MessageFunctionCall


class DeltaFunctionCall(schemas.ResponseModel):
    """Name of a called function, in the first part of a call, and a part of its arguments."""

    name: str = ""
    arguments: str


class DeltaToolCall(schemas.ResponseModel):
    """Part of a tool call, in a chunk of a stream; the first part has its id."""

    index: int
    id: str = ""
    type: Literal["function"] = "function"
    function: DeltaFunctionCall


def message_call(part: CallPart) -> MessageToolCall:
    """Convert a whole tool call to an object of a message, with a random id."""
    function = MessageFunctionCall(name=part.name or "", arguments=part.arguments)
    return MessageToolCall(id=_new_id(), type="function", function=function)


def delta_call(part: CallPart) -> DeltaToolCall:
    """Convert a part of a tool call to an object of a chunk; the first part has a random id."""
    if part.name is None:
        return DeltaToolCall(
            index=part.number, function=DeltaFunctionCall(arguments=part.arguments)
        )
    function = DeltaFunctionCall(name=part.name, arguments=part.arguments)
    return DeltaToolCall(index=part.number, id=_new_id(), type="function", function=function)


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"

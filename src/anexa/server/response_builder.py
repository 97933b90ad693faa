"""Builds the response of `POST /v1/responses`, and the events of its stream, from outputs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal, TypeVar
from uuid import uuid4

from anexa.server.errors import APIError
from anexa.server.request import Request, RequestOutput
from anexa.server.responses_request import ResponsesRequest
from anexa.server.responses_schemas import (
    ContentEvent,
    DeltaEvent,
    Event,
    IncompleteDetails,
    InputTokensDetails,
    ItemEvent,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputText,
    OutputTokensDetails,
    PartEvent,
    ReasoningItem,
    ReasoningSettings,
    ReasoningText,
    ResponseError,
    ResponseEvent,
    ResponseObject,
    ResponseStatus,
    ResponseUsage,
    TextEvent,
    TextSettings,
)

AnyEvent = TypeVar("AnyEvent", bound=Event)
TextKind = Literal["output_text", "reasoning_text"]


class OpenItem:
    """An output item of a response whose text is still being generated.

    Args:
        kind: type of the text, "output_text" or "reasoning_text".
        index: index of the item in the output.

    Attributes:
        text: text so far, to which the caller appends.
        id: id of the item, a random string after the prefix of its kind.
    """

    def __init__(self, kind: TextKind, index: int) -> None:
        self.kind, self.index, self.text = kind, index, ""
        self.id = f"{'msg' if kind == 'output_text' else 'rs'}_{uuid4().hex}"

    @property
    def part(self) -> OutputText | ReasoningText:
        """The text so far, as the content part of the item."""
        if self.kind == "output_text":
            return OutputText(type="output_text", text=self.text, annotations=[], logprobs=[])
        return ReasoningText(type="reasoning_text", text=self.text)

    def item(self, status: ItemStatus) -> OutputItem:
        """Build the item with a status; an item in progress has no content yet."""
        content: list[Any] = [] if status == "in_progress" else [self.part]
        if self.kind == "output_text":
            return OutputMessage(
                id=self.id, type="message", role="assistant", status=status, content=content
            )
        return ReasoningItem(
            id=self.id, type="reasoning", status=status, summary=[], content=content
        )


class ResponseBuilder:
    """Builder of the events of one response; the last event contains the response.

    Args:
        body: body of the HTTP request.
        request: request that generates the answer.
        model: served model name.
        dropped_turns: number of turns that were dropped from the conversation; None if the body
            does not ask for truncation.
    """

    def __init__(
        self,
        body: ResponsesRequest,
        request: Request,
        model: str,
        dropped_turns: int | None = None,
    ) -> None:
        self._dropped = {} if dropped_turns is None else {"dropped_turns": dropped_turns}
        self._body, self._request, self._model = body, request, model
        self._id, self._created_at = f"resp_{uuid4().hex}", int(time.time())
        format_options = body.text and body.text.format
        self._format: dict[str, Any] = {"type": "text"}
        if format_options and format_options.type == "json_object":
            self._format = {"type": "json_object"}
        elif format_options and format_options.type == "json_schema":
            self._format = format_options.model_dump(by_alias=True, exclude_none=True)
        self._output: list[OutputItem] = []
        self._open: OpenItem | None = None
        self._num_events = 0

    def begin(self) -> Iterator[Event]:
        """Build the events before the first output."""
        yield self._response_event("response.created", "in_progress")
        yield self._response_event("response.in_progress", "in_progress")

    def add(self, output: RequestOutput) -> Iterator[Event]:
        """Build the events of an output, in the order of the outputs.

        If the output is the last one, its last event is a `ResponseEvent` with the response.
        """
        if output.reasoning:
            yield from self._add_text("reasoning_text", output.reasoning)
        if output.text:
            yield from self._add_text("output_text", output.text)
        if output.error:
            yield from self._close("incomplete")
            yield self._response_event("response.failed", "failed", error=output.error)
        elif output.finish_reason:
            if not self._open:  # an empty answer
                yield from self._add_text("output_text", "")
            if output.finish_reason == "length":
                yield from self._close("incomplete")
                yield self._response_event("response.incomplete", "incomplete")
            else:
                yield from self._close("completed")
                yield self._response_event("response.completed", "completed")

    def _response(self, status: ResponseStatus, error: APIError | None) -> ResponseObject:
        """Build the response with the items that are complete."""
        body, params = self._body, self._request.sampler.params
        incomplete = IncompleteDetails(reason="max_output_tokens")
        return ResponseObject(
            id=self._id,
            object="response",
            created_at=self._created_at,
            completed_at=int(time.time()) if status == "completed" else None,
            status=status,
            background=False,
            error=ResponseError(code="server_error", message=str(error)) if error else None,
            incomplete_details=incomplete if status == "incomplete" else None,
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            model=self._model,
            output=[*self._output],
            parallel_tool_calls=True,
            previous_response_id=None,
            reasoning=ReasoningSettings(
                effort=body.reasoning.effort if body.reasoning else None, summary=None
            ),
            store=False,
            temperature=params.temperature,
            text=TextSettings(format=self._format),
            tool_choice="auto",
            tools=[],
            top_p=params.top_p,
            truncation=body.truncation or "disabled",
            **self._dropped,
            usage=None if status == "in_progress" else self._usage(),
        )

    def _add_text(self, kind: TextKind, text: str) -> Iterator[Event]:
        """Append text to the open item; for another kind of text, close it and open a new one."""
        item = self._open
        if item is None or item.kind != kind:
            yield from self._close("completed")
            item = self._open = OpenItem(kind, len(self._output))
            yield self._event(
                ItemEvent,
                type="response.output_item.added",
                output_index=item.index,
                item=item.item("in_progress"),
            )
            yield self._content_event(
                PartEvent, item, type="response.content_part.added", part=item.part
            )
        if text:
            item.text += text
            yield self._content_event(
                DeltaEvent, item, type=f"response.{kind}.delta", delta=text, **_logprobs(kind)
            )

    def _close(self, status: ItemStatus) -> Iterator[Event]:
        """End the open item, if there is one."""
        if not (item := self._open):
            return
        self._open = None
        self._output.append(item.item(status))
        kind = f"response.{item.kind}.done"
        yield self._content_event(
            TextEvent, item, type=kind, text=item.text, **_logprobs(item.kind)
        )
        yield self._content_event(
            PartEvent, item, type="response.content_part.done", part=item.part
        )
        yield self._event(
            ItemEvent,
            type="response.output_item.done",
            output_index=item.index,
            item=self._output[-1],
        )

    def _response_event(
        self, kind: str, status: ResponseStatus, error: APIError | None = None
    ) -> Event:
        return self._event(ResponseEvent, type=kind, response=self._response(status, error))

    def _content_event(
        self, event_type: type[ContentEvent], item: OpenItem, **fields: Any
    ) -> Event:
        position = {"item_id": item.id, "output_index": item.index, "content_index": 0}
        return self._event(event_type, **position, **fields)

    def _event(self, event_type: type[AnyEvent], **fields: Any) -> AnyEvent:
        event = event_type(sequence_number=self._num_events, **fields)
        self._num_events += 1
        return event

    def _usage(self) -> ResponseUsage:
        request = self._request
        num_prompt, num_generated = len(request.text.prompt.ids), request.text.num_tokens
        return ResponseUsage(
            input_tokens=num_prompt,
            input_tokens_details=InputTokensDetails(cached_tokens=request.num_cached_tokens),
            output_tokens=num_generated,
            output_tokens_details=OutputTokensDetails(
                reasoning_tokens=request.num_reasoning_tokens
            ),
            total_tokens=num_prompt + num_generated,
        )


def _logprobs(kind: TextKind) -> dict[str, Any]:
    return {"logprobs": []} if kind == "output_text" else {}

"""`/v1/responses`: answers, events, what is refused, and OpenAI's client."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from anexa.generation import Prompt, Sampler, SamplingParams, TextStream
from anexa.server.request import Request, RequestOutput
from anexa.server.response_builder import ResponseBuilder
from anexa.server.responses_request import ResponsesRequest
from tests.generation.models import letters
from tests.server.errors import JSON_TYPE, SURROGATE, TOO_LONG, error_of
from tests.server.process import (
    HISTORY,
    LONG,
    LONGEST,
    MESSAGES,
    THOUGHT,
    ServerProcess,
    wait_until,
)

PATH = "/v1/responses"
ITEM = 'is not valid (the type of an item is "message" or "reasoning")'
SCHEMA = {
    "type": "object",
    "properties": {"result": {"type": "integer"}},
    "required": ["result"],
    "additionalProperties": False,
}
UNSUPPORTED = "is not supported: leave it out"


def respond(server: ServerProcess, **fields: object) -> Any:
    return server.post(PATH, {"input": "347*86", "temperature": 0, **fields}).json()


def events(response: Any) -> list[Any]:
    parts = response.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(part.partition("\ndata: ")[2]) for part in parts]


def texts(response: Any) -> list[str]:
    return [item["content"][0]["text"] for item in response["output"]]


def test_response_has_a_thought_and_a_message(server: ServerProcess) -> None:
    body = respond(server, metadata={"for": "a test"}, max_output_tokens=300)
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert texts(body) == [THOUGHT, "29842"]
    assert body["status"] == "completed"
    assert (body["metadata"], body["max_output_tokens"]) == ({"for": "a test"}, 300)
    usage, chat = body["usage"], server.chat(temperature=0).json()["usage"]
    assert usage["input_tokens"] == chat["prompt_tokens"]
    assert usage["output_tokens"] == chat["completion_tokens"]
    # All but <think> and the answer.
    expected = usage["output_tokens"] - len("29842") - 1
    assert usage["output_tokens_details"]["reasoning_tokens"] == expected
    assert chat["completion_tokens_details"]["reasoning_tokens"] == expected


def test_input_has_many_forms(server: ServerProcess) -> None:
    earlier = respond(server, input="12+30")["output"]
    history = [{"role": "user", "content": "12+30"}, *earlier]
    for question in (
        [{"role": "user", "content": "347*86"}],
        [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "347*86"}],
            }
        ],
        [*history, *MESSAGES],
        [
            {"role": "user", "content": "12+30"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "42"}]},
            *MESSAGES,
        ],
    ):
        assert texts(respond(server, input=question))[-1] == "29842"
    assert texts(respond(server, instructions="Be brief."))[-1] == "29842"
    body = respond(server, reasoning={"effort": "none"})
    assert [item["type"] for item in body["output"]] == ["message"]
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 0


def test_events_have_the_text_of_the_response(server: ServerProcess) -> None:
    given = events(server.post(PATH, {"input": "347*86", "temperature": 0, "stream": True}))
    kinds = list(dict.fromkeys(event["type"].removeprefix("response.") for event in given))
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_text.delta",
        "output_text.done",
        "completed",
    ]
    for index, kind, text in ((0, "reasoning_text", THOUGHT), (1, "output_text", "29842")):
        own = [event for event in given if event.get("output_index") == index]
        deltas = [event["delta"] for event in own if event["type"] == f"response.{kind}.delta"]
        assert "".join(deltas) == text
        assert own[-1]["item"] == given[-1]["response"]["output"][index]
        assert {event["item_id"] for event in own if "item_id" in event} == {own[-1]["item"]["id"]}
    assert texts(given[-1]["response"]) == [THOUGHT, "29842"]
    assert given[0]["response"]["output"] == []
    assert {event["response"]["id"] for event in given if "response" in event} == {
        given[0]["response"]["id"]
    }


@pytest.mark.parametrize("stream", [False, True])
def test_response_that_is_cut_is_incomplete(server: ServerProcess, stream: bool) -> None:
    response = server.post(
        PATH, {"input": "347*86", "temperature": 0, "max_output_tokens": 9, "stream": stream}
    )
    last = events(response)[-1] if stream else {"response": response.json()}
    body = last["response"]
    assert last.get("type", "response.incomplete") == "response.incomplete"
    assert (body["status"], body["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert [item["status"] for item in body["output"]] == ["incomplete"]
    assert body["usage"]["output_tokens"] == 9


def test_text_has_the_format_that_is_asked_for(server: ServerProcess) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    asked = {"type": "json_schema", "name": "result", "schema": SCHEMA, "strict": True}
    body = respond(server, input="12+30", text={"format": asked})
    thought, text = texts(body)
    assert (thought, json.loads(text)["result"] is not None) == (
        "A2B1+a0b3:A:2+0+0=02,B:1+3+0=04:B4A2",
        True,
    )
    assert body["text"]["format"] == asked
    given = server.post(
        PATH, {"input": "12+30", "temperature": 0, "text": {"format": asked}, "stream": True}
    )
    assert texts(events(given)[-1]["response"]) == [thought, text]
    body = respond(server, reasoning={"effort": "none"}, text={"format": {"type": "json_object"}})
    assert texts(body)[0].startswith("{")


def test_oldest_turns_are_dropped_if_asked_for(server: ServerProcess) -> None:
    body = respond(server, input=HISTORY, truncation="auto")
    dropped = body["dropped_turns"]
    assert 30 < dropped < 60
    kept = respond(server, input=HISTORY[2 * dropped :])
    assert texts(body) == texts(kept)
    assert body["usage"]["input_tokens"] == kept["usage"]["input_tokens"]
    assert "dropped_turns" not in kept


def outputs(*parts: tuple[str, str], **end: Any) -> Iterator[RequestOutput]:
    for reasoning, text in parts:
        yield RequestOutput(text=text, reasoning=reasoning)
    yield RequestOutput(**end)


@pytest.mark.parametrize(
    ("parts", "items"),
    [
        ([], ["message"]),
        ([("a", "")], ["reasoning"]),
        ([("", "a"), ("", "b")], ["message"]),
        ([("a", "b"), ("c", "d")], ["reasoning", "message", "reasoning", "message"]),
    ],
)
def test_items_follow_the_kinds_of_text(parts: list[tuple[str, str]], items: list[str]) -> None:
    text = TextStream(letters(), Prompt(letters(), 8, "a"))
    builder = ResponseBuilder(
        ResponsesRequest.model_validate({"input": "a"}),
        Request(text, Sampler(SamplingParams()), is_chat=True),
        model="letters",
    )
    given = [*builder.begin()]
    for output in outputs(*parts, finish_reason="stop"):
        given += builder.add(output)
    assert [event.sequence_number for event in given] == [*range(len(given))]
    last: Any = given[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == items
    whole = "".join(reasoning + text for reasoning, text in parts)
    assert "".join(item.content[0].text for item in last.response.output) == whole


def test_openai_client_reads_responses(server: ServerProcess) -> None:
    openai = pytest.importorskip("openai", reason="the openai package is not installed")
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none") as client:
        asked = {"model": "anexa", "input": "347*86", "temperature": 0}
        response = client.responses.create(**asked)
        assert response.output_text == "29842"
        assert response.output[0].content[0].text == THOUGHT
        messages = [*MESSAGES, *response.output, *MESSAGES]
        assert client.responses.create(**{**asked, "input": messages}).output_text == "29842"
        streamed = [*client.responses.create(**asked, stream=True)]
        assert streamed[-1].response.output_text == "29842"
        with client.responses.stream(**asked) as stream:
            deltas = [one.delta for one in stream if one.type == "response.output_text.delta"]
            assert "".join(deltas) == stream.get_final_response().output_text == "29842"


def test_every_field_of_openai_is_known() -> None:
    module: Any = pytest.importorskip("openai.types.responses.response_create_params")
    fields = module.ResponseCreateParamsBase.__annotations__.keys()
    assert fields - ResponsesRequest.model_fields.keys() == set()


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": None}, "input", "must be a string or a list, not null"),
        ({"input": []}, "input", "must not be empty"),
        ({"input": " "}, "input", "there is nothing to answer: ask something"),
        ({"input": "\ud800"}, "input", SURROGATE),
        ({"metadata": {"a": "\ud800"}}, "metadata.a", SURROGATE),
        (
            {"text": {"format": {"type": "text", "description": "\ud800"}}},
            "text.format.description",
            SURROGATE,
        ),
        ({"input": [LONGEST, LONGEST]}, "input", f"{TOO_LONG} 4,003 tokens: shorten it"),
        (
            {"input": [{"type": "function_call", "name": "f"}]},
            "input.0",
            ITEM,
        ),
        (
            {"input": [{"type": "item_reference", "id": "rs_1"}]},
            "input.0",
            ITEM,
        ),
        (
            {"input": ["1"]},
            "input.0",
            'must be an object, not "1"',
        ),
        ({"input": [{"content": "1"}]}, "input.0.role", "is missing"),
        ({"input": [{"role": "user"}]}, "input.0.content", "is missing"),
        ({"input": MESSAGES * 201}, "input", "must have at most 200 entries, not 201"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0.type",
            'must be "input_text" or "output_text" or "text" or "refusal", not "input_image"',
        ),
        ({"instructions": 7}, "instructions", "must be a string, not 7"),
        ({"max_output_tokens": 0}, "max_output_tokens", "must be at least 1, not 0"),
        ({"max_output_tokens": "9"}, "max_output_tokens", 'must be an integer, not "9"'),
        ({"temperature": 1e400}, "temperature", "must be a finite number, not Infinity"),
        ({"reasoning": "low"}, "reasoning", 'must be an object, not "low"'),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary", UNSUPPORTED),
        ({"metadata": {"a": 1}}, "metadata.a", "must be a string, not 1"),
        ({"stream": 1}, "stream", "must be true or false, not 1"),
        ({"text": {"format": "json"}}, "text.format", 'must be an object, not "json"'),
        (
            {"text": {"format": {"type": "xml"}}},
            "text.format.type",
            'must be "text", "json_object" or "json_schema", not "xml"',
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a"}}},
            "text.format.schema",
            "is missing",
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "text.format.name",
            "is missing",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": []}}},
            "text.format.schema",
            "must be an object, not a list",
        ),
        ({"guided_regex": "a"}, "guided_regex", UNSUPPORTED),
        ({"text": {"verbosity": "low"}}, "text.verbosity", UNSUPPORTED),
        ({"store": True}, "store", UNSUPPORTED),
        ({"background": True}, "background", UNSUPPORTED),
        ({"previous_response_id": "resp_1"}, "previous_response_id", UNSUPPORTED),
        ({"conversation": "conv_1"}, "conversation", UNSUPPORTED),
        ({"include": ["reasoning.encrypted_content"]}, "include", UNSUPPORTED),
        ({"tools": [{"type": "web_search"}]}, "tools", UNSUPPORTED),
        ({"tool_choice": "required"}, "tool_choice", UNSUPPORTED),
        ({"truncation": "on"}, "truncation", 'must be "auto" or "disabled", not "on"'),
        ({"top_logprobs": 2}, "top_logprobs", UNSUPPORTED),
        ({"max_tokens": 5}, "max_tokens", UNSUPPORTED),
    ],
)
def test_bad_input_is_refused_by_field(
    server: ServerProcess, fields: dict[str, object], param: str, words: str
) -> None:
    body = json.dumps({"input": "1+1", **fields})
    message, field = error_of(server.post(PATH, content=body, headers=JSON_TYPE))
    assert field == param
    assert message in (words, f"{param} {words}")


def test_a_schema_is_repeated_only_where_it_is_used(server: ServerProcess) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    for kind in ("text", "json_object"):
        form = {"type": kind, "name": "a", "schema": {"title": "\ud800"}}
        body = json.dumps({"input": "1+1", "text": {"format": form}, "max_output_tokens": 1})
        response = server.post(PATH, content=body, headers=JSON_TYPE)
        assert response.json()["text"]["format"] == {"type": kind}


@pytest.mark.parametrize("stream", [False, True])
def test_request_of_a_client_that_disconnects_is_canceled(
    server: ServerProcess, stream: bool
) -> None:
    where = urlsplit(server.address)
    body = json.dumps({"input": LONG, "stream": stream}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    before = server.metric("request_success_total")
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: server.metric("num_requests_running") > 0)
    wait_until(lambda: server.metric("num_requests_running") == 0)
    wait_until(lambda: server.metric("request_success_total") == before + 1)

"""Constrained decoding by the API: every text is one of those that the request allows."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.generation.hard_grammars import LOOP, chains, nested
from tests.server.process import ServerProcess, reasoning_and_content, streamed, wait_until

pytest.importorskip("llguidance", reason="llguidance is not installed")
pytestmark = pytest.mark.alone

SCHEMA = {
    "type": "object",
    "properties": {"result": {"type": "integer"}, "sure": {"type": "boolean"}},
    "required": ["result", "sure"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "result", "schema": SCHEMA}}
QUESTION = [{"role": "user", "content": "12+30"}]
# A field with a grammar, and an expression of the texts of the grammar.
GRAMMARS: list[tuple[dict[str, Any], str]] = [
    ({"response_format": FORMAT}, r'\{ ?"result" ?: ?-?\d+ ?, ?"sure" ?: ?(true|false) ?\}'),
    (
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
        r'\{ ?"result" ?: ?-?\d+ ?, ?"sure" ?: ?(true|false) ?\}',
    ),
    ({"guided_json": SCHEMA}, r'\{ ?"result" ?: ?-?\d+ ?, ?"sure" ?: ?(true|false) ?\}'),
    ({"guided_json": json.dumps({"type": "integer"})}, r"-?\d+"),
    ({"guided_regex": r"4\d|5\d"}, r"[45]\d"),
    ({"guided_choice": ["yes", "no", "42"]}, "yes|no|42"),
    ({"guided_grammar": 'start: "(" start ")" | "42"'}, r"\(*42\)*"),
    ({"guided_grammar": 'root ::= "x" | "42"'}, "x|42"),
    ({"structured_outputs": {"regex": r"\d\d"}}, r"\d\d"),
    ({"structured_outputs": {"choice": ["42", "43"]}}, "42|43"),
    ({"structured_outputs": {"json": {"enum": [42, None]}}}, "42|null"),
    ({"structured_outputs": {"grammar": 'start: "4" /\\d/'}}, r"4\d"),
]


@pytest.mark.parametrize(("fields", "pattern"), GRAMMARS)
def test_answers_and_texts_match(server: ServerProcess, fields: Any, pattern: str) -> None:
    asked = {"messages": QUESTION, "n": 3, "seed": 5, "max_tokens": 120, **fields}
    for choice in server.chat(**asked).json()["choices"]:
        assert choice["finish_reason"] in ("stop", "length")
        if choice["finish_reason"] == "stop":
            assert re.fullmatch(pattern, choice["message"]["content"])
            assert choice["message"]["reasoning"], "the model thinks freely first"
    stream = streamed(server, QUESTION, seed=5, **fields)
    whole = server.chat(messages=QUESTION, seed=5, temperature=0, **fields).json()
    message = whole["choices"][0]["message"]
    assert reasoning_and_content(stream) == (message["reasoning"], message["content"])
    body = {"prompt": ["1+1=", "7"], "n": 2, "temperature": 1, "max_tokens": 60, **fields}
    choices = server.post("/v1/completions", body).json()["choices"]
    assert len(choices) == 4
    for choice in choices:
        is_whole = choice["finish_reason"] == "stop"
        assert not is_whole or re.fullmatch(pattern, choice["text"])


def test_json_object(server: ServerProcess) -> None:
    for wanted in (
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"json_object": True}},
    ):
        body = server.chat(
            messages=QUESTION, reasoning_effort="none", temperature=0, n=2, **wanted
        ).json()
        for choice in body["choices"]:
            assert choice["message"]["content"].startswith("{")
            if choice["finish_reason"] == "stop":
                assert isinstance(json.loads(choice["message"]["content"]), dict)


def test_without_thinking_the_grammar_begins_at_once(server: ServerProcess) -> None:
    body = server.chat(messages=QUESTION, reasoning_effort="none", guided_regex="[a-c]{3}").json()
    message = body["choices"][0]["message"]
    assert re.fullmatch("[a-c]{3}", message["content"])
    assert not message["reasoning"]


def test_fields_that_ask_for_nothing_pass(server: ServerProcess) -> None:
    nothing: list[dict[str, Any]] = [
        {"response_format": None},
        {"response_format": {"type": "text"}},
        {"structured_outputs": {"regex": None, "json_object": False}},
        {"guided_json": None, "guided_whitespace_pattern": None},
    ]
    for fields in nothing:
        body = server.chat(messages=QUESTION, temperature=0, **fields).json()
        assert body["choices"][0]["message"]["content"] == "42"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"response_format": "json"}, "response_format", "must be an object"),
    ({"structured_outputs": {}}, "structured_outputs", "needs json, regex, choice, grammar or"),
    ({"structured_outputs": {"regex": None}}, "structured_outputs", "needs json, regex,"),
    ({"structured_outputs": {"rgex": "a"}}, "structured_outputs.rgex", "is not supported"),
    ({"response_format": {}}, "response_format.type", "is missing"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "must be"),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "is missing",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
        "is missing",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}},
        "response_format.json_schema.schema",
        "must be an object",
    ),
    ({"guided_json": 5}, "guided_json", "must be an object or a string"),
    ({"guided_json": "{"}, "guided_json", "is not JSON"),
    ({"guided_json": nested(500)}, "guided_json", "must not nest deeper than 64 levels"),
    ({"guided_json": LOOP}, "guided_json", "allows no text"),
    ({"guided_json": {"not": {}}}, "guided_json", "Unimplemented keys"),
    ({"guided_json": {"const": "x" * 70_000}}, "guided_json", "at most 65,536 characters"),
    ({"guided_regex": ""}, "guided_regex", "must not be empty"),
    ({"guided_regex": "(" * 10_000}, "guided_regex", "is not valid"),
    ({"guided_regex": "a" * 70_000}, "guided_regex", "at most 65,536 characters"),
    ({"guided_regex": "é"}, "guided_regex", "allows no text that this model can write"),
    ({"guided_regex": ["a"]}, "guided_regex", "must be a string"),
    ({"guided_choice": []}, "guided_choice", "must not be empty"),
    ({"guided_choice": ["a", 5]}, "guided_choice.1", "must be a string"),
    ({"guided_choice": ["a"] * 1001}, "guided_choice", "at most 1,000 entries"),
    ({"guided_choice": ["é"]}, "guided_choice", "needs 'é', which this model has never seen"),
    ({"guided_grammar": "start: ("}, "guided_grammar", "is not valid"),
    ({"guided_whitespace_pattern": "x"}, "guided_whitespace_pattern", "is not supported"),
    ({"structured_outputs": {"regex": "(a"}}, "structured_outputs.regex", "is not valid"),
    (
        {"structured_outputs": {"structural_tag": "x"}},
        "structured_outputs.structural_tag",
        "is not supported",
    ),
    (
        {"structured_outputs": {"regexp": "a"}},
        "structured_outputs.regexp",
        "is not supported",
    ),
    (
        {"response_format": {"type": "json_object", "schema": {"not": {}}}},
        "response_format.schema",
        "is not valid",
    ),
    (
        {"guided_regex": "a", "guided_choice": ["a"]},
        "guided_choice",
        "guided_regex and guided_choice exclude each other: leave one out",
    ),
    (
        {"response_format": {"type": "json_object"}, "guided_regex": "a"},
        "guided_regex",
        "response_format and guided_regex exclude each other: leave one out",
    ),
    (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs.choice",
        "exclude each other",
    ),
    ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos", "exclude each other"),
]


@pytest.mark.parametrize(
    ("fields", "param", "words"), REFUSED, ids=[f"{i}-{one[1]}" for i, one in enumerate(REFUSED)]
)
def test_what_is_wrong_is_refused_by_name(
    server: ServerProcess, fields: Any, param: str, words: str
) -> None:
    for response in (
        server.chat(messages=QUESTION, n=16, **fields),
        server.post("/v1/completions", {"prompt": "1", **fields}),
    ):
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["param"] == param
        assert words in error["message"]


def test_a_schema_of_ten_thousand_levels_is_refused(server: ServerProcess) -> None:
    schema = '{"items":' * 10_000 + "{}" + "}" * 10_000
    body = f'{{"messages": [{{"role": "user", "content": "1"}}], "guided_json": {schema}}}'
    headers = {"Content-Type": "application/json"}
    response = server.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 400
    assert len(response.json()["error"]["message"]) < 200


def test_a_text_that_cannot_go_on_is_an_error(server: ServerProcess) -> None:
    rules = 'start: "1" end\nend: "é" | "ü"'
    response = server.post("/v1/completions", {"prompt": "1", "guided_grammar": rules})
    assert response.status_code == 400
    assert "a character that is not in the vocabulary" in response.json()["error"]["message"]


def test_alone_as_in_company(server: ServerProcess) -> None:
    fields = {"guided_json": SCHEMA, "temperature": 1, "max_tokens": 80}
    alone = [
        server.post("/v1/completions", {"prompt": "7*8=", "seed": seed, **fields}).json()
        for seed in range(6)
    ]
    together = server.post(
        "/v1/completions", {"prompt": "7*8=", "seed": 0, "n": 6, **fields}
    ).json()
    assert [one["choices"][0]["text"] for one in alone] == [
        choice["text"] for choice in together["choices"]
    ]


def test_a_client_that_vanishes_while_its_grammar_compiles(server: ServerProcess) -> None:
    """What it asked for is dropped, and others are answered."""
    slow = chains()[2].text
    body = json.dumps({"prompt": "1", "guided_json": json.loads(slow)}).encode()
    address = urlsplit(server.address)
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    aborted = server.metric("request_success_total")
    for _ in range(20):
        with socket.create_connection((str(address.hostname), address.port or 0)) as client:
            client.sendall(head.encode() + body)
    with server.cpu_time_below(15):  # twenty of them would take longer
        response = server.post("/v1/completions", {"prompt": "1", "guided_regex": "42"})
    assert response.json()["choices"][0]["text"] == "42"
    wait_until(lambda: server.metric("num_requests_running") == 0)
    assert server.metric("num_requests_waiting") == 0
    assert server.metric("request_success_total") == aborted + 1

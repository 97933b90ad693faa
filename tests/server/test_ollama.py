"""Ollama's API: answers, streams, models, and bad input."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

import anexa
from anexa.model.weights import num_parameters
from tests.server.errors import JSON_TYPE, SURROGATE, TOO_LONG
from tests.server.process import (
    HISTORY,
    LONG,
    LONGEST,
    MESSAGES,
    THOUGHT,
    ServerProcess,
    wait_until,
)
from tests.server.test_responses import SCHEMA

CHAT, GENERATE = "/api/chat", "/api/generate"
GREEDY = {"temperature": 0}
UNSUPPORTED = "is not supported: leave it out"


def lines(response: Any) -> list[Any]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


def ask(server: ServerProcess, path: str, **fields: object) -> Any:
    body = {"options": GREEDY, **fields}
    return server.post(path, body)


def test_chat_is_streamed_by_default(server: ServerProcess) -> None:
    *parts, last = lines(ask(server, CHAT, model="anexa:latest", messages=MESSAGES))
    assert {part["model"] for part in parts} == {"anexa:latest"}
    assert {part["done"] for part in parts} == {False}
    messages = [part["message"] for part in parts]
    assert "".join(message.get("thinking", "") for message in messages) == THOUGHT
    assert "".join(message["content"] for message in messages) == "29842"
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "stop")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
def test_body_is_json_whatever_its_type(server: ServerProcess, kind: str | None) -> None:
    """As in Ollama, whose documentation calls curl without a type."""
    headers = {} if kind is None else {"Content-Type": kind}
    body = json.dumps({"model": "anexa", "prompt": "347*86", "stream": False, "options": GREEDY})
    response = server.post(GENERATE, content=body, headers=headers)
    assert response.json()["response"] == "29842"
    headers["Origin"] = "https://a.example"
    assert server.post(GENERATE, content=body, headers=headers).status_code == 403


def test_whole_answer_has_counts_and_durations(server: ServerProcess) -> None:
    body = ask(server, CHAT, messages=MESSAGES, stream=False).json()
    assert body["message"] == {"role": "assistant", "content": "29842", "thinking": THOUGHT}
    usage = server.chat(temperature=0).json()["usage"]
    assert body["prompt_eval_count"] == usage["prompt_tokens"]
    assert body["eval_count"] == usage["completion_tokens"]
    parts = body["prompt_eval_duration"] + body["eval_duration"]
    assert 0 < body["prompt_eval_duration"] < body["total_duration"]
    assert body["total_duration"] == pytest.approx(parts, abs=2)
    assert body["load_duration"] == 0


def test_generate_answers_a_prompt(server: ServerProcess) -> None:
    body = ask(server, GENERATE, prompt="347*86", system="Be brief.", stream=False).json()
    assert (body["response"], body["thinking"], body["done_reason"]) == ("29842", THOUGHT, "stop")
    *parts, last = lines(ask(server, GENERATE, prompt="347*86"))
    assert "".join(part["response"] for part in parts) == "29842"
    assert "".join(part.get("thinking", "") for part in parts) == THOUGHT
    assert last["response"] == ""
    body = ask(server, GENERATE, prompt="347*86", think=False, stream=False).json()
    assert "thinking" not in body


def test_raw_prompt_is_continued(server: ServerProcess) -> None:
    prompt = "<|user|>B1A2+B3A0<|assistant|>"
    raw = ask(server, GENERATE, prompt=prompt, raw=True, stream=False).json()
    fields = {"prompt": prompt, "temperature": 0, "max_tokens": 400}
    expected = server.post("/v1/completions", fields).json()["choices"][0]["text"]
    assert raw["response"] == expected
    assert raw["response"].endswith("42")


def test_options_are_honored(server: ServerProcess) -> None:
    options: dict[str, float] = {**GREEDY, "num_predict": 5}
    body = server.post(CHAT, {"messages": MESSAGES, "options": options, "stream": False}).json()
    assert (body["eval_count"], body["done_reason"]) == (5, "length")
    for count in (-2, -1, 0):
        options = {"temperature": 0.0, "num_predict": count, "num_ctx": 4096, "num_gpu": 99}
        body = ask(server, CHAT, messages=MESSAGES, options=options, stream=False).json()
        assert body["message"]["content"] == "29842"
    options = {"seed": 3, "temperature": 2}
    fields = {"messages": MESSAGES, "options": options, "stream": False}
    same = [server.post(CHAT, fields).json()["message"] for _ in range(2)]
    theirs = server.chat(**options).json()["choices"][0]["message"]
    assert same[0] == same[1]
    assert same[0]["content"] == theirs["content"]
    stopped = ask(
        server, GENERATE, prompt="12+30=", raw=True, options={**GREEDY, "stop": ["1"]}, stream=False
    )
    assert "1" not in stopped.json()["response"]


def test_format_is_kept_to(server: ServerProcess) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    integer = {"type": "integer"}
    body = ask(server, CHAT, messages=MESSAGES, format=SCHEMA, stream=False).json()
    assert isinstance(json.loads(body["message"]["content"])["result"], int)
    assert body["message"]["thinking"] == THOUGHT
    body = ask(server, GENERATE, prompt="347*86", think=False, format="json", stream=False).json()
    assert body["response"].startswith("{")
    body = ask(server, GENERATE, prompt="12+", raw=True, format=integer, stream=False).json()
    assert body["response"].strip("-").isdigit()


def test_oldest_turns_are_dropped_if_asked_for(server: ServerProcess) -> None:
    body = ask(server, CHAT, messages=HISTORY, truncate=True, stream=False).json()
    assert 30 < body["dropped_turns"] < 60
    assert body["message"]["content"] == "29842"
    *_, last = lines(ask(server, CHAT, messages=HISTORY, truncate=True))
    assert last["dropped_turns"] == body["dropped_turns"]
    response = ask(server, CHAT, messages=HISTORY)
    assert (response.status_code, "maximum context length" in response.text) == (400, True)


def test_request_without_a_prompt_loads_the_model(server: ServerProcess) -> None:
    for path in (CHAT, GENERATE):
        body = server.post(path, {"model": "anexa", "keep_alive": "5m"}).json()
        assert (body["done"], body["done_reason"]) == (True, "load")


def test_models_are_described(server: ServerProcess) -> None:
    model = anexa.load()
    count = num_parameters(model.engine.config)
    [tag] = server.get("/api/tags").json()["models"]
    assert (tag["name"], tag["model"], tag["size"]) == ("anexa:latest", "anexa:latest", 4 * count)
    assert len(bytes.fromhex(tag["digest"])) == 32
    for body in ({"model": "anexa"}, {"model": "anexa:latest"}, {"name": "anexa"}):
        shown = server.post("/api/show", body).json()
        assert shown["template"] == model.chat_template
        assert shown["capabilities"] == ["completion", "thinking"]
        assert shown["model_info"]["general.parameter_count"] == count
        assert shown["details"] == tag["details"]
    assert server.get("/api/version").json()["version"].count(".") == 2


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (CHAT, {"messages": 7}, "messages must be a list, not 7"),
        (CHAT, {"messages": MESSAGES * 201}, "messages must have at most 200 entries, not 201"),
        (CHAT, {"messages": [{"content": "1"}]}, "messages.0.role is missing"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": "1", "images": ["aGk="]}]},
            f"messages.0.images {UNSUPPORTED}",
        ),
        (
            CHAT,
            {"messages": [{"role": "user", "content": "\ud800"}]},
            "messages.0.content " + SURROGATE,
        ),
        (CHAT, {"messages": MESSAGES, "model": "\ud800"}, "model " + SURROGATE),
        (CHAT, {"messages": MESSAGES, "format": 7}, "format must be a string or an object, not 7"),
        (CHAT, {"messages": MESSAGES, "format": "xml"}, 'format must be "json" or a JSON schema'),
        (CHAT, {"messages": MESSAGES, "truncate": 1}, "truncate must be true or false, not 1"),
        (CHAT, {"messages": MESSAGES, "tools": [{}]}, f"tools {UNSUPPORTED}"),
        (CHAT, {"messages": MESSAGES, "logprobs": True}, f"logprobs {UNSUPPORTED}"),
        (CHAT, {"messages": MESSAGES, "stream": "no"}, 'stream must be true or false, not "no"'),
        (CHAT, {"messages": MESSAGES, "options": []}, "options must be an object, not a list"),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"temprature": 1}},
            f"options.temprature {UNSUPPORTED}",
        ),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"mirostat": 2}},
            f"options.mirostat {UNSUPPORTED}",
        ),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"temperature": -1}},
            "options.temperature must be at least 0, not -1",
        ),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"temperature": 1e400}},
            "options.temperature must be a finite number, not Infinity",
        ),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"num_predict": -3}},
            "options.num_predict must be at least -2, not -3",
        ),
        (
            CHAT,
            {"messages": MESSAGES, "options": {"num_predict": 10**30}},
            f"options.num_predict must be at most 1,000,000,000, not {10**30}",
        ),
        (GENERATE, {"prompt": 7}, "prompt must be a string, not 7"),
        (GENERATE, {"prompt": "1", "suffix": "2"}, f"suffix {UNSUPPORTED}"),
        (GENERATE, {"prompt": "1", "template": "{{ .Prompt }}"}, f"template {UNSUPPORTED}"),
        (GENERATE, {"prompt": "1", "context": [1]}, f"context {UNSUPPORTED}"),
        (GENERATE, {"prompt": "1", "images": ["aGk="]}, f"images {UNSUPPORTED}"),
        (CHAT, {"messages": [LONGEST, LONGEST]}, f"{TOO_LONG} 4,003 tokens: shorten it"),
        (
            GENERATE,
            {"prompt": "1" * 2600, "raw": True},
            f"{TOO_LONG} 2,600 tokens: shorten it",
        ),
        (
            GENERATE,
            {"prompt": "1", "raw": True, "options": {"num_predict": 5000}},
            "options.num_predict must be at most 4,096",
        ),
        (
            GENERATE,
            {"prompt": "1", "raw": True, "system": "s"},
            "raw mode does not support system: leave one of them out",
        ),
        (
            GENERATE,
            {"prompt": "1", "raw": True, "think": True},
            '"anexa" does not support thinking',
        ),
        ("/api/show", {"model": 7}, "model must be a string, not 7"),
        ("/api/show", {"model": "anexa", "verbose": True}, f"verbose {UNSUPPORTED}"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    server: ServerProcess, path: str, body: dict[str, object], message: str
) -> None:
    response = server.post(path, content=json.dumps(body), headers=JSON_TYPE)
    assert (response.status_code, response.json()) == (400, {"error": message})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, GENERATE])
def test_request_of_a_client_that_disconnects_is_canceled(
    server: ServerProcess, path: str, stream: bool
) -> None:
    where = urlsplit(server.address)
    prompt = {"messages": LONG} if path == CHAT else {"prompt": LONG[0]["content"]}
    body = json.dumps({**prompt, "stream": stream, "options": {"num_predict": 400}}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    before = server.metric("request_success_total")
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: server.metric("num_requests_running") > 0)
    wait_until(lambda: server.metric("num_requests_running") == 0)
    wait_until(lambda: server.metric("request_success_total") == before + 1)
    text = server.get("/metrics").text
    assert 'finished_reason="abort"' in text


@pytest.mark.parametrize("path", [CHAT, GENERATE, "/api/show"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"NaN", b"\xff\xfe{", b"[" * 10_000])
def test_malformed_body_is_refused(server: ServerProcess, path: str, body: bytes) -> None:
    response = server.post(path, content=body, headers=JSON_TYPE)
    assert response.status_code == 400
    assert "the body of the request" in str(response.json()["error"])

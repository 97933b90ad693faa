"""Tools by the API, with a model whose chat template shows them, and with one without."""

from __future__ import annotations

import json
import random
import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from anexa.engines import open_engine
from anexa.generation import (
    LanguageModel,
    Prompt,
    Sampler,
    SamplingParams,
    StepOutput,
    TextStream,
)
from anexa.generation.scheduler import Sequence as ScheduledSequence
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.model import Model
from anexa.model.weights import initial_weights
from anexa.server.chat_completions import ChatCompletionRequest, ChatCompletionResponder
from anexa.server.request import Request, RequestOutput
from anexa.server.tools import ToolUse, tool_use, with_parsed_arguments
from tests.generation.compilers import byte_level
from tests.server.process import ServerProcess, serving
from tests.server.test_logprobs import BYTES

pytest.importorskip("llguidance", reason="llguidance is not installed")
pytestmark = pytest.mark.alone

TEMPLATE = """\
{%- for tool in tools or [] %}tool {{ tool.function | tojson }}
{% endfor -%}
{%- if tools %}<tool_call>{"name": …, "arguments": …}</tool_call>
{% endif -%}
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>{"name": "{{ call.function.name }}", "a": {{ call.function.arguments.a }}}</tool_call>
{%- endfor %}
{% endfor -%}
{%- if add_generation_prompt %}assistant: {% endif -%}
"""
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/digit"}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
    "$defs": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
}
TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "stop", "description": "ends"}},
]
NAMED = {"type": "function", "function": {"name": "add"}}
USER = {"role": "user", "content": "1+1"}


def model_with_tools() -> Model:
    tokenizer = byte_level()
    config = ModelConfig(
        "llama", tokenizer.vocab_size, block_size=512, n_embd=16, n_head=2, n_layer=1
    )
    weights = initial_weights(config, random.Random(1))
    return Model(config, weights, tokenizer, chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("tools")
    create_folder(folder / "tooled", model_with_tools(), "")
    with serving("tooled", "--engine", "numpy", cwd=folder) as running:
        yield running


def call_of(server: ServerProcess, **fields: Any) -> Any:
    body = {"messages": [USER], "tools": TOOLS, "temperature": 1, "max_tokens": 200, **fields}
    return server.post("/v1/chat/completions", body).json()["choices"]


def check_call(choice: Any) -> str:
    """Check a choice with a call; returns the name of the function."""
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "stop":
        assert arguments == {}
    else:
        assert {*arguments} == {"a", "b"}
        assert 0 <= arguments["a"] <= 9
        assert arguments["b"] in ("x", "y")
    return str(call["function"]["name"])


def test_required_and_named_tools_are_called(tooled: ServerProcess) -> None:
    names = {check_call(one) for one in call_of(tooled, tool_choice="required", n=12, seed=1)}
    assert names == {"add", "stop"}
    assert {check_call(one) for one in call_of(tooled, tool_choice=NAMED, n=4)} == {"add"}
    for choice in call_of(tooled, tool_choice="required", parallel_tool_calls=False, n=3):
        check_call(choice)


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_stream_has_the_same_call(tooled: ServerProcess, choice: Any) -> None:
    for seed in range(3):
        fields = {"tool_choice": choice, "seed": seed}
        [whole] = call_of(tooled, **fields)
        check_call(whole)
        body = {"messages": [USER], "tools": TOOLS, "temperature": 1, "max_tokens": 200, **fields}
        text = tooled.post("/v1/chat/completions", {**body, "stream": True}).text
        events = [json.loads(event[6:]) for event in text.split("\n\n")[:-2]]
        deltas = [event["choices"][0]["delta"] for event in events]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert calls[0]["id"].startswith("call_")
        assert all("id" not in call for call in calls[1:])
        function = whole["message"]["tool_calls"][0]["function"]
        assert calls[0]["function"]["name"] == function["name"]
        assert "".join(call["function"]["arguments"] for call in calls) == function["arguments"]


def test_no_call_has_to_be_made(tooled: ServerProcess, server: ServerProcess) -> None:
    free: list[dict[str, Any]] = [
        {},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tool_choice": None},
    ]
    for fields in free:
        [choice] = call_of(tooled, **fields, seed=1, max_tokens=20)
        assert choice["finish_reason"] in ("stop", "length")
        assert choice["message"]["content"]
    [plain] = call_of(server, max_completion_tokens=200, temperature=0)
    assert plain["message"]["content"] == "2", "a template without tools: plain text"
    [call] = call_of(server, tool_choice=NAMED, reasoning_effort="none")
    check_call(call)
    nothing: list[dict[str, Any]] = [{"tools": []}, {"tools": None, "tool_choice": "auto"}]
    for fields in nothing:
        [choice] = call_of(server, temperature=0, **fields)
        assert choice["message"]["content"] == "2"


def test_the_template_shows_tools_and_calls(tooled: ServerProcess) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 7}'}}
    history: list[dict[str, Any]] = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "8"},
    ]
    body = {"messages": history, "tools": TOOLS, "max_tokens": 1, "truncation": "auto"}
    assert tooled.post("/v1/chat/completions", body).status_code == 200
    made = model_with_tools()
    model = LanguageModel("m", made, open_engine("numpy", made.config, made.weights))
    prompt = model.render_prompt(with_parsed_arguments(history), tools=TOOLS)
    shown = 'tool {"name": "stop", "description": "ends"}\n<tool_call>'
    assert shown in prompt
    assert prompt.endswith(
        'assistant: <tool_call>{"name": "add", "a": 7}</tool_call>tool: 8assistant: '
    )
    assert "tool" not in model.render_prompt([USER])


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": "add"}, "tools", "must be a list"),
    ({"tools": [{"type": "web_search"}]}, "tools.0.type", 'must be "function"'),
    ({"tools": [{"type": "function"}]}, "tools.0.function", "is missing"),
    (
        {"tools": [{"type": "function", "function": {"name": ""}}]},
        "tools.0.function.name",
        "must not be empty",
    ),
    ({"tools": [TOOLS[0]] * 2}, "tools.1.function.name", "also the name of an earlier tool"),
    ({"tools": [TOOLS[0]] * 129}, "tools", "at most 128 entries"),
    ({"tools": None, "tool_choice": "required"}, "tool_choice", "needs tools"),
    ({"tools": [], "tool_choice": NAMED}, "tool_choice", "needs tools"),
    ({"tool_choice": "some"}, "tool_choice", "must be"),
    (
        {"tool_choice": {"type": "function", "function": {"name": "sub"}}},
        "tool_choice.function.name",
        "must be one of the tools, add, stop, not 'sub'",
    ),
    (
        {"tool_choice": "required", "response_format": {"type": "json_object"}},
        "tool_choice",
        "tool_choice and response_format exclude each other",
    ),
    ({"functions": [{"name": "f"}]}, "functions", "is not supported"),
    ({"function_call": {"name": "f"}}, "function_call", "is not supported"),
    (
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}],
            "tool_choice": "required",
        },
        "tools",
        "Unimplemented keys",
    ),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls", "must be true or false"),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_what_is_wrong_is_refused_by_name(
    tooled: ServerProcess, fields: Any, param: str, words: str
) -> None:
    body = {"messages": [USER], "tools": TOOLS, "max_tokens": 5, **fields}
    response = tooled.post("/v1/chat/completions", body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_calls_in_the_history_need_a_template_that_knows_them(
    server: ServerProcess, tooled: ServerProcess
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "[1]"}}
    history = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "2"}]
    error = tooled.chat(messages=history).json()["error"]
    assert error["param"] == "messages.1.tool_calls.0.function.arguments"
    assert "must be a JSON object" in error["message"]
    error = server.chat(messages=[USER, {"role": "tool", "content": "2"}, USER]).json()["error"]
    assert error["param"] == "messages"
    assert error["message"].startswith("message 2 is about a tool call")


def test_long_tools_do_not_stall_others(tooled: ServerProcess) -> None:
    properties = {f"a{number}": {"type": "integer"} for number in range(200)}
    function = {"parameters": {"type": "object", "properties": properties}}
    tools = [
        {"type": "function", "function": {"name": f"f{number}", **function}}
        for number in range(120)
    ]
    turns = [USER, {"role": "assistant", "content": "2"}] * 50
    body = {"messages": [*turns, USER], "tools": tools, "truncation": "auto"}
    where = urlsplit(tooled.address)
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        content = json.dumps(body).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        for _ in range(2):
            assert tooled.get("/health").status_code == 200
        assert not select.select([connection], [], [], 0)[0], "the prompt is still being rendered"
        assert connection.recv(12) == b"HTTP/1.1 400", "it is too long"


def answer_of(text: str, body: ChatCompletionRequest, use: ToolUse) -> tuple[Any, list[Any]]:
    """Response and stream of a model that generates this text."""
    stream = TextStream(BYTES, Prompt(BYTES, 64, "a"), max_tokens=200)
    sampler = Sampler(SamplingParams())
    request = Request(stream, sampler, is_chat=True, num_logprobs=0)
    sequence, whole = ScheduledSequence([0], sampler), RequestOutput()
    chunks: list[Any] = []
    streaming = ChatCompletionResponder(body, [request], "m", BYTES, 0, use.new_parser)
    for token in [*BYTES.encode(text), BYTES.eot_token_id]:
        output = RequestOutput()
        request.process(StepOutput(sequence, token, [0.0] * BYTES.vocab_size), output)
        chunks += streaming.chunks(0, output)
        whole.merge(output)
    responder = ChatCompletionResponder(body, [request], "m", BYTES, 0, use.new_parser)
    response = responder.response([whole]).model_dump(exclude_unset=True)
    return response["choices"][0], [
        chunk.model_dump(exclude_unset=True)["choices"][0] for chunk in chunks
    ]


@pytest.mark.parametrize(
    ("template", "answer", "content"),
    [
        (TEMPLATE, 'Wait.<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', "Wait."),
        ('{{ tools }} "parameters"', '{"name": "add", "parameters": {"a": 1}}', None),
    ],
)
def test_calls_in_a_free_answer_are_found(template: str, answer: str, content: str | None) -> None:
    made = replace(model_with_tools(), chat_template=template)
    model = LanguageModel("m", made, open_engine("numpy", made.config, made.weights))
    asked = {"messages": [USER], "tools": TOOLS}
    body = ChatCompletionRequest.model_validate(asked)
    choice, chunks = answer_of(answer, body, tool_use(body, model))
    assert choice["finish_reason"] == chunks[-1]["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == content
    [call] = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": '{"a": 1}'}
    streamed = [call for chunk in chunks for call in chunk["delta"].get("tool_calls", ())]
    assert [call["function"] for call in streamed] == [call["function"]]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == (content or "")
    given = [chunk["logprobs"] for chunk in chunks if chunk.get("logprobs")]
    logprobs = [one for logprobs in given for one in logprobs["content"]]
    assert logprobs == choice["logprobs"]["content"]
    assert "".join(one["token"] for one in choice["logprobs"]["content"]) == answer
    body = ChatCompletionRequest.model_validate({**asked, "tool_choice": "none"})
    choice, _ = answer_of(answer, body, tool_use(body, model))
    assert choice["message"]["content"] == answer
    assert choice["finish_reason"] == "stop"
    assert "tool_calls" not in choice["message"]


def test_tools_are_tokenized_as_in_a_chat(tooled: ServerProcess) -> None:
    function = {"name": "add", "arguments": '{"a": 1, "b": "x"}'}
    messages = [
        USER,
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "2"},
    ]
    for more in ({"tools": TOOLS}, {}):
        body = {"messages": messages, **more}
        tokens = tooled.post("/tokenize", body).json()["tokens"]
        answer = tooled.post("/v1/chat/completions", {**body, "max_tokens": 1}).json()
        assert answer["usage"]["prompt_tokens"] == len(tokens)

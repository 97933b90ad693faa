"""Wrong requests get an error of one sentence, and the server survives them."""

from __future__ import annotations

import json

import pytest

from tests.server.errors import CHAT, JSON_TYPE, SURROGATE, TEXT, TOO_LONG, error_of
from tests.server.process import LONGEST, MESSAGES, ServerProcess

pytestmark = pytest.mark.usefixtures("lives")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"),
        ("temperature", -0.1),
        ("temperature", 2.5),
        ("temperature", True),
        ("temperature", [0.5]),
        ("top_p", -0.1),
        ("top_p", 1.01),
        ("top_k", 1.5),
        ("top_k", -2),
        ("seed", "1"),
        ("seed", 10**40),
        ("n", 0),
        ("n", 17),
        ("max_tokens", 0),
        ("max_tokens", 10**12),
        ("max_tokens", 3.5),
        ("max_completion_tokens", -2),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", ["a"] * 17),
        ("stop", "a" * 201),
        ("stop", 7),
        ("stream", "yes"),
        ("stream_options", 7),
        ("logprobs", 3),
        ("top_logprobs", 21),
        ("top_logprobs", -1),
        ("reasoning_effort", "a bit"),
        ("chat_template_kwargs", []),
        ("chat_template_kwargs", {"enable_thinking": "false"}),
        ("model", 3),
        ("messages", []),
        ("messages", "hello"),
        ("messages", [{"role": "user"}, "x"]),
        ("messages", [{"content": "1+1"}]),
        ("messages", [{"role": "robot", "content": "1+1"}]),
        ("messages", [{"role": "user", "content": 7}]),
        ("messages", [{}] * 300_000),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
    ],
)
def test_wrong_field_of_chat_request_is_named_in_error(
    server: ServerProcess, field: str, value: object
) -> None:
    message, param = error_of(server.chat(**{field: value}))
    assert message.startswith(field)
    assert (param or "").split(".")[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 7),
        ("prompt", []),
        ("prompt", [{}] * 300_000),
        ("prompt", ["1"] * 300),
        ("prompt", ["a", 1]),
        ("prompt", [[1], "a"]),
        ("prompt", {"a": 1}),
        ("logprobs", 21),
        ("logprobs", True),
        ("prompt_logprobs", 21),
        ("prompt_logprobs", -1),
        ("prompt_logprobs", "1"),
        ("max_tokens", -2),
        ("echo", "no"),
    ],
)
def test_wrong_field_of_completion_request_is_named_in_error(
    server: ServerProcess, field: str, value: object
) -> None:
    with server.cpu_time_below(2):
        message, param = error_of(server.post(TEXT, {"prompt": "1", **{field: value}}))
    assert message.startswith(field)
    assert (param or "").split(".")[0] == field


def body_with_message(content: object, role: object = "user") -> dict[str, object]:
    """Body of a request with one message."""
    return {"messages": [{"role": role, "content": content}]}


IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
EMPTY = "a conversation needs a message of the user"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        # Fields of both routes.
        ({"model": 7}, "model", "must be a string, not 7"),
        ({"temperature": "hot"}, "temperature", 'must be a number, not "hot"'),
        (
            {"temperature": "h" * 99},
            "temperature",
            "must be a number, not a string of 99 characters",
        ),
        ({"temperature": -1}, "temperature", "must be at least 0, not -1"),
        ({"temperature": 2.5}, "temperature", "must be at most 2, not 2.5"),
        ({"temperature": 1e400}, "temperature", "must be a finite number, not Infinity"),
        ({"top_p": -1}, "top_p", "must be at least 0, not -1"),
        ({"top_k": 1.5}, "top_k", "must be an integer, not 1.5"),
        ({"top_k": 10**12}, "top_k", "must be at most 1,000,000,000, not 1000000000000"),
        ({"n": None, "seed": True}, "seed", "must be an integer, not true"),
        ({"stop": 7}, "stop", "must be a string or a list, not 7"),
        ({"stop": ""}, "stop", "must not be empty"),
        ({"stop": "a" * 201}, "stop", "must have at most 200 characters, not 201"),
        ({"stop": ["a"] * 17}, "stop", "must have at most 16 entries, not 17"),
        ({"stop": ["a", ""]}, "stop.1", "must not be empty"),
        ({"stop": ["a", None, 7]}, "stop.1", "must be a string, not null"),
        ({"min_p": 1.5}, "min_p", "must be at most 1, not 1.5"),
        ({"min_p": [0.1]}, "min_p", "must be a number, not a list"),
        ({"repetition_penalty": 0}, "repetition_penalty", "must be above 0, not 0"),
        (
            {"repetition_penalty": 1e400},
            "repetition_penalty",
            "must be a finite number, not Infinity",
        ),
        ({"repeat_penalty": -1}, "repeat_penalty", "must be above 0, not -1"),
        (
            {"repeat_penalty": 1.5, "repetition_penalty": 1},
            "repeat_penalty",
            "and repetition_penalty are the same parameter: leave one out",
        ),
        ({"frequency_penalty": 3}, "frequency_penalty", "must be at most 2, not 3"),
        ({"presence_penalty": -2.5}, "presence_penalty", "must be at least -2, not -2.5"),
        ({"logit_bias": [[5, 1]]}, "logit_bias", "must be an object, not a list"),
        ({"logit_bias": {"5": None}}, "logit_bias.5", "must be a number, not null"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "must be at most 100, not 101"),
        ({"logit_bias": {"five": 1}}, "logit_bias.five", "is not a token id"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1", "is not a token id"),
        (
            {"logit_bias": {"101": 1}},
            "logit_bias",
            "contains the token id 101, but the ids of this model are 0 to 100",
        ),
        (
            {"logit_bias": {str(number): 0 for number in range(50_000)}},
            "logit_bias",
            "must have at most 10,000 entries, not 50,000",
        ),
        ({"min_tokens": -1}, "min_tokens", "must be at least 0, not -1"),
        (
            {"min_tokens": 9, "max_tokens": 8},
            "min_tokens",
            "must be at most max_tokens, which is 8, not 9",
        ),
        (
            {"min_tokens": 10**9},
            "min_tokens",
            "must be at most max_tokens, which is 16, not 1,000,000,000",
        ),
        ({"ignore_eos": 1}, "ignore_eos", "must be true or false, not 1"),
        ({"stop_token_ids": 5}, "stop_token_ids", "must be a list, not 5"),
        ({"stop_token_ids": [5, "5"]}, "stop_token_ids.1", 'must be an integer, not "5"'),
        (
            {"stop_token_ids": [101]},
            "stop_token_ids",
            "contains the token id 101, but the ids of this model are 0 to 100",
        ),
        (
            {"stop_token_ids": [0] * 10_001},
            "stop_token_ids",
            "must have at most 10,000 entries, not 10,001",
        ),
        ({"best_of": 10**9}, "best_of", "must be at most 16, not 1000000000"),
        ({"best_of": 0}, "best_of", "must be at least 1, not 0"),
        ({"best_of": 2, "n": 3}, "best_of", "must be at least n, which is 3, not 2"),
        (
            {"best_of": 2, "stream": True},
            "best_of",
            "must not be above n in a stream: set stream to false",
        ),
        (
            {"prompt": ["1"] * 9, "best_of": 2},
            "best_of",
            "the number of prompts times best_of is 18: it must be at most 16",
        ),
        ({"stream": "yes"}, "stream", 'must be true or false, not "yes"'),
        ({"stream_options": []}, "stream_options", "must be an object, not a list"),
        (
            {"stream_options": {"include_usage": 3}},
            "stream_options.include_usage",
            "must be true or false, not 3",
        ),
        # Prompts.
        ({"prompt": None}, "prompt", "must be a string or a list, not null"),
        ({"prompt": []}, "prompt", "must not be an empty list"),
        ({"prompt": ["a", 1]}, "prompt.1", "must be a string, not 1"),
        ({"prompt": [1, "a"]}, "prompt.1", 'must be an integer, not "a"'),
        ({"prompt": [[1], 1]}, "prompt.1", "must be a list, not 1"),
        ({"prompt": [[1], [{}]]}, "prompt.1.0", "must be an integer, not an object"),
        ({"prompt": [{}]}, "prompt.0", "must be a string, an integer or a list, not an object"),
        ({"prompt": ["1"] * 17}, "prompt", "must have at most 16 entries, not 17"),
        ({"prompt": [[1]] * 17}, "prompt", "must have at most 16 entries, not 17"),
        ({"prompt": [1] * 10_001}, "prompt", "must have at most 10,000 entries, not 10,001"),
        (
            {"prompt": ["1"] * 9, "n": 2},
            "n",
            "the number of prompts times n is 18: it must be at most 16",
        ),
        (
            {"prompt": [101]},
            "prompt",
            "there is no token id 101: the ids of this model are 0 to 100",
        ),
        ({"prompt": [[]]}, "prompt", "a prompt of token ids needs at least one"),
        ({"prompt": "1" * 2600}, "prompt", f"{TOO_LONG} 2,600 tokens: shorten it"),
        ({"prompt": [1] * 2600}, "prompt", f"{TOO_LONG} 2,600 tokens: shorten it"),
        ({"prompt": "1" * 200_001}, "prompt", "must have at most 200,000 characters, not 200,001"),
        ({"prompt": "é"}, "prompt", "this model has never seen 'é': leave it out of the prompt"),
        ({"prompt": "\ud800"}, "prompt", SURROGATE),
        ({"prompt": "1", "echo": 1}, "echo", "must be true or false, not 1"),
        ({"prompt": "1", "logprobs": 21}, "logprobs", "must be at most 20, not 21"),
        # Conversations.
        ({"messages": None}, "messages", "must be a list, not null"),
        ({"messages": []}, "messages", "must not be empty"),
        ({"messages": MESSAGES * 201}, "messages", "must have at most 200 entries, not 201"),
        ({"messages": ["1+1"]}, "messages.0", 'must be an object, not "1+1"'),
        ({"messages": [{"content": "1+1"}]}, "messages.0.role", "is missing"),
        (
            body_with_message("1+1", "robot"),
            "messages.0.role",
            'must be "system", "developer", "user", "assistant" or "tool", not "robot"',
        ),
        (body_with_message(7), "messages.0.content", "must be a string or a list, not 7"),
        (
            body_with_message("1" * 200_001),
            "messages.0.content",
            "must have at most 200,000 characters, not 200,001",
        ),
        (body_with_message("\ud800"), "messages.0.content", SURROGATE),
        (body_with_message(["1+1"]), "messages.0.content.0", 'must be an object, not "1+1"'),
        (body_with_message([{"type": "text"}]), "messages.0.content.0.text", "is missing"),
        (
            body_with_message([{"type": "text", "text": "1+1"}, IMAGE]),
            "messages.0.content.1.type",
            'must be "text" or "refusal", not "image_url"',
        ),
        (body_with_message("", "assistant"), "messages", EMPTY),
        (body_with_message("1+1", "system"), "messages", EMPTY),
        (
            {"messages": MESSAGES, "continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
            "continue_final_message and add_generation_prompt must not both be true",
        ),
        (
            {"messages": MESSAGES, "continue_final_message": 1},
            "continue_final_message",
            "must be true or false, not 1",
        ),
        (
            {"messages": MESSAGES, "add_generation_prompt": "no"},
            "add_generation_prompt",
            'must be true or false, not "no"',
        ),
        (
            {"messages": [{"role": "assistant", "content": "1", "reasoning": 7}]},
            "messages.0.reasoning",
            "must be a string, not 7",
        ),
        (
            {"messages": [LONGEST, LONGEST]},
            "messages",
            f"{TOO_LONG} 4,003 tokens: shorten it",
        ),
        (
            {"messages": [LONGEST] * 30},
            "messages",
            f"{TOO_LONG} 30,000 characters of questions: shorten it",
        ),
        (body_with_message(" \n"), "messages", "there is nothing to answer: ask something"),
        (
            body_with_message("1<|user|>"),
            "messages",
            "message 1 contains <|user|>, which is a special token of the model: remove it",
        ),
        (
            body_with_message("1", "tool"),
            "messages",
            "message 1 is about a tool call, which the chat template of anexa cannot render: "
            "leave it out",
        ),
        ({"messages": MESSAGES, "top_logprobs": 2}, "top_logprobs", "needs logprobs to be true"),
        (
            {"messages": MESSAGES, "chat_template_kwargs": {"enable_thinking": "no"}},
            "chat_template_kwargs.enable_thinking",
            'must be true or false, not "no"',
        ),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f"}}, *MESSAGES]},
            "messages.0.function_call",
            "is not supported: leave it out",
        ),
        (
            {"messages": MESSAGES, "stream_options": {"continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
            "is not supported: leave it out",
        ),
        (
            {"messages": MESSAGES, "chat_template_kwargs": {"thinking": True}},
            "chat_template_kwargs.thinking",
            "is not supported: leave it out",
        ),
    ],
)
def test_error_message_is_one_sentence_about_the_field(
    server: ServerProcess, body: dict[str, object], param: str, words: str
) -> None:
    """The message is `words`, or the name of the field and `words`."""
    path = CHAT if "messages" in body else TEXT
    response = server.post(path, content=json.dumps(body), headers=JSON_TYPE)
    message, field = error_of(response)
    assert field == param
    assert message in (words, f"{param} {words}")
    long = "context_length_exceeded" if "maximum context length is" in message else None
    assert response.json()["error"]["code"] == long


def test_unknown_fields_are_ignored(server: ServerProcess) -> None:
    response = server.chat(user="somebody", tools=[], response_format={"type": "text"}, foo=[{}])
    assert response.status_code == 200


def test_far_too_long_input_is_refused_quickly(server: ServerProcess) -> None:
    """Tokenizing the input first would block the event loop."""
    with server.cpu_time_below(1):
        message, _ = error_of(server.chat(messages=[LONGEST] * 200))
    assert "the prompt has 200,000 characters" in message
    begun = {"role": "assistant", "content": "7+" * 95_000}
    with server.cpu_time_below(1):
        message, _ = error_of(server.chat(messages=[*MESSAGES, begun]))
    assert "the prompt has 190,006 characters" in message
    message, param = error_of(server.post(TEXT, {"prompt": "1", "max_tokens": 5000}))
    assert (message, param) == ("max_tokens must be at most 4,096", "max_tokens")

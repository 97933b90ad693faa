"""Values that other servers take are taken here too, and mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.errors import error_of
from tests.server.process import (
    HISTORY,
    LONGEST,
    MESSAGES,
    THOUGHT,
    ServerProcess,
    reasoning_and_content,
    serving,
    streamed,
)

TEXT, END = "/v1/completions", "."  # one token ends a turn


@pytest.fixture(scope="module")
def greedy(server: ServerProcess) -> dict[str, Any]:
    """The likeliest answer."""
    message: dict[str, Any] = server.chat(temperature=0).json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "max"},
        {"temperature": 1, "top_p": 0},
        {"max_tokens": -1},
        {"max_completion_tokens": -1, "max_tokens": 3},
        {"max_completion_tokens": -1.0},
        {"max_tokens": 400.0, "n": 1.0, "top_k": 20.0, "seed": -7.0},
        {"logprobs": True, "top_logprobs": 2.0},
    ],
)
def test_values_of_chat_requests(
    server: ServerProcess, greedy: dict[str, Any], fields: dict[str, object]
) -> None:
    answer = server.chat(**{"temperature": 0, **fields}).json()["choices"][0]
    assert answer["message"] == greedy
    assert answer["finish_reason"] == "stop"


@pytest.mark.parametrize("fields", [{"prompt": [16.0, 17]}, {"prompt": [[16.0, 17.0]]}])
def test_token_ids_may_be_written_as_floats(
    server: ServerProcess, fields: dict[str, object]
) -> None:
    asked = {"max_tokens": 3.0, "temperature": 0}
    expected = server.post(TEXT, {"prompt": [16, 17], **asked}).json()["choices"]
    assert server.post(TEXT, {**fields, **asked}).json()["choices"] == expected


def test_unlimited_completion_ends_at_the_limit_of_the_server(server: ServerProcess) -> None:
    """The sequence of logits of this model ends by itself before that."""
    body = server.post(TEXT, {"prompt": "1", "max_tokens": -1, "seed": 1}).json()
    assert body["usage"]["completion_tokens"] > 16, "the default is no longer the limit"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("max_tokens", 0, "must be at least 1, not 0"),
        ("max_tokens", -2, "must be at least 1, not -2"),
        ("max_tokens", -1.5, "must be an integer, not -1.5"),
        ("max_tokens", True, "must be an integer, not true"),
        ("max_tokens", "-1", 'must be an integer, not "-1"'),
        ("max_tokens", 1e300, "must be an integer, not 1e+300"),
        ("n", 1.5, "must be an integer, not 1.5"),
        ("reasoning_effort", "maximal", "must be"),
    ],
)
def test_values_that_no_server_takes(
    server: ServerProcess, field: str, value: object, words: str
) -> None:
    message, param = error_of(server.chat(**{field: value}))
    assert message.startswith(f"{field} {words}")
    assert param == field


def test_refusals_in_the_history_are_what_was_said(server: ServerProcess) -> None:
    def answer(said: object) -> Any:
        history = [*MESSAGES, {"role": "assistant", "content": said}, *MESSAGES]
        body = server.chat(messages=history, temperature=0).json()
        return body["choices"], body["usage"]

    parts = [{"type": "refusal", "refusal": "I cannot"}, {"type": "text", "text": " say."}]
    assert answer(parts) == answer("I cannot say.")


@pytest.mark.parametrize(
    ("part", "param", "words"),
    [
        ({"type": "refusal"}, "messages.0.content.0.refusal", "is missing"),
        ({"type": "refusal", "refusal": 7}, "messages.0.content.0.refusal", "must be a string"),
        ({"type": "refusal", "text": "no"}, "messages.0.content.0.refusal", "is missing"),
        ({"text": "no"}, "messages.0.content.0.type", "is missing"),
        ({"type": None}, "messages.0.content.0.type", 'must be "text" or "refusal", not null'),
    ],
)
def test_malformed_parts_are_refused(
    server: ServerProcess, part: dict[str, object], param: str, words: str
) -> None:
    message, field = error_of(server.chat(messages=[{"role": "assistant", "content": [part]}]))
    assert field == param
    assert message.startswith(f"{param} {words}")


@pytest.mark.parametrize("name", ["gpt-4o", "", "anexa:latest", "a/b"])
def test_single_model_answers_under_any_name(server: ServerProcess, name: str) -> None:
    for path in (TEXT, "/v1/chat/completions"):
        body = {"model": name, "prompt": "1", "messages": MESSAGES, "max_tokens": 1}
        assert server.post(path, body).json()["model"] == "anexa", "the name of what has answered"


@pytest.mark.slow
def test_one_of_several_models_is_chosen_by_its_exact_name(
    names_model: Path, parrot: Path, tmp_path: Path
) -> None:
    with serving(names_model, parrot, "--engine", "numpy", cwd=tmp_path) as server:
        names = [model["id"] for model in server.get("/v1/models").json()["data"]]
        for name in (None, *names):
            body = server.post(TEXT, {"model": name, "prompt": "a", "max_tokens": 1})
            assert body.json()["model"] == (name or names[0])
        for path in (TEXT, "/v1/chat/completions"):
            body = {"model": "gpt-4o", "prompt": "a", "messages": MESSAGES}
            message, param = error_of(server.post(path, body), 404)
            assert message == f"there is no model 'gpt-4o': choose one of {', '.join(names)}"
            assert param == "model"


def test_last_message_of_the_assistant_is_continued(server: ServerProcess) -> None:
    """By default, as llama.cpp does; vLLM's fields choose otherwise."""
    begun = {"role": "assistant", "reasoning_content": THOUGHT, "content": "29"}

    def answer(**fields: object) -> dict[str, Any]:
        body = server.chat(messages=[*MESSAGES, begun], temperature=0, **fields).json()
        message: dict[str, Any] = body["choices"][0]["message"]
        return message

    continued = answer()
    assert (continued["content"], continued["reasoning"]) == ("842", None)
    assert answer(continue_final_message=True, add_generation_prompt=False) == continued
    stream = streamed(server, [*MESSAGES, begun])
    assert reasoning_and_content(stream) == ("", "842")
    anew = answer(add_generation_prompt=True)
    assert anew == answer(continue_final_message=False)
    assert anew["content"] != "842"
    body = server.chat(messages=[*MESSAGES, begun], add_generation_prompt=False).json()
    tokens = len(f"<C3B4A7*B8A6<29{END}")
    assert body["usage"]["prompt_tokens"] == tokens, "what follows is the model's own turn"


# A conversation that outgrows the context


def test_oldest_turns_are_dropped_if_the_request_says_so(server: ServerProcess) -> None:
    for fields in ({}, {"truncation": None}, {"truncation": "disabled"}):
        message, param = error_of(server.chat(messages=HISTORY, **fields))
        assert "maximum context length is 2560 tokens" in message
        assert param == "messages"
    body = server.chat(messages=HISTORY, truncation="auto", temperature=0).json()
    dropped = body["dropped_turns"]
    assert 30 < dropped < 60
    kept = server.chat(messages=HISTORY[2 * dropped :], temperature=0).json()
    assert "dropped_turns" not in kept
    for answer in (body, kept):
        del answer["usage"]["prompt_tokens_details"]  # the second prompt is found in the cache
    for name in ("usage", "choices"):
        assert body[name] == kept[name], "the answer is that to the turns that are left"
    stream = streamed(server, HISTORY, truncation="auto")
    assert reasoning_and_content(stream) == (THOUGHT, "29842")
    assert f'"dropped_turns":{dropped}}}' in stream
    assert server.chat(truncation="auto").json()["dropped_turns"] == 0


def test_answer_that_may_be_short_leaves_more_room(server: ServerProcess) -> None:
    asked = {"messages": HISTORY, "truncation": "auto"}
    short = server.chat(**asked, max_tokens=5).json()
    assert short["dropped_turns"] < server.chat(**asked).json()["dropped_turns"]
    assert short["usage"]["prompt_tokens"] + 5 <= 2560


@pytest.mark.parametrize("value", ["on", True, 1, {"type": "auto"}])
def test_other_truncations_are_refused(server: ServerProcess, value: object) -> None:
    message, param = error_of(server.chat(truncation=value))
    assert message.startswith('truncation must be "auto" or "disabled", not ')
    assert param == "truncation"


def test_last_question_is_never_cut(server: ServerProcess) -> None:
    begun = {"role": "assistant", "content": "1" * 600}
    messages = [*MESSAGES, LONGEST, begun]
    message, param = error_of(server.chat(messages=messages, truncation="auto"))
    assert "maximum context length is 2560 tokens. However, the prompt has 2,604 tokens" in message
    assert param == "messages"


def test_long_history_is_truncated_quickly(server: ServerProcess) -> None:
    """Rendering it once for each turn would block the event loop."""
    history = [{"role": role, "content": "7" * 1000} for role in ("user", "assistant")] * 99
    with server.cpu_time_below(2):
        body = server.chat(
            messages=[*history, *MESSAGES], truncation="auto", temperature=0, max_tokens=5
        ).json()
    assert body["dropped_turns"] == 99
    assert body["usage"]["prompt_tokens"] == len("<C3B4A7*B8A6<")

"""`/tokenize`, `/detokenize` and `/tokenizer_info`, as vLLM's clients use them."""

from __future__ import annotations

from typing import Any

import pytest

import anexa
from tests.server.errors import error_of
from tests.server.process import MESSAGES, ServerProcess


def test_text_becomes_token_ids_and_text_again(server: ServerProcess) -> None:
    model = anexa.load()
    longer_than_context = "347*86" * 500
    for text in ("12+34=46", "", "<|endoftext|>7", longer_than_context):
        body = {"prompt": text, "return_token_strs": True}
        for more in ({}, {"add_special_tokens": True}, {"add_special_tokens": False}):
            tokenized = server.post("/tokenize", {**body, **more}).json()
            assert tokenized["tokens"] == model.tokenizer.encode(text)
            assert tokenized["count"] == len(tokenized["tokens"])
            assert "".join(tokenized["token_strs"]) == text
            assert tokenized["max_model_len"] == model.engine.config.block_size
        detokenized = server.post("/detokenize", {"tokens": tokenized["tokens"]}).json()
        assert detokenized == {"prompt": text}
    assert server.post("/tokenize", {"prompt": "1"}).json()["token_strs"] is None


@pytest.mark.parametrize("thinking", [True, False])
def test_conversation_is_tokenized_as_its_prompt(server: ServerProcess, thinking: bool) -> None:
    model = anexa.load()
    options = {"enable_thinking": thinking}
    body = {"messages": MESSAGES, "chat_template_kwargs": options, "add_generation_prompt": True}
    prompt = model.render_prompt(MESSAGES, thinking=thinking)
    tokens = server.post("/tokenize", body).json()["tokens"]
    assert tokens == model.tokenizer.encode_prompt(prompt)
    usage = server.chat(chat_template_kwargs=options, max_tokens=1).json()["usage"]
    assert usage["prompt_tokens"] == len(tokens)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"add_generation_prompt": True},
        {"add_generation_prompt": False},
        {"continue_final_message": True, "add_generation_prompt": False},
        {"continue_final_message": False},
    ],
)
def test_end_of_a_prompt_is_that_of_a_chat(server: ServerProcess, fields: dict[str, bool]) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "29"}]
    tokens = server.post("/tokenize", {"messages": messages, **fields}).json()["tokens"]
    usage = server.chat(messages=messages, **fields, max_tokens=1).json()["usage"]
    assert usage["prompt_tokens"] == len(tokens)


def test_tokenizer_info_is_the_tokenizer_config(server: ServerProcess) -> None:
    model = anexa.load()
    info = server.get("/tokenizer_info?model=anexa").json()
    assert info.pop("chat_template") == model.chat_template
    assert info == model.tokenizer.to_config(model.engine.config.block_size)


@pytest.mark.parametrize(
    ("path", "body", "param", "part"),
    [
        ("/tokenize", {}, "prompt", "either prompt or messages"),
        ("/tokenize", {"prompt": "1", "messages": MESSAGES}, "prompt", "either prompt or messages"),
        ("/tokenize", {"prompt": 3}, "prompt", "must be a string"),
        ("/tokenize", {"prompt": "é"}, "prompt", "has never seen 'é'"),
        ("/tokenize", {"prompt": "1" * 200_001}, "prompt", "200,000"),
        ("/tokenize", {"messages": []}, "messages", "must not be empty"),
        ("/tokenize", {"messages": [{"role": "user", "content": ""}]}, "messages", "nothing"),
        (
            "/tokenize",
            {"messages": MESSAGES, "continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
            "must not both be true",
        ),
        ("/tokenize", {"messages": MESSAGES, "chat_template": "?"}, "chat_template", "supported"),
        ("/detokenize", {}, "tokens", "is missing"),
        ("/detokenize", {"tokens": "1"}, "tokens", "must be a list"),
        ("/detokenize", {"tokens": [1, "2"]}, "tokens.1", "must be an integer"),
        ("/detokenize", {"tokens": [10**6]}, "tokens", "there is no token id 1000000: the ids"),
        ("/detokenize", {"tokens": [-1]}, "tokens", "there is no token id -1: the ids"),
        ("/detokenize", {"tokens": [1] * 10_001}, "tokens", "10,000"),
    ],
)
def test_bad_input_is_refused_by_field(
    server: ServerProcess, path: str, body: dict[str, Any], param: str, part: str
) -> None:
    message, field = error_of(server.post(path, body))
    assert field == param
    assert part in message

"""Log probabilities of prompts: `echo`, `max_tokens` 0, `prompt_logprobs`; whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import anexa
from anexa.generation import LanguageModel
from tests.server.errors import error_of
from tests.server.process import MESSAGES, ServerProcess

PATH = "/v1/completions"
TEXTS = ["12+34=46", "7", "347*86"]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return anexa.load()


def expected_logprobs(model: LanguageModel, ids: Sequence[int]) -> Any:
    """Log probabilities of all tokens at each position but the first, (T - 1, V)."""
    logits_TV = np.array(model.engine.logits(ids), np.float64)[:-1]
    return logits_TV - np.log(np.exp(logits_TV).sum(axis=-1, keepdims=True))


def scored(server: ServerProcess, **body: object) -> list[Any]:
    """The choices of a completion."""
    response = server.post(PATH, body)
    assert response.status_code == 200, response.text
    choices: list[Any] = response.json()["choices"]
    assert [choice["index"] for choice in choices] == [*range(len(choices))]
    return choices


def test_echoed_prompts_have_log_probabilities(server: ServerProcess, model: LanguageModel) -> None:
    """As text and as token ids, several at once."""
    prompts = [model.tokenizer.encode_prompt(text) for text in TEXTS]
    choices = scored(server, prompt=TEXTS, echo=True, logprobs=2, max_tokens=0)
    assert scored(server, prompt=prompts, echo=True, logprobs=2, max_tokens=0) == choices
    for text, ids, choice in zip(TEXTS, prompts, choices, strict=True):
        logprobs = choice["logprobs"]
        assert (choice["text"], choice["finish_reason"]) == (text, "length")
        assert logprobs["tokens"] == [*text]
        assert logprobs["text_offset"] == [*range(len(text))]
        assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
        expected_TV = expected_logprobs(model, ids)
        own = [row_V[token] for row_V, token in zip(expected_TV, ids[1:])]
        assert logprobs["token_logprobs"][1:] == pytest.approx(own, abs=1e-5)
        for row_V, token, top in zip(expected_TV, ids[1:], logprobs["top_logprobs"][1:]):
            likely = {int(n) for n in np.argsort(-row_V)[:2]} | {token}
            assert top.keys() == {model.tokenizer.id_to_token(n) for n in likely}


def test_generated_tokens_follow_those_of_the_prompt(server: ServerProcess) -> None:
    asked = {"prompt": "12+34=", "echo": True, "logprobs": 1, "temperature": 0}
    [prompt] = scored(server, **asked, max_tokens=0)
    [whole] = scored(server, **asked, max_tokens=5)
    [alone] = scored(server, **{**asked, "echo": False}, max_tokens=5)
    for name in ("tokens", "token_logprobs", "top_logprobs"):
        assert whole["logprobs"][name] == prompt["logprobs"][name] + alone["logprobs"][name]
    assert whole["text"] == "12+34=" + alone["text"]
    assert whole["logprobs"]["text_offset"] == [*range(len(whole["text"]))]


def test_stream_equals_whole_response(server: ServerProcess) -> None:
    for max_tokens in (0, 4):
        asked = {"prompt": TEXTS, "echo": True, "logprobs": 2, "temperature": 0}
        asked |= {"max_tokens": max_tokens}
        choices = scored(server, **asked)
        events = server.post(PATH, {**asked, "stream": True}).text.split("\n\n")[:-2]
        chunks = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
        for index, choice in enumerate(choices):
            own = [chunk for chunk in chunks if chunk["index"] == index]
            assert "".join(chunk["text"] for chunk in own) == choice["text"]
            assert own[0]["text"] == TEXTS[index]
            for name, values in choice["logprobs"].items():
                parts = [chunk["logprobs"][name] for chunk in own if chunk["logprobs"]]
                assert [value for part in parts for value in part] == values
            assert own[-1]["finish_reason"] == choice["finish_reason"]


def test_nothing_is_generated_for_zero_tokens(server: ServerProcess) -> None:
    response = server.post(PATH, {"prompt": "12+34=", "max_tokens": 0}).json()
    assert response["choices"][0]["text"] == ""
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 0


def test_token_that_ends_a_completion_is_reported(server: ServerProcess) -> None:
    """As by OpenAI and vLLM, so that one token generated is one reported."""
    with_end = None
    for seed in range(40):
        asked = {"prompt": "<|endoftext|>", "logprobs": 0, "temperature": 2, "seed": seed}
        [choice] = scored(server, **asked, max_tokens=60)
        if choice["finish_reason"] == "stop":
            with_end = choice
            break
    assert with_end
    assert with_end["logprobs"]["tokens"][-1] == "<|endoftext|>"
    assert "".join(with_end["logprobs"]["tokens"][:-1]) == with_end["text"]
    assert with_end["logprobs"]["text_offset"][-1] == len(with_end["text"])
    assert all(len(top) == 1 for top in with_end["logprobs"]["top_logprobs"])


def test_prompt_logprobs_of_both_routes(server: ServerProcess, model: LanguageModel) -> None:
    prompt = model.render_prompt(MESSAGES)
    chat = server.chat(prompt_logprobs=1, max_tokens=1, temperature=0).json()
    ids = model.tokenizer.encode_prompt(prompt)
    [choice] = scored(server, prompt=ids, prompt_logprobs=1, max_tokens=1)
    assert choice["prompt_logprobs"] == chat["prompt_logprobs"]
    assert choice["logprobs"] is None
    assert choice["prompt_logprobs"][0] is None
    rows = zip(expected_logprobs(model, ids), ids[1:], choice["prompt_logprobs"][1:], strict=True)
    for row_V, token, position in rows:
        assert position.keys() == {str(token), str(row_V.argmax())}
        for key, one in position.items():
            assert one["logprob"] == pytest.approx(row_V[int(key)], abs=1e-5)
            assert one["rank"] == 1 + (row_V > row_V[int(key)]).sum()
            assert one["decoded_token"] == model.tokenizer.id_to_token(int(key))
    assert "prompt_logprobs" not in server.chat(max_tokens=1).json()


def test_scoring_does_not_change_what_is_generated(server: ServerProcess) -> None:
    asked = {"prompt": ["12+34=", "347*8"], "n": 2, "seed": 5, "max_tokens": 12}
    plain = scored(server, **asked)
    for more in ({"echo": True, "logprobs": 3}, {"prompt_logprobs": 2}):
        texts = [choice["text"] for choice in scored(server, **asked, **more)]
        echoes = ["12+34=", "12+34=", "347*8", "347*8"] if "echo" in more else [""] * 4
        assert texts == [echo + one["text"] for echo, one in zip(echoes, plain, strict=True)]


def test_prompt_as_long_as_the_context_is_scored_and_a_longer_one_refused(
    server: ServerProcess, model: LanguageModel
) -> None:
    block_size = model.engine.config.block_size
    ids = (model.tokenizer.encode("12+34=") * block_size)[:block_size]
    [choice] = scored(server, prompt=ids, echo=True, logprobs=1, max_tokens=1)
    assert len(choice["logprobs"]["tokens"]) == block_size + 1
    assert None not in choice["logprobs"]["token_logprobs"][1:]
    too_long = {"prompt": [*ids, 1], "echo": True, "logprobs": 1, "max_tokens": 0}
    message, param = error_of(server.post(PATH, too_long))
    assert f"maximum context length is {block_size} tokens" in message
    assert param == "prompt"


def test_prompt_logprobs_of_a_stream_are_refused(server: ServerProcess) -> None:
    asked = {"prompt_logprobs": 1, "stream": True}
    for response in (server.post(PATH, {"prompt": "1", **asked}), server.chat(**asked)):
        message, param = error_of(response)
        assert (message.split()[0], param) == ("prompt_logprobs", "prompt_logprobs")


def test_tokens_of_an_earlier_prompt_are_reused(server: ServerProcess) -> None:
    """Usage and metrics say how many; a scored prompt reuses none."""
    begin = "7+8=15," * 12  # of more than one chunk
    asked = {"max_tokens": 3, "temperature": 0}
    names = ("prefix_cache_queries_total", "prefix_cache_hits_total")
    before = [server.metric(name) for name in names]
    first = server.post(PATH, {"prompt": begin + "1", **asked}).json()
    second = server.post(PATH, {"prompt": begin + "2", **asked, "n": 2}).json()
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 64
    after = [server.metric(name) for name in names]
    assert [b - a for a, b in zip(before, after)] == [3 * (len(begin) + 1), 2 * 64]
    repeated = server.post(PATH, {"prompt": begin + "1", **asked}).json()
    assert repeated["choices"] == first["choices"]
    scored_ = server.post(PATH, {"prompt": begin + "1", **asked, "prompt_logprobs": 0}).json()
    assert scored_["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert scored_["choices"][0]["text"] == first["choices"][0]["text"]

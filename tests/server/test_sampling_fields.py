"""Sampling parameters of requests: they mean the same as in Python."""

from __future__ import annotations

from typing import Any

import pytest

import anexa
from tests.server.process import MESSAGES, ServerProcess, reasoning_and_content, streamed

TEXT = "/v1/completions"
FIELDS: list[dict[str, Any]] = [
    {"min_p": 0.3},
    {"repetition_penalty": 1.4},
    {"frequency_penalty": 0.7, "presence_penalty": -0.4},
    {"logit_bias": {5: 4.5, 7: -100}},
    {"min_tokens": 30, "stop_token_ids": [12, 17]},
    {"ignore_eos": True},
    {"top_k": 9, "top_p": 0.8, "min_p": 0.1, "presence_penalty": 1.5},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_completion_equals_that_of_python(server: ServerProcess, fields: dict[str, Any]) -> None:
    how = {"max_tokens": 40, "temperature": 1.2, "seed": 7, **fields}
    body = server.post(TEXT, {"prompt": "12+", **how}).json()
    assert body["choices"][0]["text"] == anexa.load().generate("12+", **how)


@pytest.mark.parametrize("fields", FIELDS)
def test_streamed_answer_equals_that_of_python(
    server: ServerProcess, fields: dict[str, Any]
) -> None:
    how = {"max_tokens": 60, "temperature": 0.9, "seed": 3, **fields}
    answer = anexa.load().chat(MESSAGES, **how)
    assert reasoning_and_content(streamed(server, **how)) == (answer.reasoning, answer.content)


def test_repeat_penalty_is_the_repetition_penalty(server: ServerProcess) -> None:
    how = {"prompt": "12+34=", "temperature": 0}
    texts = [
        server.post(TEXT, {**how, **fields}).json()["choices"]
        for fields in (
            {"repeat_penalty": 1.7},
            {"repetition_penalty": 1.7},
            {"repetition_penalty": 1.7, "repeat_penalty": 1.7},
            {},
        )
    ]
    assert texts[0] == texts[1] == texts[2] != texts[3]


def test_bias_forces_a_token(server: ServerProcess) -> None:
    how = {"prompt": "1", "temperature": 1.0, "logit_bias": {"16": 100}, "max_tokens": 5}
    choice = server.post(TEXT, {**how, "logprobs": 1}).json()["choices"][0]
    assert choice["text"] == anexa.load().tokenizer.decode([16] * 5)
    # Log probabilities are those of the model, without the bias.
    assert min(choice["logprobs"]["token_logprobs"]) < -0.5


def test_best_of_takes_the_texts_with_the_highest_mean_log_probability(
    server: ServerProcess,
) -> None:
    how = {"prompt": ["12+34=", "7"], "temperature": 1.5, "seed": 4, "logprobs": 0, "max_tokens": 9}
    all_texts = server.post(TEXT, {**how, "n": 5}).json()
    best = server.post(TEXT, {**how, "n": 2, "best_of": 5}).json()
    for number in range(2):
        choices = all_texts["choices"][5 * number :][:5]
        means = [
            sum(logprobs) / len(logprobs)
            for logprobs in (choice["logprobs"]["token_logprobs"] for choice in choices)
        ]
        ranked = sorted(range(5), key=lambda at: -means[at])
        for place, at in enumerate(ranked[:2]):
            expected = {**choices[at], "index": 2 * number + place}
            assert best["choices"][expected["index"]] == expected
    assert best["usage"] == all_texts["usage"]


def test_best_of_equal_to_n_streams(server: ServerProcess) -> None:
    body = {"prompt": "1", "n": 2, "best_of": 2, "stream": True, "max_tokens": 3}
    assert server.post(TEXT, body).text.endswith("data: [DONE]\n\n")

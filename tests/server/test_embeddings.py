"""`/v1/embeddings`: numbers, forms of input and output, and bad input."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import anexa
from tests.server.errors import SURROGATE, TOO_LONG, error_of
from tests.server.process import ServerProcess, wait_until

PATH = "/v1/embeddings"
UNSUPPORTED = "is not supported: leave it out"
TEXTS = ["12+34=46", "7", "1*2*3"]


def vectors(response: Any) -> Any:
    body = response.json()
    assert [one["index"] for one in body["data"]] == [*range(len(body["data"]))]
    return np.array([one["embedding"] for one in body["data"]])


def test_embedding_is_the_normalized_mean_of_hidden_states(server: ServerProcess) -> None:
    model = anexa.load()
    response = server.post(PATH, {"input": TEXTS})
    for text, vector in zip(TEXTS, vectors(response), strict=True):
        states_TC = np.array(model.engine.hidden_states(model.tokenizer.encode_prompt(text)))
        mean_C = states_TC.mean(axis=0)
        np.testing.assert_allclose(vector, mean_C / np.linalg.norm(mean_C), atol=1e-6)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    count = sum(len(model.tokenizer.encode_prompt(text)) for text in TEXTS)
    assert response.json()["usage"] == {"prompt_tokens": count, "total_tokens": count}


def test_every_form_of_input_and_output_gives_the_same_numbers(server: ServerProcess) -> None:
    encode = anexa.load().tokenizer.encode_prompt
    expected = vectors(server.post(PATH, {"input": TEXTS}))
    ids = [encode(text) for text in TEXTS]
    assert np.array_equal(vectors(server.post(PATH, {"input": ids})), expected)
    for text, tokens, one in zip(TEXTS, ids, expected):
        assert np.array_equal(vectors(server.post(PATH, {"input": text})), [one])
        assert np.array_equal(vectors(server.post(PATH, {"input": tokens})), [one])
    body = {"input": TEXTS, "encoding_format": "base64", "dimensions": expected.shape[1]}
    encoded = [one["embedding"] for one in server.post(PATH, body).json()["data"]]
    decoded = [np.frombuffer(base64.b64decode(one), "<f4") for one in encoded]
    assert np.array_equal(np.array(decoded, np.float64), expected)


def test_openai_client_reads_embeddings(server: ServerProcess) -> None:
    openai = pytest.importorskip("openai", reason="the openai package is not installed")
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none") as client:
        default = client.embeddings.create(model="anexa", input=TEXTS)  # it asks for base64
        plain = client.embeddings.create(model="anexa", input=TEXTS, encoding_format="float")
    assert [one.embedding for one in default.data] == [one.embedding for one in plain.data]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "is missing"),
        ({"input": None}, "input", "must be a string or a list, not null"),
        ({"input": 7}, "input", "must be a string or a list, not 7"),
        ({"input": ""}, "input", "must not be empty"),
        ({"input": []}, "input", "must not be an empty list"),
        ({"input": ["a", ""]}, "input.1", "must not be empty"),
        ({"input": ["1", 7]}, "input.1", "must be a string, not 7"),
        ({"input": [[]]}, "input", "a prompt of token ids needs at least one"),
        ({"input": [-1]}, "input", "there is no token id -1: the ids of this model are 0 to 100"),
        ({"input": ["1"] * 2049}, "input", "must have at most 2,048 entries, not 2,049"),
        ({"input": "1" * 2600}, "input", f"{TOO_LONG} 2,600 tokens: shorten it"),
        ({"input": ["1", "1" * 2600]}, "input", f"{TOO_LONG} 2,600 tokens: shorten it"),
        ({"input": "\ud800"}, "input", SURROGATE),
        (
            {"input": "1", "encoding_format": "int8"},
            "encoding_format",
            'must be "float" or "base64", not "int8"',
        ),
        ({"input": "1", "normalize": False}, "normalize", UNSUPPORTED),
        ({"input": "1", "add_special_tokens": False}, "add_special_tokens", UNSUPPORTED),
        ({"input": "1", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens", UNSUPPORTED),
        ({"input": "1", "dimensions": 0}, "dimensions", "must be at least 1, not 0"),
        ({"input": "1", "dimensions": "128"}, "dimensions", 'must be an integer, not "128"'),
        (
            {"input": "1", "dimensions": 10**30},
            "dimensions",
            "must be 128, the width of the model, or left out",
        ),
    ],
)
def test_bad_input_is_refused_by_field(
    server: ServerProcess, body: dict[str, object], param: str, words: str
) -> None:
    response = server.post(
        PATH, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    message, field = error_of(response)
    assert field == param
    assert message in (words, f"{param} {words}")


def test_embeddings_of_a_client_that_disconnects_are_not_computed(server: ServerProcess) -> None:
    before = server.metric("prompt_tokens_total"), server.metric("request_success_total")
    with _asking(server, ["1+" * 200] * 2000):
        assert server.post(PATH, {"input": "1"}).status_code == 200, "between two of these texts"
    wait_until(lambda: server.metric("request_success_total") == before[1] + 2)  # one aborted
    assert server.metric("prompt_tokens_total") < before[0] + 10


def test_embeddings_of_several_clients_do_not_stall_a_completion(server: ServerProcess) -> None:
    before = server.metric("prompt_tokens_total"), server.metric("request_success_total")
    with _asking(server, ["1+" * 200] * 200), _asking(server, ["1+" * 200] * 200):
        body = {"prompt": "1", "max_tokens": 8, "ignore_eos": True}
        assert server.post("/v1/completions", body).status_code == 200, "between two of these texts"
    wait_until(lambda: server.metric("request_success_total") == before[1] + 3)  # two aborted
    assert server.metric("prompt_tokens_total") < before[0] + 10


@contextmanager
def _asking(server: ServerProcess, texts: list[str]) -> Iterator[None]:
    """Ask for the embeddings of texts by a client that disconnects at the end of the block."""
    where = urlsplit(server.address)
    body = json.dumps({"input": texts}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield

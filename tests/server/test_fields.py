"""The tables of request fields in docs/api.md are true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from anexa.server.chat_completions import ChatCompletionRequest
from anexa.server.completions import CompletionRequest
from anexa.server.generation_fields import GenerationRequest
from anexa.server.ollama_schemas import ChatRequest, GenerateRequest, OllamaMessage, Options
from anexa.server.responses_request import ResponsesRequest
from anexa.server.unsupported import Neutral
from tests.server.errors import error_of
from tests.server.process import MESSAGES, ServerProcess

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
SECTION = DOCS.read_text(encoding="utf-8").split("\n## Fields of a request\n")[1].split("\n## ")[0]
OPENAI, OTHERS, LIST = re.split(
    r"\nFields of vLLM and llama\.cpp:\n|\nThese fields would change ", SECTION
)
ROW = re.compile(
    r"^\| `(\w+)` \| (chat|completions|both) \| (honored|refused|without effect) \| .*\|$",
    re.MULTILINE,
)
Row = tuple[str, str, str]  # field, route, status

MODELS: dict[str, type[GenerationRequest]] = {
    "chat": ChatCompletionRequest,
    "completions": CompletionRequest,
}
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": MESSAGES, "temperature": 0, "max_tokens": 9},
    "completions": {"prompt": "12+34=", "temperature": 0, "max_tokens": 9},
}
# Values that ask for something; for other fields it is 7.
ASKING: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "function_call": {"name": "add"},
    "functions": [{"name": "add"}],
    "metadata": {"topic": "sums"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "m"},
    "prediction": {"type": "content", "content": "29842"},
    "prompt_cache_key": "sums",
    "prompt_cache_options": {"ttl": "24h"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "somebody",
    "service_tier": "priority",
    "store": True,
    "suffix": "!",
    "user": "somebody",
    "verbosity": "low",
    "web_search_options": {},
}


def rows(table: str) -> list[Row]:
    """The rows of a table; each line of it is one."""
    found = ROW.findall(table)
    assert len(found) == sum(line.startswith("| `") for line in table.splitlines())
    return found


def of_routes(table: str, *statuses: str) -> list[tuple[str, str]]:
    """Each route and each of its fields with one of these statuses."""
    return [
        (route, field)
        for field, routes, status in rows(table)
        if status in statuses
        for route in MODELS
        if routes in (route, "both")
    ]


def neutral_fields(route: str) -> Iterator[tuple[str, Neutral]]:
    """The fields of a route that are refused, unless they ask for nothing."""
    for name, field in MODELS[route].model_fields.items():
        for annotation in field.metadata:
            if isinstance(annotation, Neutral):
                yield name, annotation


@pytest.fixture(scope="module")
def answers(server: ServerProcess) -> dict[str, Any]:
    """The choices of each route without further fields."""
    return {
        route: server.post(PATHS[route], body).json()["choices"] for route, body in BODIES.items()
    }


def test_table_has_the_fields_of_openai() -> None:
    pytest.importorskip("openai", reason="openai is not installed")
    from openai.types import completion_create_params as completions
    from openai.types.chat import completion_create_params as chat

    listed = of_routes(OPENAI, "honored", "refused", "without effect")
    listed.remove(("completions", "response_format"))  # which vLLM's have
    schemas: dict[str, Any] = {
        "chat": chat.CompletionCreateParamsStreaming,
        "completions": completions.CompletionCreateParamsStreaming,
    }
    for route, params in schemas.items():
        expected = params.__required_keys__ | params.__optional_keys__
        assert {field for of_route, field in listed if of_route == route} == expected


def test_no_field_is_listed_twice() -> None:
    in_list = re.findall(r"`(\w+)`", LIST.split("\n\n")[0])
    listed = [field for field, *_ in rows(OPENAI) + rows(OTHERS)] + in_list
    assert len(listed) == len({*listed})


@pytest.mark.parametrize("route", MODELS)
def test_docs_have_every_field_of_the_schema(route: str) -> None:
    assert {*MODELS[route].model_fields} <= {*re.findall(r"`(\w+)`", SECTION)}


@pytest.mark.parametrize(("route", "field"), of_routes(OPENAI + OTHERS, "honored"))
def test_honored_fields_are_in_the_schema(route: str, field: str) -> None:
    assert field in MODELS[route].model_fields
    assert field not in dict(neutral_fields(route))


@pytest.mark.parametrize(("route", "field"), of_routes(OPENAI + OTHERS, "refused"))
def test_refused_fields_are_refused_by_name(server: ServerProcess, route: str, field: str) -> None:
    body = {**BODIES[route], field: ASKING.get(field, 7)}
    message, param = error_of(server.post(PATHS[route], body))
    assert (message, param) == (f"{field} is not supported: leave it out", field)


@pytest.mark.parametrize(("route", "field"), of_routes(OPENAI + OTHERS, "without effect"))
def test_fields_without_effect_change_nothing(
    server: ServerProcess, answers: dict[str, Any], route: str, field: str
) -> None:
    assert field not in MODELS[route].model_fields
    response = server.post(PATHS[route], {**BODIES[route], field: ASKING[field]})
    assert response.json()["choices"] == answers[route]


@pytest.mark.parametrize("route", MODELS)
def test_docs_list_the_fields_that_are_refused(route: str) -> None:
    listed = {
        field for of_route, field in of_routes(OPENAI + OTHERS, "refused") if of_route == route
    }
    in_list = {*re.findall(r"`(\w+)`", LIST)}
    refused = {*dict(neutral_fields(route))}
    assert listed <= refused <= listed | in_list


@pytest.mark.parametrize("route", MODELS)
def test_all_other_refused_fields_are_refused_by_name(server: ServerProcess, route: str) -> None:
    for field, _ in neutral_fields(route):
        message, _ = error_of(server.post(PATHS[route], {**BODIES[route], field: "?"}))
        assert message == f"{field} is not supported: leave it out"


@pytest.mark.parametrize("route", MODELS)
def test_values_that_look_as_if_they_asked_for_nothing_are_refused(
    server: ServerProcess, route: str
) -> None:
    """In llama.cpp, no samplers mean that not even the temperature has an effect."""
    for field, value in (("samplers", []), ("n_predict", -1)):
        message, _ = error_of(server.post(PATHS[route], {**BODIES[route], field: value}))
        assert message == f"{field} is not supported: leave it out"


@pytest.mark.parametrize("route", MODELS)
def test_values_that_ask_for_nothing_change_nothing(
    server: ServerProcess, answers: dict[str, Any], route: str
) -> None:
    for last in (0, -1):
        fields = {name: neutral.values[last] for name, neutral in neutral_fields(route)}
        response = server.post(PATHS[route], {**BODIES[route], **fields})
        assert response.json()["choices"] == answers[route]


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("Responses", [ResponsesRequest]),
        ("Ollama's API", [ChatRequest, GenerateRequest, OllamaMessage, Options]),
    ],
)
def test_docs_of_other_apis_list_the_fields_without_effect(
    heading: str, models: list[type[BaseModel]]
) -> None:
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| without effect \|", section, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    expected = {
        name
        for model in models
        for name, field in model.model_fields.items()
        if (field.description or "").startswith("without effect")
    }
    assert listed - {"input", "options", "reasoning"} == expected

"""Check that the server's responses are what /openapi.json describes, without further fields."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, TypeAdapter

from anexa.server import (
    chat_completions,
    completions,
    embeddings,
    ollama_schemas,
    responses_schemas,
    schemas,
    tokenization,
)

MODELS: dict[str, type[BaseModel]] = {
    "/v1/models": schemas.ModelList,
    "/v1/completions": completions.Completion,
    "/v1/chat/completions": chat_completions.ChatCompletion,
    "/v1/embeddings": embeddings.EmbeddingList,
    "/tokenize": tokenization.TokenizeResponse,
    "/detokenize": tokenization.DetokenizeResponse,
    "/tokenizer_info": tokenization.TokenizerInfo,
    "/v1/responses": responses_schemas.ResponseObject,
    "/api/chat": ollama_schemas.ChatResponse,
    "/api/generate": ollama_schemas.GenerateResponse,
    "/api/tags": ollama_schemas.TagList,
    "/api/show": ollama_schemas.ShowResponse,
    "/api/version": ollama_schemas.Version,
    "/check": schemas.CheckedThought,
    "/health": schemas.Health,
}
CHUNKS: dict[str, type[BaseModel]] = {
    "/v1/completions": completions.CompletionChunk,
    "/v1/chat/completions": chat_completions.ChatCompletionChunk,
}
EVENT: TypeAdapter[Any] = TypeAdapter(
    responses_schemas.ResponseEvent
    | responses_schemas.ItemEvent
    | responses_schemas.PartEvent
    | responses_schemas.DeltaEvent
    | responses_schemas.TextEvent
)


def check_conformance(response: Any) -> None:
    """Check that a response of the API has the form that /openapi.json describes.

    Raises:
        ValidationError: if it does not.
    """
    path = unquote(urlsplit(str(response.url)).path)
    kind = response.headers.get("content-type", "").partition(";")[0]
    if kind == "text/event-stream":
        response.read()
        *events, last, rest = response.text.split("\n\n")
        assert rest == ""
        if path == "/v1/responses":
            for number, event in enumerate([*events, last]):
                name, data = event.split("\ndata: ")
                parsed = EVENT.validate_json(data)
                assert (name, parsed.sequence_number) == (f"event: {parsed.type}", number)
            return
        for event in events:
            CHUNKS[path].model_validate_json(event.removeprefix("data: "))
        if last != "data: [DONE]":
            schemas.ErrorResponse.model_validate_json(last.removeprefix("data: "))
    elif kind == "application/x-ndjson":
        response.read()
        *lines, last = response.text.splitlines()
        for line in lines:
            MODELS[path].model_validate_json(line)
        is_error = json.loads(last).keys() == {"error"}
        (ollama_schemas.OllamaError if is_error else MODELS[path]).model_validate_json(last)
    elif kind == "application/json":
        response.read()
        model = MODELS.get(path, schemas.ModelInfo if path.startswith("/v1/models/") else None)
        if response.status_code >= 400:
            loading = path == "/health" and response.status_code == 503
            model = schemas.Unhealthy if loading else schemas.ErrorResponse
            if path.startswith("/api/") and isinstance(response.json().get("error"), str):
                model = ollama_schemas.OllamaError
        if model:
            model.model_validate_json(response.content)

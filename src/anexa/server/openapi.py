"""OpenAPI descriptions of streams, which FastAPI does not generate from response models."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from anexa.server.schemas import Chunk, ErrorResponse, ResponseModel

_REF = "#/components/schemas/{model}"


def describe_stream(chunk: type[Chunk]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is a stream of chunks if `stream` is true.

    Args:
        chunk: model of a chunk.

    Returns:
        The argument `responses` of the route.
    """
    data = _json_of(chunk, ErrorResponse)
    return _describe(
        "A server-sent event: a chunk, an error that ends the stream, or `[DONE]`.",
        {"data": {"anyOf": [data, {"const": "[DONE]"}]}},
    )


def describe_events(*events: type[ResponseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is a stream of events if `stream` is true.

    Args:
        events: models of the events.

    Returns:
        The argument `responses` of the route.
    """
    return _describe(
        "A server-sent event with the name of its type.",
        {"event": {"type": "string"}, "data": _json_of(*events)},
    )


def _json_of(*models: type[ResponseModel]) -> dict[str, Any]:
    """Return the JSON schema of a string that is one of these objects as JSON."""
    references = [{"$ref": _REF.format(model=model.__name__)} for model in models]
    return {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": references},
    }


def _describe(description: str, properties: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    event = {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [*properties],
    }
    return {
        200: {
            "description": "The whole response, or a stream of events if `stream` is true.",
            "content": {"text/event-stream": {"schema": event}},
        }
    }


def chunk_schemas(*chunks: type[ResponseModel]) -> dict[str, Any]:
    """Return the JSON schemas of chunks or events and of the objects in them, by class name."""
    _, found = models_json_schema([(chunk, "serialization") for chunk in chunks], ref_template=_REF)
    schemas: dict[str, Any] = found["$defs"]
    return schemas

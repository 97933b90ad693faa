"""Error responses as one sentence: which field of a request is wrong, and which values it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from anexa.errors import AnexaError, OutOfMemoryError, one_line
from anexa.ranges import BOUNDS, TYPE_NAMES
from anexa.server.errors import APIError, as_api_error

MAX_SHOWN_CHARS = 40  # characters; longer strings are not repeated in messages
BODY_NAME = "the body of the request"  # what a message calls the body if no field is wrong
# What a value must be, by pydantic's types of errors about a value of the wrong type.
TYPE_DESCRIPTIONS = {
    "string_type": "a string",
    "int_type": TYPE_NAMES[int],
    "float_type": TYPE_NAMES[float],
    "bool_type": "true or false",
    "int_parsing": TYPE_NAMES[int],
    "int_parsing_size": TYPE_NAMES[int],
    "int_from_float": TYPE_NAMES[int],
    "float_parsing": TYPE_NAMES[float],
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
# Keys of `BOUNDS`, by pydantic's types of errors about a number out of range.
BOUND_NAMES = {
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
}
# Pydantic's types of errors about the field that names an object's type (the discriminator).
UNION_TAGS = ("union_tag_invalid", "union_tag_not_found")
QUOTE = "'"  # around the names in pydantic's messages
ErrorDetails = Mapping[str, Any]  # an error as pydantic describes it
FieldPath = tuple[str | int, ...]  # path of a value in the body: field names and list indices


def describe_error(errors: Sequence[ErrorDetails], body: object) -> tuple[str, str | None]:
    """Build the message about the first validation error of a request body.

    For a field with several types (a union), pydantic reports an error for each type. The client
    probably meant the type for which the value, not the type, is wrong; or else the one whose error
    is at the deepest position.

    Args:
        errors: pydantic's errors, at least one.
        body: request body, parsed from JSON.

    Returns:
        A sentence, without a period; and the path of the field, such as `messages.0.content`, or
        None if the whole body is wrong.
    """
    first = errors[0]
    path, union_at = _path(first, body)
    meant = [first]
    if union_at is not None:
        first_errors: dict[object, ErrorDetails] = {}  # of each type in the union
        for error in errors:
            if len(error["loc"]) > union_at and error["loc"][:union_at] == first["loc"][:union_at]:
                kind = error["loc"][union_at]
                if kind not in first_errors or _is_within(error, first_errors[kind], body):
                    first_errors[kind] = error
        meant = [error for error in first_errors.values() if error["type"] not in TYPE_DESCRIPTIONS]
        meant = meant or [*first_errors.values()]
        path = max(_path(error, body)[0] for error in meant)
        meant = [error for error in meant if _path(error, body)[0] == path]
    field = ".".join(map(str, path))[:200]
    return f"{field or BODY_NAME} {_condition(meant)}", field or None


def _is_within(error: ErrorDetails, other: ErrorDetails, body: object) -> bool:
    """Return whether an error is within a value that another error is about.

    Of a union within a union, one error is about the type of the value, another about a part of it.
    """
    path, _ = _path(error, body)
    outer, _ = _path(other, body)
    return (
        other["type"] in TYPE_DESCRIPTIONS
        and len(path) > len(outer)
        and path[: len(outer)] == outer
    )


def _path(error: ErrorDetails, body: object) -> tuple[FieldPath, int | None]:
    """Find the wrong value that an error is about.

    Returns:
        The path of the value in the body; and the index in `loc` of the type of the first union,
        None without a union.
    """
    path: list[str | int] = []
    union_at = None
    value: Any = body
    for position, part in enumerate(error["loc"][1:], 1):
        is_missing = error["type"] == "missing" and position == len(error["loc"]) - 1
        if is_missing or part in (value if isinstance(value, dict) else ()):
            path.append(part)
            value = None if is_missing else value[part]
        elif isinstance(value, list) and isinstance(part, int):
            path.append(part)
            value = value[part]
        elif union_at is None:
            union_at = position
    if error["type"] in UNION_TAGS:
        path.append(error["ctx"]["discriminator"].strip(QUOTE))
    return tuple(path), union_at


def _condition(errors: Sequence[ErrorDetails]) -> str:
    """Return the violated condition in words, such as "must be a number".

    Several errors are about the types of one union; the words name all of its types.
    """
    error = errors[0]
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind in TYPE_DESCRIPTIONS:
        *types, last = dict.fromkeys(TYPE_DESCRIPTIONS[error["type"]] for error in errors)
        return f"must be {', '.join(types)}{' or ' if types else ''}{last}, not {_shown(value)}"
    if kind == "union_tag_invalid":
        expected = context["expected_tags"].replace(QUOTE, '"').replace(", ", " or ")
        return f"must be {expected}, not {_shown(value[context['discriminator'].strip(QUOTE)])}"
    if kind in ("missing", "union_tag_not_found"):
        return "is missing"
    if kind == "string_pattern_mismatch":
        return "is not a token id"
    if kind in ("unsupported", "extra_forbidden"):
        return "is not supported: leave it out"
    if kind == "literal_error":
        expected = context["expected"].replace("'", '"')
        return f"must be {expected}, not {_shown(value)}"
    if kind == "finite_number":
        return f"must be a finite number, not {_shown(value)}"
    if kind in BOUND_NAMES:
        name = BOUND_NAMES[kind]
        _, words = BOUNDS[name]
        return f"must be {words} {_number(context[name])}, not {_shown(value)}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']:,} characters, not {len(value):,}"
    if kind == "too_long":
        return f"must have at most {context['max_length']:,} entries, not {len(value):,}"
    if kind == "string_unicode":
        return "contains an unpaired surrogate, which is not a character"
    return f"is not valid ({error['msg']})"


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0")


def _shown(value: object) -> str:
    """Return a value as JSON for a message; of a long value, only its type."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str) and len(value) > MAX_SHOWN_CHARS:
        return f"a string of {len(value):,} characters"
    return one_line(json.dumps(value, ensure_ascii=False))


def invalid_request(error: RequestValidationError) -> APIError:
    """Convert FastAPI's error about the body or a parameter of the URL to one with status 400."""
    first = error.errors()[0]
    if first["loc"][0] in ("query", "path"):
        name = str(first["loc"][1])
        return APIError(f"{name} {_condition([first])}", name)
    if first["type"] == "json_invalid":
        return APIError(f"{BODY_NAME} is not JSON, from character {first['loc'][1] + 1} on")
    if isinstance(error.body, bytes):  # FastAPI parses a body only if its type is JSON
        return APIError(f"{BODY_NAME} must be JSON, and say so: Content-Type: application/json")
    return APIError(*describe_error(error.errors(), error.body))


def add_error_handlers(app: FastAPI, advice: str) -> None:
    """Make an application report errors in the form of OpenAI's API.

    These are invalid requests, HTTP errors such as 404, `AnexaError`s, which have status 400 unless
    they are `APIError`s, and a `MemoryError`, which has status 503.

    Args:
        app: application whose errors are handled.
        advice: clause about what to do if a path does not exist, such as "see /docs".
    """

    @app.exception_handler(RequestValidationError)
    async def invalid_body(_request: Request, error: RequestValidationError) -> Response:
        return invalid_request(error).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path = one_line(request.url.path[:100])
        message = {
            400: f"{BODY_NAME} cannot be read as JSON",  # FastAPI does not say more
            404: f"there is nothing at {path}: {advice}",
            405: f"{path} does not take {request.method}: {advice}",
        }.get(error.status_code, str(error.detail))
        return APIError(message, status=error.status_code).response(error.headers)

    @app.exception_handler(APIError)
    async def api_error(_request: Request, error: APIError) -> Response:
        return error.response()

    @app.exception_handler(OutOfMemoryError)  # which would be treated as another AnexaError
    @app.exception_handler(MemoryError)
    async def memory_error(_request: Request, error: MemoryError) -> Response:
        return as_api_error(error).response()

    @app.exception_handler(AnexaError)
    async def other_error(_request: Request, error: AnexaError) -> Response:
        return APIError(str(error)).response()

"""What went wrong, as a sentence: what it is, in which field, and what it has to be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from anexa.errors import AnexaError, one_line
from anexa.server import responses
from anexa.server.api import RequestError
from anexa.server.jobs import ServiceError

LONGEST = 40  # characters that are shown of a value
BODY = "the body of the request"
KINDS = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
Error = Mapping[str, Any]
Place = tuple[str | int, ...]


def sentence(errors: Sequence[Error], body: object) -> tuple[str, str | None]:
    """What pydantic found wrong with a body, and the field.

    Of a value that may have several forms pydantic tells why it has none of them. Meant was the
    form of which something else is wrong than a kind, or else that which fits it furthest.
    """
    first = errors[0]
    place, form = _place(first, body)
    meant = [first]
    if form is not None:
        forms: dict[object, Error] = {}  # of each the first error
        for error in errors:
            if len(error["loc"]) > form and error["loc"][:form] == first["loc"][:form]:
                forms.setdefault(error["loc"][form], error)
        meant = [one for one in forms.values() if one["type"] not in KINDS] or [*forms.values()]
        place = max(_place(one, body)[0] for one in meant)
        meant = [one for one in meant if _place(one, body)[0] == place]
    field = ".".join(map(str, place))[:200]
    return f"{field or BODY} {_words(meant)}", field or None


def _place(error: Error, body: object) -> tuple[Place, int | None]:
    """Where in the body a value is, and which part of pydantic's path first names a form of it."""
    place: list[str | int] = []
    form = None
    value: Any = body
    for number, part in enumerate(error["loc"][1:], 1):
        missing = error["type"] == "missing" and number == len(error["loc"]) - 1
        if missing or part in (value if isinstance(value, dict) else ()):
            place.append(part)
            value = None if missing else value[part]
        elif isinstance(value, list) and isinstance(part, int):
            place.append(part)
            value = value[part]
        elif form is None:
            form = number
    return tuple(place), form


def _words(errors: Sequence[Error]) -> str:
    """What is wrong with a value; of several errors each names a kind that it could have."""
    error = errors[0]
    kind, about, value = error["type"], error.get("ctx", {}), error["input"]
    if kind in KINDS:
        *some, last = dict.fromkeys(KINDS[error["type"]] for error in errors)
        return f"must be {', '.join(some)}{' or ' if some else ''}{last}, not {_shown(value)}"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        expected = about["expected"].replace("'", '"')
        return f"must be {expected}, not {_shown(value)}"
    if kind == "finite_number":
        return f"must be a finite number, not {_shown(value)}"
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"must be {words} {_number(about[name])}, not {_shown(value)}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind == "string_too_long":
        return f"must have at most {about['max_length']:,} characters, not {len(value):,}"
    if kind == "too_long":
        return f"must have at most {about['max_length']:,} entries, not {len(value):,}"
    if kind == "string_unicode":
        return "has half of a surrogate pair in it, which is no character"
    return f"is not valid ({error['msg']})"


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0")


def _shown(value: object) -> str:
    """A value as JSON has it, if it is short; else what it is."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"a string of {len(value):,} characters"
    return one_line(json.dumps(value, ensure_ascii=False))


def _answer(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    headers = {**(headers or {}), **({"Retry-After": "1"} if status == 503 else {})}
    return JSONResponse(responses.error(message, kind, **more), status, headers)


def add_errors(app: FastAPI) -> None:
    """Have an application say what went wrong as OpenAI's does."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _answer(400, f"{BODY} is not JSON, from character {first['loc'][1] + 1} on")
        if isinstance(error.body, bytes):  # FastAPI has not tried to read it
            return _answer(400, f"{BODY} must be JSON, and say so: Content-Type: application/json")
        message, field = sentence(error.errors(), error.body)
        return _answer(400, message, param=field)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        path = one_line(request.url.path[:100])
        message = {
            400: f"{BODY} cannot be read as JSON",  # all that FastAPI says of it
            404: f"there is nothing at {path}: see /docs",
            405: f"{path} does not take {request.method}: see /docs",
        }.get(error.status_code, str(error.detail))
        return _answer(error.status_code, message, headers=error.headers)

    @app.exception_handler(ServiceError)
    async def service(_request: Request, error: ServiceError) -> JSONResponse:
        return _answer(error.status, str(error), "server_error", code=error.code)

    @app.exception_handler(AnexaError)
    async def ours(_request: Request, error: AnexaError) -> JSONResponse:
        if isinstance(error, RequestError):
            kind = "server_error" if error.status >= 500 else "invalid_request_error"
            return _answer(error.status, str(error), kind, param=error.param, code=error.code)
        return _answer(400, str(error))

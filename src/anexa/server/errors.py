"""Errors that the API reports to its clients, each with an HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from anexa.errors import AnexaError
from anexa.server.schemas import ErrorObject, ErrorResponse

ErrorType = Literal["invalid_request_error", "authentication_error", "server_error"]


class APIError(AnexaError):
    """An error that ends a request.

    Args:
        message: one sentence for the client.
        param: field of the request body that is wrong, or None.
        status: HTTP status; None for the status of the class.
        code: machine-readable code; None for the code of the class.
    """

    status = 500
    code: str | None = None

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status, self.code = status or self.status, code or self.code

    @property
    def response(self) -> ErrorResponse:
        """The error as a response body."""
        return error_response(self.status, str(self), self.param, self.code)


class InvalidRequest(APIError):
    """The request is invalid."""

    status = 400


class QueueFull(APIError):
    """The queue is full, or there is not enough memory for another sequence."""

    status, code = 503, "overloaded"


class ShuttingDown(APIError):
    """The server shuts down before a request is finished."""

    status, code = 503, "shutting_down"


class RequestTimeout(APIError):
    """A request took longer than the server allows."""

    status, code = 504, "timeout"


def error_response(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> ErrorResponse:
    """Build the body of an error; its type follows from the HTTP status."""
    kind: ErrorType = "server_error" if status >= 500 else "invalid_request_error"
    if status == 401:
        kind = "authentication_error"
    return ErrorResponse(error=ErrorObject(message=message, type=kind, param=param, code=code))


def error_headers(status: int) -> Mapping[str, str]:
    """Headers that an error of this status needs."""
    return {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status, {})

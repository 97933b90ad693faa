"""Errors that the API reports to its clients, each with an HTTP status."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import Response

from anexa.errors import AnexaError, OutOfMemoryError
from anexa.server.schemas import ErrorObject, ErrorResponse, ErrorType, json_response

# Headers of error responses, by HTTP status.
STATUS_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


class APIError(AnexaError):
    """Error that ends a request with an HTTP status and one sentence.

    Args:
        message: one sentence for the client.
        param: field of the request body that is wrong; None if it is no field.
        status: HTTP status; default: 400, the request cannot be answered as it is.
        code: machine-readable code; default: None.

    Attributes:
        status: HTTP status of the response.
    """

    def __init__(
        self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self._param, self._code = status, param, code

    @property
    def body(self) -> ErrorResponse:
        """Body of the response; the type of the error follows from the HTTP status."""
        kind: ErrorType = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 401:
            kind = "authentication_error"
        error = ErrorObject(message=str(self), type=kind, param=self._param, code=self._code)
        return ErrorResponse(error=error)

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Build the response to the request, with the headers of its status and further ones."""
        all_headers = {**(headers or {}), **STATUS_HEADERS.get(self.status, {})}
        return json_response(self.body, self.status, all_headers)


def overloaded_error() -> APIError:
    """Create the error about a request for which memory is short at the moment."""
    message = "there is not enough memory at the moment: try again in a second"
    return APIError(message, status=503, code="overloaded")


def as_api_error(error: Exception) -> APIError:
    """Convert an exception of any kind, raised while a request was computed, to an APIError."""
    if isinstance(error, OutOfMemoryError):  # its own sentence says what to do
        return APIError(str(error), status=503, code="overloaded")
    if isinstance(error, MemoryError):
        return overloaded_error()
    if isinstance(error, AnexaError):
        return APIError(str(error), status=500)
    return APIError(f"internal error ({type(error).__name__})", status=500)

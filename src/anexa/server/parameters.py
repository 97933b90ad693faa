"""Types of the parameters in the path and the query of a request."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

from anexa.ranges import parse_int


def _read_int(value: object) -> object:
    """Read the text of a parameter; a default value stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_int(value)
    except ValueError:
        raise PydanticKnownError("int_parsing") from None


IntParameter = Annotated[int, BeforeValidator(_read_int)]
"""Integer in a path or a query; unlike pydantic's, 1_0 and 10.0 are none, as on the command line"""

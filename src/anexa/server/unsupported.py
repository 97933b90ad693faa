"""Fields of other servers' APIs that are known and not honored."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Neutral:
    """Annotation of a field that is not supported: it is refused by name.

    Values that ask for nothing are accepted.

    Args:
        values: values besides null that ask for nothing, such as False or an empty list. A value of
            another type is not the same: if False is accepted, 0 is not.

    Attributes:
        values: values that ask for nothing, null included.
    """

    def __init__(self, *values: object) -> None:
        self.values = [None, *values]

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": self.values, "description": "not supported"}

    def _check(self, value: object) -> object:
        if any(type(value) is type(one) and value == one for one in self.values):
            return value
        raise PydanticCustomError("unsupported", "not supported")


Unsupported: TypeAlias = object
"""Type of a field with the annotation `Neutral`."""

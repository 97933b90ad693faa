"""Numeric settings: how they are read, their ranges, and the error about a number out of range.

The Python API, the command line and the server use the same ranges and messages; the JSON schemas
of the server are generated from the ranges.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from numbers import Integral, Real

from anexa.errors import UsageError, short_repr

# Words for the types of a `Range`, for error messages.
TYPE_NAMES = {int: "an integer", float: "a number"}
# Bounds of a `Range`: the comparison of a value with the bound that must hold, and its words.
BOUNDS = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}
# Notations of numbers. Python's `int` and `float` also read underscores, surrounding white space
# and the digits of other scripts; some versions refuse to read more than 4,300 digits.
_INT = re.compile(r"[-+]?[0-9]{1,4000}")
_FLOAT = re.compile(
    r"[-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?|inf(inity)?|nan)", re.IGNORECASE
)


def parse_int(text: str) -> int:
    """Read a whole number that a user has written, such as 10 or -3.

    Raises:
        ValueError: if the text is anything else, such as "1_0", " 10", "10.0" or "1e1", or has
            more than 4,000 digits.
    """
    if not _INT.fullmatch(text):
        raise ValueError(f"{short_repr(text)} is not a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Read a number that a user has written, such as 10, -0.5 or 1e-3.

    Returns:
        The number; for "inf" and "nan", a float that no `Range` allows.

    Raises:
        ValueError: if the text is anything else, such as "1_0", " 10" or "0x10".
    """
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"{short_repr(text)} is not a number")
    return float(text)


@dataclass(frozen=True)
class Range:
    """A range of finite numbers; the bounds have pydantic's names, and None means no bound.

    Attributes:
        kind: `int`; or `float`, which also allows integers.
        gt: exclusive lower bound.
        ge: inclusive lower bound.
        lt: exclusive upper bound.
        le: inclusive upper bound.
    """

    kind: type[int] | type[float]
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are not None, by name."""
        return {name: bound for name in BOUNDS if (bound := getattr(self, name)) is not None}

    def check(self, name: str, value: object) -> None:
        """Check that a value is in the range.

        Args:
            name: name of the setting, with which the error message begins.
            value: value from the user, of any type.

        Raises:
            UsageError: if the value is not a number in the range.
        """
        number = Integral if self.kind is int else Real
        if not isinstance(value, number) or isinstance(value, bool):
            raise UsageError(f"{name} must be {TYPE_NAMES[self.kind]}, not {short_repr(value)}")
        if self.kind is float and not _is_finite(value):
            raise UsageError(f"{name} must be a finite number, not {short_repr(value)}")
        for bound_name, bound in self.bounds.items():
            holds, words = BOUNDS[bound_name]
            if not holds(value, bound):
                raise UsageError(f"{name} must be {words} {bound:,}, not {short_repr(value)}")


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that is too large for a float
        return False

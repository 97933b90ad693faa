"""Ranges of the numbers that users give, and the sentence about a number that is out of its range.

The same sentence stands in the errors of the Python API, of the command line and of the server,
whose JSON schemas are made from the ranges too.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from numbers import Integral, Real

from anexa.errors import UsageError, short_repr

KINDS = {int: "an integer", float: "a number"}
BOUNDS = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}


@dataclass(frozen=True)
class Range:
    """The numbers of a kind between two bounds; infinity and NaN are in no range.

    Attributes:
        kind: `int`, or `float`, of which whole numbers are too.
        gt: lower bound, which is not in the range.
        ge: lower bound, which is in the range.
        lt: upper bound, which is not in the range.
        le: upper bound, which is in the range.
    """

    kind: type[int] | type[float]
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that there are, by name."""
        return {name: bound for name in BOUNDS if (bound := getattr(self, name)) is not None}

    def check(self, name: str, value: object) -> None:
        """Check that a value is in the range.

        Raises:
            UsageError: if it is not; the message begins with the `name`.
        """
        number = Integral if self.kind is int else Real
        if not isinstance(value, number) or isinstance(value, bool):
            raise UsageError(f"{name} must be {KINDS[self.kind]}, not {short_repr(value)}")
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

"""Splits of the arithmetic corpus: training problems, and held-out ones."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["training", "validation", "test"]
"""Training data; "validation" for model selection, "test" for reported results."""

_VALIDATION = 0.02  # fraction of all problems


def split_of(operation: str, a: int, b: int) -> Split:
    """Return the split of a problem; the order of the operands does not matter.

    A hash of the operands assigns 2 % of all problems to "test" (20 % of the products of two digits
    by two, of which there are few). Problems on single digits are all for training: the facts of
    thoughts are such problems. Trailing zeros of a factor are ignored: they change neither
    digits nor carries.
    """
    if operation == "*":
        a, b = (int(str(factor).rstrip("0") or 0) for factor in (a, b))
    small, large = sorted((a, b))
    if large < 10:
        return "training"
    two_by_two = operation == "*" and small >= 10 and large < 100
    return split_at(f"{operation} {small} {large}", test=0.2 if two_by_two else 0.02)


def split_at(key: str, test: float) -> Split:
    """Return the split of a key by its hash; `test` is the fraction of keys in "test"."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") / 2**64  # uniform in [0, 1)
    if position < test:
        return "test"
    return "validation" if position < test + _VALIDATION else "training"

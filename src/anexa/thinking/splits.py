"""Parts of the corpus: which problems are trained on, and which are never."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["training", "validation", "test"]
"""Models are chosen by what they make of "validation", and reported on "test"."""

_VALIDATION = 0.02  # of all


def split_of(operation: str, a: int, b: int) -> Split:
    """That of a pair of operands, which is the same in either order.

    2 % are for tests, drawn by a hash; of the few products of two digits by two, 20 %. Digits by
    digits are all for training: they are the facts of every thought. Zeros behind a factor change
    nothing: a product with them has the same digits and carries.
    """
    if operation == "*":
        a, b = (int(str(factor).rstrip("0") or 0) for factor in (a, b))
    small, large = sorted((a, b))
    if large < 10:
        return "training"
    two_by_two = operation == "*" and small >= 10 and large < 100
    return split_at(f"{operation} {small} {large}", test=0.2 if two_by_two else 0.02)


def split_at(key: str, test: float) -> Split:
    """The part to which a hash of the key assigns it, if such a share is for tests."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    if share < test:
        return "test"
    return "validation" if share < test + _VALIDATION else "training"

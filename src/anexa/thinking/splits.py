"""Splits of the arithmetic corpus: training problems, and held-out ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from anexa.thinking.thoughts import COMPARISONS, ThoughtStep, rewrite_unsigned

Split = Literal["training", "validation", "test"]
"""Name of a split: "training", "validation" for model selection, "test" for reported results."""

MENTAL_PRODUCTS = (
    (12, 12),
    (123, 456),
    (1234, 5678),
    (12345, 6789),
    (123456, 789012),
    (1234567, 8901234),
    (987654321, 123456789),
)
"""Factors of the products in a public test of language models (https://sanand0.github.io/llmmath).

They are always in "test", as are their multiples by powers of ten."""

_VALIDATION_FRACTION = 0.02  # of all problems
_MENTAL = {
    tuple(sorted(int(str(factor).rstrip("0")) for factor in pair)) for pair in MENTAL_PRODUCTS
}


def split_of(operation: str, a: int, b: int) -> Split:
    """Return the split of a problem on two numbers.

    A hash of the operands assigns 2 % of all problems to "validation" and 2 % to "test"; of the
    products of two digits by two and of the divisions of up to two digits by one, which are few, it
    assigns 20 % to "test". `MENTAL_PRODUCTS` are always in "test". Problems on single digits are
    all for training: the facts of thoughts are such problems. The order of the operands matters in
    a division only. Trailing zeros of a factor are ignored: they change neither digits nor carries.

    Args:
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`, or "?" for either of these, which
            have the same splits.
        a: the first operand, not negative.
        b: the second operand, not negative.
    """
    if operation == "*":
        a, b = (int(str(factor).rstrip("0") or 0) for factor in (a, b))
    small, large = (a, b) if a < b else (b, a)
    if large < 10:
        return "training"
    if operation == "/":
        return split_by_hash(f"/ {a} {b}", test_fraction=0.2 if a < 100 and b < 10 else 0.02)
    if operation == "*" and (small, large) in _MENTAL:
        return "test"
    two_by_two = operation == "*" and small >= 10 and large < 100
    kind = "?" if operation in COMPARISONS else operation
    return split_by_hash(f"{kind} {small} {large}", test_fraction=0.2 if two_by_two else 0.02)


def split_of_numbers(kind: str, numbers: Iterable[int]) -> Split:
    """Return the split of a "chain" or a "story" by a hash of its numbers, in any order.

    "validation" and "test" have 2 % each.
    """
    return split_by_hash(f"{kind} {' '.join(map(str, sorted(numbers)))}", test_fraction=0.02)


def computes_held_out(step: ThoughtStep) -> bool:
    """Return whether a step computes a held-out problem: training on its line would reveal it."""
    _, operation, a, b = rewrite_unsigned(step.operation, step.a, step.b)
    return split_of(operation, a, b) != "training"


def split_by_hash(key: str, test_fraction: float) -> Split:
    """Return the split of a key by its hash.

    Args:
        key: text that identifies the problem.
        test_fraction: fraction of all keys in "test"; another 2 % are in "validation".
    """
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") / 2**64  # uniform in [0, 1)
    if position < test_fraction:
        return "test"
    return "validation" if position < test_fraction + _VALIDATION_FRACTION else "training"

"""Format of thoughts: long arithmetic, as on paper, with every step written out.

A thought is a list of lines of the form `expression:facts:value`. There is one fact for each
column, units first, and each fact is a true equation of eight characters:

    347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082          digit*digit+carry = carry and digit
    347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760        the zeros of the factor are appended
    02082+27760:2+0+0=02,8+6+0=14,…:29842          digit+digit+carry = carry and digit

Before a difference, its operands are compared from the left up to the first pair of different
digits. The smaller operand is then subtracted from the larger:

    0478?5003:0<5:<                                478-5003
    -(5003-0478):13-8-0=5,10-7-1=2,…:-4525         digit-digit-borrow, ten added where it borrows

The operands of sums and differences are padded with zeros to the same width, and so is the value of
a difference: `5003-4998` is `0005`. So the digits of a column are always equally far apart, which
suits attention. Every value is used in a later line, or it is the answer, which has no leading
zeros.
"""

from __future__ import annotations

from typing import NamedTuple


class ThoughtStep(NamedTuple):
    """One line of a thought, and what it computes.

    Attributes:
        text: the line.
        operation: "+", "-", "*", or "?" for a comparison.
        a: the first operand, in the order of the question.
        b: the second operand.
        value: the result; -1, 0 or 1 for a comparison.
    """

    text: str
    operation: str
    a: int
    b: int
    value: int


def add(a: int, b: int) -> ThoughtStep:
    """Write out a sum."""
    left, right = _equally_wide(a, b)
    facts, carry = [], 0
    for x, y in zip(reversed(left), reversed(right)):
        total = int(x) + int(y) + carry
        facts.append(f"{x}+{y}+{carry}={total:02}")
        carry = total // 10
    return ThoughtStep(f"{left}+{right}:{','.join(facts)}:{a + b}", "+", a, b, a + b)


def compare(a: int, b: int) -> ThoughtStep:
    """Write out a comparison."""
    left, right = _equally_wide(a, b)
    facts = []
    for x, y in zip(left, right):
        facts.append(f"{x}{relation(int(x), int(y))}{y}")
        if x != y:
            break
    said = relation(a, b)
    return ThoughtStep(f"{left}?{right}:{','.join(facts)}:{said}", "?", a, b, "<=>".index(said) - 1)


def relation(a: int, b: int) -> str:
    """Compare two numbers: "<", "=" or ">"."""
    return "<" if a < b else ">" if a > b else "="


def subtract(a: int, b: int) -> ThoughtStep:
    """Write out a difference, which may be negative."""
    left, right = _equally_wide(max(a, b), min(a, b))
    facts, borrowed = [], 0
    for x, y in zip(reversed(left), reversed(right)):
        borrows = int(x) < int(y) + borrowed
        facts.append(f"{borrows:d}{x}-{y}-{borrowed}={10 * borrows + int(x) - int(y) - borrowed}")
        borrowed = int(borrows)
    expression, sign = (f"{left}-{right}", "") if a >= b else (f"-({left}-{right})", "-")
    value = str(abs(a - b)).zfill(len(left))
    return ThoughtStep(f"{expression}:{','.join(facts)}:{sign}{value}", "-", a, b, a - b)


def scale(a: int, digit: int, zeros: int = 0) -> ThoughtStep:
    """Write out the product of `a` with a digit that is followed by zeros."""
    facts, carry = [], 0
    for x in reversed(str(a)):
        total = int(x) * digit + carry
        facts.append(f"{x}*{digit}+{carry}={total:02}")
        carry = total // 10
    factor = digit * 10**zeros
    return ThoughtStep(f"{a}*{factor}:{','.join(facts)}:{a * factor}", "*", a, factor, a * factor)


def multiply(a: int, b: int) -> list[ThoughtStep]:
    """Write out a product: one line for each nonzero digit of `b`, added to the sum so far."""
    places = [(int(digit), zeros) for zeros, digit in enumerate(reversed(str(b))) if digit != "0"]
    steps: list[ThoughtStep] = []
    total = None
    for digit, zeros in places or [(0, 0)]:
        part = scale(a, digit, zeros)
        steps.append(part)
        if total is not None:
            steps.append(add(total, part.value))
        total = steps[-1].value
    return steps


def steps_of(operation: str, a: int, b: int) -> list[ThoughtStep]:
    """Write out `a` operation `b`; the value of the last step is the result."""
    if operation == "*":
        return multiply(a, b)
    return [add(a, b)] if operation == "+" else [compare(a, b), subtract(a, b)]


def _equally_wide(a: int, b: int) -> tuple[str, str]:
    width = max(len(str(a)), len(str(b)))
    return str(a).zfill(width), str(b).zfill(width)

"""Arithmetic as it is done on paper, with every step written out.

A thought is lines, and a line is `expression:facts:value`. The facts go from the units to the left,
one a column, each a true equation of eight characters:

    347*6:7*6+0=42,4*6+4=28,3*6+2=20:2082          digit*digit+carry = carry and digit
    347*80:7*8+0=56,4*8+5=37,3*8+3=27:27760        the zeros of the factor are put behind
    02082+27760:2+0+0=02,8+6+0=14,…:29842          digit+digit+carry = carry and digit
    5003-0478:13-8-0=5,10-7-1=2,…:4525             with what is borrowed: digit-digit-borrowed
    -(5003-0478):13-8-0=5,…:-4525                  478-5003

The operands of sums and differences are written equally wide, so that the digits of a column are
always equally far apart. Every value is used in a later line, or is the answer.
"""

from __future__ import annotations


def add(a: int, b: int) -> tuple[str, int]:
    """The line of a sum, and its value."""
    width = max(len(str(a)), len(str(b)))
    left, right = str(a).zfill(width), str(b).zfill(width)
    facts, carry = [], 0
    for x, y in zip(reversed(left), reversed(right)):
        total = int(x) + int(y) + carry
        facts.append(f"{x}+{y}+{carry}={total:02}")
        carry = total // 10
    return f"{left}+{right}:{','.join(facts)}:{a + b}", a + b


def subtract(a: int, b: int) -> tuple[str, int]:
    """The line of a difference, and its value, which may be negative."""
    width = max(len(str(a)), len(str(b)))
    left, right = str(max(a, b)).zfill(width), str(min(a, b)).zfill(width)
    facts, borrowed = [], 0
    for x, y in zip(reversed(left), reversed(right)):
        borrows = int(x) < int(y) + borrowed
        facts.append(f"{borrows:d}{x}-{y}-{borrowed}={10 * borrows + int(x) - int(y) - borrowed}")
        borrowed = int(borrows)
    expression = f"{left}-{right}" if a >= b else f"-({left}-{right})"
    return f"{expression}:{','.join(facts)}:{a - b}", a - b


def scale(a: int, digit: int, zeros: int = 0) -> tuple[str, int]:
    """The line of a product with a digit and zeros behind it, and its value."""
    facts, carry = [], 0
    for x in reversed(str(a)):
        total = int(x) * digit + carry
        facts.append(f"{x}*{digit}+{carry}={total:02}")
        carry = total // 10
    factor = digit * 10**zeros
    return f"{a}*{factor}:{','.join(facts)}:{a * factor}", a * factor


def multiply(a: int, b: int) -> list[tuple[str, int]]:
    """The lines of a product: a part for each digit of `b` but 0, added up as they come."""
    places = [(int(digit), zeros) for zeros, digit in enumerate(reversed(str(b))) if digit != "0"]
    lines: list[tuple[str, int]] = []
    total = None
    for digit, zeros in places or [(0, 0)]:
        line, part = scale(a, digit, zeros)
        lines.append((line, part))
        if total is not None:
            lines.append(add(total, part))
        total = lines[-1][1]
    return lines


def lines_of(operation: str, a: int, b: int) -> list[tuple[str, int]]:
    """The lines of `a` operation `b`, each with its value; the last value is the result."""
    if operation == "*":
        return multiply(a, b)
    return [add(a, b) if operation == "+" else subtract(a, b)]

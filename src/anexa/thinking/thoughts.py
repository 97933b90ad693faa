"""Format of thoughts: arithmetic as on paper, in which every digit has the letter of its place.

A thought is a list of lines, one for each operation, of the form `expression:facts:value`. In the
expression and in the value a letter before each digit names its place: A for ones, B for tens, C
for hundreds. The expression has its ones first, with capitals for the first operand and small
letters for the second. Each fact is an equation about one or two digits:

    A7B4C3+a6b8c0:A:7+6+0=13,B:4+8+1=13,C:3+0+1=04:C4B3A3
        347+86; digit + digit + carry = carry and digit
    A8B7C4D0-a3b0c0d5:D:0<5,A:13-8-0=5,B:10-7-1=2,C:10-4-1=5,D:05-0-1=4:-D4C5B2A5
        478-5003; the first digits that differ, then larger - smaller, column by column:
        digit (plus ten if it borrows) - digit - borrow = digit
    A7B4C3*a6b8:A7*a6+0=42;A2,A7*b8+4=60,B4*a6+60=84;B4,B4*b8+8=40,C3*a6+40=58;C8,…:E2D9C8B4A2
        347*86; for each place of the result, all pairs of digits whose product belongs there:
        digit * digit + sum so far = new sum. After the last pair, the last digit of the sum is the
        result's digit at that place (;B4), and the other digits are carried to the next place
    A2B9C9/a7b3:37*1=37,…,37*9=333,C:10*0+9=9,37*0=0,0<9,B:10*9+9=99,37*3=111,1>0,37*2=74,7<9,
    09-4-0=5,09-7-0=2,A:10*25+2=252,37*8=296,2=2,9>5,…,37*6=222,2=2,2<5,02-2-0=0,…:B2A6 R 30
        992/37; the multiples of 37, then for each digit of 992 from the left: the digit is brought
        down (10 * remainder + digit). A multiple is estimated from the first digits (9/3 is 3) and
        compared with that number as in a comparison; while it is larger, the next smaller multiple
        is tried. The one that is not larger is subtracted as in a difference
    A6B5C4?>a6b5c3:C:4>3:C4B5A6
        the larger of 456 and 356, found from the left by the first digits that differ; ?< is the
        smaller one

In a calculation with several operations a line ends with what remains to be calculated:

    A1B2+a2b4:A:1+2+0=03,B:2+4+0=06:B6A3:=B6A3*A5
        the first line of (21+42)*5

So the model can look up every digit by the letter of its place instead of by its distance, and the
same rules write a line of any length. After the letter Z comes A again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from anexa.model.place_marks import mark_places, place_letter

TABLE_FACTORS = range(1, 10)  # the table before a division: the divisor times each of these
LARGER, SMALLER = "?>", "?<"  # the operations that give the larger or the smaller of two numbers
COMPARISONS: Final[Mapping[str, Callable[[int, int], int]]] = {LARGER: max, SMALLER: min}
"""The operations that compare two numbers: the function that chooses one of the numbers."""

REMAINING_SEPARATOR = ":="  # separates a line from the calculation that remains after it


class ThoughtStep(NamedTuple):
    """One line of a thought, and what it computes.

    Attributes:
        text: the line.
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`.
        a: the first operand, with its sign and in the order of the question.
        b: the second operand, with its sign.
        value: the result; of a division, the quotient.
        remainder: the remainder of a division; otherwise 0.
    """

    text: str
    operation: str
    a: int
    b: int
    value: int
    remainder: int = 0

    def add_remaining(self, calculation: str, ones_letter: int = 0) -> ThoughtStep:
        """Return the step with a remaining calculation at the end of its line.

        Args:
            calculation: the calculation, without place marks.
            ones_letter: index of the letter of the ones, 0 for A.
        """
        return self._replace(
            text=f"{self.text}{REMAINING_SEPARATOR}{mark_places(calculation, ones_letter)}"
        )


def write_step(operation: str, a: int, b: int, ones_letter: int = 0) -> ThoughtStep:
    """Return the step of a thought for one operation: its line, and what it computes.

    Operations on negative numbers are written with their absolute values: -5+12 as 12-5, -5-12 as
    -(5+12), -12/4 as -(12/4).

    Args:
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`.
        a: the first operand.
        b: the second operand; not 0 in a division. In a comparison neither operand is negative.
        ones_letter: index of the letter of the ones, 0 for A.
    """
    sign, written, x, y = rewrite_unsigned(operation, a, b)
    expression = write_expression(written, x, y, ones_letter)
    value, remainder = compute(operation, a, b)
    said = "-" * (value < 0) + write_value(abs(value), ones_letter)
    said += f" R {remainder}" if remainder else ""
    facts = ",".join(write_facts(written, x, y, ones_letter))
    expression = f"-({expression})" if sign else expression
    return ThoughtStep(f"{expression}:{facts}:{said}", operation, a, b, value, remainder)


def split_remaining(line: str) -> tuple[str, str]:
    """Split a line into `expression:facts:value` and the remaining calculation ("" for none)."""
    written, _, remaining = line.partition(REMAINING_SEPARATOR)
    # After a sign without a calculation the line has no form, and no line may lose the sign.
    return (written, remaining) if remaining else (line, "")


def compute(operation: str, a: int, b: int) -> tuple[int, int]:
    """Compute the result of an operation on two numbers; a divisor must not be 0.

    A division with a negative operand is one of the absolute values; only the quotient gets a sign.

    Returns:
        The value, as in `ThoughtStep`, and the remainder (0 if it is no division).
    """
    if operation == "/":
        quotient, remainder = divmod(abs(a), abs(b))
        return -quotient if (a < 0) != (b < 0) else quotient, remainder
    if operation in COMPARISONS:
        return COMPARISONS[operation](a, b), 0
    return {"+": a + b, "-": a - b, "*": a * b}[operation], 0


def is_inexact(a: int, b: int, remainder: int, *, is_last: bool) -> bool:
    """Return whether a division leaves a remainder where none is allowed, and must be refused.

    A remainder is allowed only in the last operation, and only if neither operand is negative.

    Args:
        a: the dividend.
        b: the divisor.
        remainder: the remainder; 0 for another operation.
        is_last: whether the division is the last operation.
    """
    return remainder != 0 and not (is_last and min(a, b) >= 0)


def rewrite_unsigned(operation: str, a: int, b: int) -> tuple[bool, str, int, int]:
    """Rewrite an operation on signed numbers as one on their absolute values.

    Returns:
        Whether the new operation must be negated; its sign; its operands. For example -5-12, which
        is -(5+12), gives (True, "+", 5, 12).
    """
    x, y = abs(a), abs(b)
    if operation in "*/":
        return (a < 0) != (b < 0) and a * b != 0, operation, x, y
    if operation not in "+-" or (a >= 0 and b >= 0):
        return False, operation, x, y
    is_sum = (operation == "+") == ((a < 0) == (b < 0))
    if is_sum:
        return a < 0, "+", x, y
    return (False, "-", y, x) if a < 0 else (False, "-", x, y)


def comparison_sign(a: int, b: int) -> str:
    """Compare two numbers: return "<", "=" or ">"."""
    return "<" if a < b else ">" if a > b else "="


def write_expression(operation: str, a: int, b: int, ones_letter: int = 0) -> str:
    """Write an expression: two operands from 0 on with the letters of their places, ones first.

    Operands that are added, subtracted or compared are padded with zeros to the same width.
    """
    x, y = _columns(operation, a, b)
    left = "".join(f"{place_letter(i, ones_letter)}{digit}" for i, digit in enumerate(x))
    right = "".join(f"{place_letter(i, ones_letter).lower()}{digit}" for i, digit in enumerate(y))
    return f"{left}{operation}{right}"


def write_value(number: int, ones_letter: int = 0) -> str:
    """Write a number, not negative, with the letters of its places, the highest place first."""
    digits = str(number)
    return "".join(
        f"{place_letter(i, ones_letter)}{digits[-1 - i]}" for i in reversed(range(len(digits)))
    )


def write_facts(operation: str, a: int, b: int, ones_letter: int = 0) -> Iterator[str]:
    """Yield the facts of an operation, one by one.

    Args:
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`.
        a: the first operand, not negative.
        b: the second operand, not negative; not 0 in a division.
        ones_letter: index of the letter of the ones, 0 for A.
    """
    x, y = _columns(operation, a, b)
    if operation == "+":
        return _sum_facts(x, y, ones_letter)
    if operation == "*":
        return _product_facts(x, y, ones_letter)
    if operation == "/":
        return _division_facts(x, b, ones_letter)
    if operation in COMPARISONS:
        return _comparison_facts(x, y, ones_letter)
    return _difference_facts(x, y, a < b, ones_letter)


def _columns(operation: str, a: int, b: int) -> tuple[str, str]:
    """Return the digits of both operands, ones first, padded where their columns are aligned."""
    x, y = str(a)[::-1], str(b)[::-1]
    width = 0 if operation in "*/" else max(len(x), len(y))
    return x.ljust(width, "0"), y.ljust(width, "0")


def _sum_facts(x: str, y: str, ones_letter: int) -> Iterator[str]:
    carry = 0
    for i, (p, q) in enumerate(zip(x, y)):
        total = int(p) + int(q) + carry
        yield f"{place_letter(i, ones_letter)}:{p}+{q}+{carry}={total:02}"
        carry = total // 10


def _comparison_facts(x: str, y: str, ones_letter: int) -> Iterator[str]:
    for i, fact in enumerate(_compare(x, y)):
        yield f"{place_letter(len(x) - 1 - i, ones_letter)}:{fact}"


def _compare(x: str, y: str) -> Iterator[str]:
    """Yield comparisons of digits, such as `0<5`, from the left up to the first that differ."""
    for p, q in zip(reversed(x), reversed(y)):
        yield f"{p}{comparison_sign(int(p), int(q))}{q}"
        if p != q:
            return


def _difference_facts(x: str, y: str, swapped: bool, ones_letter: int) -> Iterator[str]:
    yield from _comparison_facts(x, y, ones_letter)
    for i, fact in enumerate(_subtract(y, x) if swapped else _subtract(x, y)):
        yield f"{place_letter(i, ones_letter)}:{fact}"


def _subtract(x: str, y: str) -> Iterator[str]:
    """Yield the subtraction of each column, such as `13-8-0=5`, from the right."""
    borrowed = 0
    for p, q in zip(x, y):
        borrows = int(int(p) < int(q) + borrowed)
        digit = 10 * borrows + int(p) - int(q) - borrowed
        yield f"{borrows}{p}-{q}-{borrowed}={digit}"
        borrowed = borrows


def _product_facts(x: str, y: str, ones_letter: int) -> Iterator[str]:
    total = "00"  # the sum so far, in at least two digits
    for k in range(len(x) + len(y) - 1):
        total = total[:-1]  # the last digit belongs to the place before
        last = min(k, len(x) - 1)
        for i in range(max(0, k - len(y) + 1), last + 1):
            p, q = (
                f"{place_letter(i, ones_letter)}{x[i]}",
                f"{place_letter(k - i, ones_letter).lower()}{y[k - i]}",
            )
            before, total = total, f"{int(x[i]) * int(y[k - i]) + int(total):02}"
            digit = f";{place_letter(k, ones_letter)}{total[-1]}" if i == last else ""
            yield f"{p}*{q}+{before}={total}{digit}"


def _division_facts(x: str, divisor: int, ones_letter: int) -> Iterator[str]:
    for digit in TABLE_FACTORS:
        yield f"{divisor}*{digit}={divisor * digit}"
    unit = 10 ** (len(str(divisor)) - 1)  # of the divisor's first digit
    remainder = 0
    for i in reversed(range(len(x))):
        number = 10 * remainder + int(x[i])
        yield f"{place_letter(i, ones_letter)}:10*{remainder}+{x[i]}={number}"
        digit = min(9, number // unit // (divisor // unit))  # estimate; never too small
        while True:
            yield f"{divisor}*{digit}={divisor * digit}"
            minuend, subtrahend = _columns("-", number, divisor * digit)
            yield from _compare(subtrahend, minuend)
            if divisor * digit <= number:
                break
            digit -= 1
        if digit:
            yield from _subtract(minuend, subtrahend)
        remainder = number - divisor * digit

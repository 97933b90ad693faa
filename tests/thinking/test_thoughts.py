from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.thinking.thoughts import (
    TABLE_FACTORS,
    comparison_sign,
    rewrite_unsigned,
    write_step,
    write_value,
)
from tests.thinking.reading import assert_true, calculate, read_line, value_of

# Longer than any number that is trained or evaluated, and often short or alike.
numbers = (
    st.integers(0, 10**30)
    | st.integers(0, 120)
    | st.integers(0, 10**4).map(lambda n: 10 ** n.bit_length() - 1)
)
letters = st.integers(0, 25)
divisors = st.integers(1, 10**4) | st.integers(1, 99)


@pytest.mark.parametrize(
    ("operation", "a", "b", "line"),
    [
        ("+", 347, 86, "A7B4C3+a6b8c0:A:7+6+0=13,B:4+8+1=13,C:3+0+1=04:C4B3A3"),
        ("+", 0, 0, "A0+a0:A:0+0+0=00:A0"),
        ("+", 95, 7, "A5B9+a7b0:A:5+7+0=12,B:9+0+1=10:C1B0A2"),
        (
            "-",
            5003,
            478,
            "A3B0C0D5-a8b7c4d0:D:5>0,A:13-8-0=5,B:10-7-1=2,C:10-4-1=5,D:05-0-1=4:D4C5B2A5",
        ),
        (
            "-",
            478,
            5003,
            "A8B7C4D0-a3b0c0d5:D:0<5,A:13-8-0=5,B:10-7-1=2,C:10-4-1=5,D:05-0-1=4:-D4C5B2A5",
        ),
        ("-", 86, 86, "A6B8-a6b8:B:8=8,A:6=6,A:06-6-0=0,B:08-8-0=0:A0"),
        (
            "*",
            347,
            86,
            "A7B4C3*a6b8:A7*a6+0=42;A2,A7*b8+4=60,B4*a6+60=84;B4,B4*b8+8=40,C3*a6+40=58;C8,"
            "C3*b8+5=29;D9:E2D9C8B4A2",
        ),
        ("*", 0, 0, "A0*a0:A0*a0+0=00;A0:A0"),
        (
            "/",
            992,
            37,
            "A2B9C9/a7b3:37*1=37,37*2=74,37*3=111,37*4=148,37*5=185,37*6=222,37*7=259,"
            "37*8=296,37*9=333,C:10*0+9=9,37*0=0,0<9,B:10*9+9=99,37*3=111,1>0,37*2=74,7<9,09-4-0=5,"
            "09-7-0=2,A:10*25+2=252,37*8=296,2=2,9>5,37*7=259,2=2,5=5,9>2,37*6=222,2=2,2<5,"
            "02-2-0=0,05-2-0=3,02-2-0=0:B2A6 R 30",
        ),
        (
            "/",
            6,
            3,
            "A6/a3:3*1=3,3*2=6,3*3=9,3*4=12,3*5=15,3*6=18,3*7=21,3*8=24,3*9=27,A:10*0+6=6,3*2=6,"
            "6=6,06-6-0=0:A2",
        ),
        ("?>", 456, 356, "A6B5C4?>a6b5c3:C:4>3:C4B5A6"),
        ("?<", 456, 356, "A6B5C4?<a6b5c3:C:4>3:C3B5A6"),
        ("?>", 5003, 5009, "A3B0C0D5?>a9b0c0d5:D:5=5,C:0=0,B:0=0,A:3<9:D5C0B0A9"),
        ("?<", 356, 7, "A6B5C3?<a7b0c0:C:3>0:A7"),
        ("?>", 86, 86, "A6B8?>a6b8:B:8=8,A:6=6:B8A6"),
        ("+", -5, 12, "A2B1-a5b0:B:1>0,A:12-5-0=7,B:01-0-1=0:A7"),
        ("+", -12, 5, "A5B0-a2b1:B:0<1,A:12-5-0=7,B:01-0-1=0:-A7"),
        ("+", 5, -12, "A5B0-a2b1:B:0<1,A:12-5-0=7,B:01-0-1=0:-A7"),
        ("-", -5, 12, "-(A5B0+a2b1):A:5+2+0=07,B:0+1+0=01:-B1A7"),
        ("-", 5, -12, "A5B0+a2b1:A:5+2+0=07,B:0+1+0=01:B1A7"),
        ("*", -5, 12, "-(A5*a2b1):A5*a2+0=10;A0,A5*b1+1=06;B6:-B6A0"),
        ("*", -5, 0, "A5*a0:A5*a0+0=00;A0:A0"),
    ],
)
def test_lines_are_written_out(operation: str, a: int, b: int, line: str) -> None:
    step = write_step(operation, a, b)
    assert step.text == line
    assert (step.operation, step.a, step.b) == (operation, a, b)


@given(st.sampled_from(("+", "-", "*", "/", "?>", "?<")), numbers, numbers, letters)
def test_lines_are_true(operation: str, a: int, b: int, ones_letter: int) -> None:
    b = b or 1 if operation == "/" else b
    step = write_step(operation, a, b, ones_letter)
    line = read_line(step.text)
    assert (line.operation, line.a, line.b, line.negated) == (operation, a, b, False)
    assert_true(line)
    assert (step.value, step.remainder) == value_of(line)
    assert step.text[0] == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[ones_letter]


@given(st.sampled_from("+-*/"), numbers, numbers, st.booleans(), st.booleans())
def test_negative_operands_are_written_without_signs(
    operation: str, a: int, b: int, is_a_negative: bool, is_b_negative: bool
) -> None:
    a, b = (-a if is_a_negative else a), (-b if is_b_negative else b)
    if operation == "/":
        b = b or 1
        a -= a % abs(b)  # exact
    step = write_step(operation, a, b)
    line = read_line(step.text)
    assert_true(line)
    assert step.value == int(line.value) == calculate(f"({a}){operation}({b})")
    assert (line.negated, line.operation, line.a, line.b) == rewrite_unsigned(operation, a, b)
    if a >= 0 and b >= 0:
        assert (line.negated, line.operation, line.a, line.b) == (False, operation, a, b)


def test_a_division_of_a_negative_number_is_that_of_the_absolute_values() -> None:
    for a, b in ((-13, 4), (13, -4), (-1, 3)):
        step = write_step("/", a, b)
        assert step.text.startswith("-(")
        assert (step.value, step.remainder) == (-(abs(a) // abs(b)), abs(a) % abs(b))
        assert_true(read_line(step.text))


@given(numbers, numbers)
def test_sums_and_differences_have_a_fact_for_each_place(a: int, b: int) -> None:
    width = max(len(str(a)), len(str(b)))
    for operation in "+-":
        facts = read_line(write_step(operation, a, b).text).facts
        columns = [fact for fact in facts if "=" in fact and len(fact) > 5]
        assert len(columns) == width
        compared = facts[: len(facts) - width]
        assert (len(compared) > 0) == (operation == "-")
        for fact in columns:
            assert re.fullmatch(r"[A-Z]:\d{1,2}[-+]\d[-+][01]=\d{1,2}", fact)


@given(st.sampled_from(("?>", "?<")), numbers, numbers)
def test_a_comparison_ends_at_the_first_digits_that_differ(operation: str, a: int, b: int) -> None:
    line = read_line(write_step(operation, a, b).text)
    x, y = (str(number).zfill(max(len(str(a)), len(str(b)))) for number in (a, b))
    *alike, last = line.facts
    for i, fact in enumerate(alike):
        assert fact[2:] == f"{x[i]}={y[i]}"
    assert last[2:] == f"{x[len(alike)]}{comparison_sign(a, b)}{y[len(alike)]}"
    assert len(line.facts) == len(x) if a == b else x[len(alike)] != y[len(alike)]


@given(numbers, numbers, letters)
def test_products_have_a_fact_for_each_pair_of_digits(a: int, b: int, ones_letter: int) -> None:
    x, y = str(a)[::-1], str(b)[::-1]
    line = read_line(write_step("*", a, b, ones_letter).text)
    pairs = []
    before = 0
    for fact in line.facts:
        p, i, q, j, total = re.fullmatch(  # type: ignore[union-attr]
            r"([A-Z])(\d)\*([a-z])(\d)\+(\d+)=\d+(?:;[A-Z]\d)?", fact
        ).groups()
        assert int(total) == before, "the sum so far is carried on"
        digits = fact.partition(";")[2]
        result = fact.partition(";")[0].partition("=")[2]
        before = int(result[:-1]) if digits else int(result)
        pairs.append((p + i, q.upper() + j, digits))
    assert len(pairs) == len(x) * len(y)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 4
    expected = [
        (letters[ones_letter + i] + x[i], letters[ones_letter + j] + y[j])
        for place in range(len(x) + len(y) - 1)
        for i in range(len(x))
        for j in [place - i]
        if 0 <= j < len(y)
    ]
    assert [pair[:2] for pair in pairs] == expected
    result = str(a * b).zfill(len(x) + len(y) - 1)[::-1]
    written = [digits for *_, digits in pairs if digits]
    assert written == [letters[ones_letter + k] + result[k] for k in range(len(x) + len(y) - 1)]


@given(numbers, divisors)
def test_divisions_have_the_multiples_and_a_fact_for_each_digit(a: int, b: int) -> None:
    facts = read_line(write_step("/", a, b).text).facts
    assert facts[: len(TABLE_FACTORS)] == [f"{b}*{digit}={b * digit}" for digit in range(1, 10)]
    remainder, quotient = 0, ""
    left = iter(facts[len(TABLE_FACTORS) :])
    for i, digit in enumerate(str(a)):
        number = 10 * remainder + int(digit)
        letter = chr(ord("A") + (len(str(a)) - 1 - i) % 26)
        assert next(left) == f"{letter}:10*{remainder}+{digit}={number}"
        while True:
            times, multiple = re.fullmatch(rf"{b}\*(\d)=(\d+)", next(left)).groups()  # type: ignore[union-attr]
            width = max(len(str(number)), len(multiple))
            for m, n in zip(multiple.zfill(width), str(number).zfill(width)):
                assert next(left) == f"{m}{'<' if m < n else '>' if m > n else '='}{n}"
                if m != n:
                    break
            if int(multiple) <= number:
                break
        remainder = number - int(multiple)
        assert remainder < b
        columns = [next(left) for _ in str(number)] if times != "0" else []
        assert not columns or int("".join(fact[-1] for fact in reversed(columns))) == remainder
        quotient += times
    assert not [*left]
    assert (int(quotient), remainder) == divmod(a, b)


@given(numbers, letters)
def test_values_have_their_highest_place_first(number: int, ones_letter: int) -> None:
    text = write_value(number, ones_letter)
    assert text[1::2] == str(number)
    marks = text[0::2][::-1]
    assert marks == ("ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3)[ones_letter : ones_letter + len(marks)]


@pytest.mark.parametrize(("digits", "longest"), [(9, 1276), (12, 2208), (13, 2582)])
def test_lengths_of_the_longest_products(digits: int, longest: int) -> None:
    """A context of 2,560 has room for 13 by 13 digits unless nearly all are nines."""
    most = 10**digits - 1
    size = len(write_step("*", most, most).text) + len(f"{most}*{most}") + len(str(most**2)) + 5
    assert size == longest

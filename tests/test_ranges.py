"""Notations of numbers that users write."""

from __future__ import annotations

import math
import time

import pytest

from anexa.ranges import parse_float, parse_int
from tests.slowness import is_within


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("-3", -3), ("+7", 7), ("007", 7), ("1" * 100, int("1" * 100))]
)
def test_whole_numbers(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("10", 10.0), ("-.5", -0.5), ("5.", 5.0), ("5.e1", 50.0), ("1.5e1", 15.0)),
        *(("1e-3", 0.001), ("+2E+2", 200.0)),
        *(("inf", math.inf), ("-Infinity", -math.inf), ("1e999", math.inf)),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize(
    "text", ["1_0", " 10", "10 ", "10\n", "١٠", "１", "²", "", "+", "--1", "0x10", "1 0", "ten"]
)
def test_other_notations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_int(text)
    with pytest.raises(ValueError, match="is not a number"):
        parse_float(text)


@pytest.mark.parametrize("text", ["10.0", "1e1", "nan", "inf", "9" * 5000])
def test_other_numbers_are_not_whole(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_int(text)


@pytest.mark.parametrize("text", [".", "e3", "1e", "1e1_0", "1.2.3", "0x1p3", "1j"])
def test_incomplete_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_float(text)


def test_digits_are_read_in_linear_time() -> None:
    """Trying each split of the digits in two would take minutes."""
    began = time.process_time()
    with pytest.raises(ValueError, match="is not a number"):
        parse_float("1" * 100_000 + "x")
    assert is_within(time.process_time() - began, 1)

"""Hard test sets: held-out problems, each set difficult in one way; and tasks beyond training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from anexa.thinking.phrasings import rephrase
from anexa.thinking.problems import (
    MAX_DIGITS,
    MAX_FACTOR_DIGITS,
    Problem,
    Task,
    draw_problem,
    make_problem,
)
from anexa.thinking.splits import MENTAL_PRODUCTS, split_of

TASKS_BEYOND_TRAINING = (
    *(Task(sign, digits) for sign in "+-?" for digits in (22, 24)),
    *(Task("*", digits, digits) for digits in (10, 11, 13)),
    *(Task("/", digits, 2) for digits in (10, 12)),
)
"""Tasks whose operands exceed the maximum sizes in training, such as `MAX_DIGITS`."""

_WIDTHS = range(5, MAX_DIGITS + 1)  # digits of the longer operand
_REPHRASED = (
    *(Task(sign, digits) for sign in "+-" for digits in (2, 3, 5, 8, 12, 20)),
    *(Task("*", m, n) for m, n in ((2, 1), (2, 2), (3, 2), (3, 3), (5, 5), (9, 1))),
    *(Task("/", m, n) for m, n in ((2, 1), (4, 1), (5, 2), (8, 2))),
    *(Task("chain", operations) for operations in (2, 3)),
    *(Task("?", digits) for digits in (4, 20)),
)


def draw_long_carry(rng: random.Random) -> Problem:
    """Draw a test problem such as 99999999+1, with a long carry.

    The carry runs through four or more columns whose two digits add up to 9.
    """

    def pairs() -> Iterator[tuple[int, int]]:
        while True:
            width = rng.choice(_WIDTHS)
            run = rng.randint(4, width - 1)
            # Number of columns to the right of the one where the carry begins.
            start = rng.randint(0, width - run - 1)
            short = rng.random() < 0.3  # the other operand ends where the carry begins
            columns = [(rng.randrange(10), rng.randrange(10)) for _ in range(start)]
            first = rng.randint(1, 9)
            columns.append((first, rng.randint(10 - first, 9)))
            nines = [9 if short else rng.randrange(10) for _ in range(run)]
            columns += [(digit, 9 - digit) for digit in nines]
            for _ in range(width - len(columns)):
                columns.append((rng.randint(1, 9), 0 if short else rng.randint(1, 9)))
            yield _number(digit for digit, _ in columns), _number(digit for _, digit in columns)

    return _first_held_out("+", pairs(), rng)


def draw_borrow_across_zeros(rng: random.Random) -> Problem:
    """Draw a test problem such as 50000-123 or 123-50000, which borrows across several zeros."""

    def pairs() -> Iterator[tuple[int, int]]:
        while True:
            width = rng.choice(_WIDTHS)
            zeros = rng.randint(2, width - 2)
            low = rng.randint(1, width - zeros - 1)  # columns that have to borrow
            units = rng.randrange(10**low - 1) if rng.random() < 0.5 else 0
            top = rng.randrange(10 ** (width - zeros - low - 1), 10 ** (width - zeros - low))
            large = top * 10 ** (zeros + low) + units
            small = rng.randrange(units + 1, 10**low)
            if rng.random() < 0.5:  # a longer subtrahend, still smaller
                small += rng.randrange(top * 10**zeros) * 10**low
            yield large, small

    return _first_held_out("-", pairs(), rng)


def draw_zero_operand(rng: random.Random) -> Problem:
    """Draw a test problem with 0 as an operand, such as 0*347, 812+0 or 0-812."""
    operation = rng.choice("+-*")
    return _first_held_out(operation, ((0, number) for number in _numbers(operation, rng)), rng)


def draw_equal_operands(rng: random.Random) -> Problem:
    """Draw a test problem with two equal operands, such as 347-347 or 86*86."""
    operation = rng.choice("+-*")
    pairs = ((number, number) for number in _numbers(operation, rng))
    return _first_held_out(operation, pairs, rng)


def draw_rephrased(rng: random.Random) -> Problem:
    """Draw a test problem that is phrased in other words, such as `What is 86 times 347?`."""
    plain = draw_problem(rng.choice(_REPHRASED), rng, "test")
    while True:
        question = rephrase(plain.question, rng)
        if question != plain.question:
            return replace(plain, question=question)


def mental_problems() -> list[Problem]:
    """Return the problems of `MENTAL_PRODUCTS`, each in both orders of its factors; 12*12 once."""
    pairs = [pair for a, b in MENTAL_PRODUCTS for pair in dict.fromkeys(((a, b), (b, a)))]
    return [make_problem("*", a, b) for a, b in pairs]


# Function that draws a problem of a hard test set, by the name of the set.
HARD_SETS: dict[str, Callable[[random.Random], Problem]] = {
    "long carry": draw_long_carry,
    "borrow across zeros": draw_borrow_across_zeros,
    "zero operand": draw_zero_operand,
    "equal operands": draw_equal_operands,
    "in other words": draw_rephrased,
}


def _first_held_out(
    operation: str, pairs: Iterator[tuple[int, int]], rng: random.Random
) -> Problem:
    """Make a problem of the first pair in the test split, in random order."""
    a, b = next(pair for pair in pairs if split_of(operation, *pair) == "test")
    return make_problem(operation, a, b) if rng.random() < 0.5 else make_problem(operation, b, a)


def _numbers(operation: str, rng: random.Random) -> Iterator[int]:
    """Draw operands for `_first_held_out`.

    Most are long: of the few short numbers, hardly any is held out in a pair with 0 or itself.
    """
    while True:
        if operation == "*":
            yield rng.randrange(100, 10**MAX_FACTOR_DIGITS)
        else:
            digits = rng.choice(_WIDTHS)
            yield rng.randrange(10 ** (digits - 1), 10**digits)


def _number(digits: Iterator[int]) -> int:
    """Convert digits, ones first, to a number."""
    return sum(digit * 10**place for place, digit in enumerate(digits))

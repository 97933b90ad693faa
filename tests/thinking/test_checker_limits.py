"""The checker takes time in proportion to a text, whatever the text is."""

from __future__ import annotations

import time

import pytest

from anexa.thinking.checker import check
from anexa.thinking.thoughts import write_expression, write_facts
from tests.slowness import is_within

WIDE = "".join(f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[i % 26]}9" for i in range(80))
QUESTIONS = {
    "brackets": "(" * 100_000 + "1",
    "signs": "1" + "+1" * 199,
    "words": "1" + " times 1" * 45,
    "numbers": "1 and " * 60 + "1",
    "spaces": "What is " + " " * 100_000 + "1+1",
}


def long_texts(size: int) -> dict[str, str]:
    """Return texts of about `size` characters, or as long to check, by their kind."""
    return {
        "a number": "9" * size,
        "numbers": "1 " * (size // 2),
        "an expression of long numbers": f"{'A9' * (size // 8)}+{'a9' * (size // 8)}::A1",
        "a long value": f"A1+a1:A:1+1+0=02:{'A2' * (size // 4)}",
        "a long remainder": f"A1/a1:A:1-1*1=0:A1 R {'2' * (size // 2)}",
        "empty lines": "x" + "\n" * (size // 16) + "x",
        "short lines": "x\n" * (size // 16),
        "true lines": "A1+a1:A:1+1+0=02:A2\n" * (size // 60),
        "wide operands": f"{WIDE}*{WIDE.lower()}::A1\n" * (size // 325),
        "wide divisions": f"{WIDE}/{WIDE.lower()}:1*1=1:A1\n" * (size // 325),
        "facts": "A1+a1:" + "A:1+1+0=02," * (size // 11),
        "facts of a wide product": f"{WIDE}*{WIDE.lower()}:" + "A9*a9+0=81;A1," * (size // 14),
        "brackets that remain": "A1+a1:A:1+1+0=02:A2:=" + "(" * size,
        "numbers that remain": "A1+a1:A:1+1+0=02:A2:=" + "A1+" * (size // 3) + "A1",
        "values that are used": "A1+a1:A:1+1+0=02:A2\n" * (size // 50)
        + "A2+a8::A2\n" * (size // 50),
        "commas": "A1+a1:" + "," * size + ":A2",
        "colons": ":" * size,
        "words of a story": "Ada has " + "1" * 40 + " pens, buys " * (size // 12),
    }


@pytest.mark.parametrize("kind", long_texts(1))
@pytest.mark.parametrize(
    ("size", "seconds"), [(250_000, 3), pytest.param(10**6, 10, marks=pytest.mark.slow)]
)
def test_checking_takes_linear_time(kind: str, size: int, seconds: float) -> None:
    text = long_texts(size)[kind]
    for question in ("1+1", text):
        start = time.process_time()
        report = check(question, text, text)
        # It takes a fifth of that; a time that grows as the square of the length would be minutes
        # for the longer text.
        assert is_within(time.process_time() - start, seconds)
        assert not report.all_true
        assert len(report.first_error or "") < 300


@pytest.mark.parametrize("kind", QUESTIONS)
def test_any_question_is_read_quickly(kind: str) -> None:
    start = time.process_time()
    check(QUESTIONS[kind], "A1+a1:A:1+1+0=02:A2", "2")
    assert is_within(time.process_time() - start, 1)


def test_values_do_not_grow_from_line_to_line() -> None:
    """An operand has at most 80 digits: a product of longer ones is not calculated."""
    wide = WIDE.lower()
    thought = f"{WIDE}*{wide}::{'A9' * 160}\n{'A9' * 160}*{wide}::A1"
    report = check("9", thought, "1")
    assert [bool(line.operation) for line in report.lines] == [True, False]


@pytest.mark.parametrize(
    ("operation", "a", "b", "fact"),
    [
        ("*", 10**80 - 1, 10**80 - 1, "A1*a1+0=01;A1"),
        ("/", 10**80 - 1, 10**40 + 1, "11-0-0=1"),
        ("/", 10**80 - 1, 10**40 + 1, "A:10*1+1=11"),
    ],
)
def test_facts_may_spell_thousands_of_digits(operation: str, a: int, b: int, fact: str) -> None:
    """Python refuses to convert more than 4,300 digits to an integer."""
    facts = [fact for _ in write_facts(operation, a, b)]
    report = check("1+1", f"{write_expression(operation, a, b)}:{','.join(facts)}:A1", "1")
    assert not report.all_true


@pytest.mark.parametrize(
    ("question", "thought"),
    [
        (" ".join(["9" * 40] * 4), ""),  # asks back, with all four numbers four times
        ("1+1", f"{WIDE}*{WIDE.lower()}:{','.join(write_facts('*', *[10**80 - 1] * 2))}:A1"),
    ],
)
def test_messages_about_long_numbers_are_short(question: str, thought: str) -> None:
    line = check(question, thought, "1")
    message = line.lines[0].error if line.lines else line.first_error
    assert message
    assert len(message) < 200

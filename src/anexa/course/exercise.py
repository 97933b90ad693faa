"""Exercises: what the reader's functions are asked, and what they should answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from anexa.errors import UsageError

BY_HAND = "by_hand"  # variable of the reader's file: what was computed with pencil and paper


@dataclass(frozen=True)
class Mistake:
    """Typical mistake, recognized by its result or its exception.

    Attributes:
        reason: sentences about the mistake and why it matters.
        result: result that the mistake leads to; ignored if `raises` is set.
        raises: name of the exception that the mistake leads to; None if it leads to a result.
        message: part of the message of that exception; empty: any message.
    """

    reason: str
    result: Any = None
    raises: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Question:
    """Question to the reader's file: a call of a function, and its right result.

    Attributes:
        call: name of the function, or `BY_HAND` for the variable of that name.
        arguments: arguments of the call; JSON values.
        expected: right result; a JSON value.
        why: why a difference matters, for results that are no typical mistake.
        tolerance: largest allowed difference of a number, relative to an expected number above 1.
        mistakes: typical mistakes; the first one with the same outcome gives the reason.
        label: how the question is shown; empty: as the call.
        also_right: other right results, such as that of another order of rounding; JSON values.
    """

    call: str
    arguments: tuple[Any, ...]
    expected: Any
    why: str
    tolerance: float = 0.0
    mistakes: tuple[Mistake, ...] = ()
    label: str = ""
    also_right: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.label or self.call == BY_HAND:
            return self.label or BY_HAND
        return f"{self.call}({', '.join(map(_brief, self.arguments))})"

    def difference(self, result: Any) -> str | None:
        """Describe where a result first differs from `expected`, as `describe_difference` does.

        The right result for `BY_HAND` is not revealed: the student is to find it.

        Returns:
            The clause; None if the result is `expected` or one of `also_right`.
        """
        for right in self.also_right:
            if describe_difference(result, right, self.tolerance) is None:
                return None
        reveals = self.call != BY_HAND
        return describe_difference(result, self.expected, self.tolerance, reveals=reveals)

    def reason(self, result: Any = None, raises: str | None = None, message: str = "") -> str:
        """Return sentences on why a wrong outcome matters.

        Args:
            result: wrong result; ignored if `raises` is set.
            raises: name of the exception that the call has raised; None if it has a result.
            message: message of that exception.
        """
        for mistake in self.mistakes:
            if mistake.raises != raises or mistake.message not in message:
                continue
            if raises or describe_difference(result, mistake.result, self.tolerance) is None:
                return mistake.reason
        if raises is None and result is None and self.call != BY_HAND:
            return "The function returns nothing: does each way through it end with return?"
        return advice(raises, message) or self.why


def advice(raises: str | None, message: str) -> str:
    """Return how to mend an exception that has the same cause in every exercise.

    Args:
        raises: name of the exception; None if there is none.
        message: its message.

    Returns:
        A sentence; "" for all other exceptions.
    """
    if raises in ("NameError", "UnboundLocalError"):
        return (
            "The file runs alone, and does not know what you have typed elsewhere: define this "
            "name in the file, or import it."
        )
    if raises == "TypeError" and "positional argument" in message:
        return "The function takes the arguments that the exercise lists, in the same order."
    if raises == "TypeError" and "not callable" in message:
        return (
            "What stands before the parentheses is no function. Perhaps a variable has the same "
            "name: give it another one."
        )
    return ""


Ask = Callable[[Mapping[str, Any], str, Sequence[Any]], Any]
"""Function that puts a question to the reader's file, and returns its answer.

Its arguments are the names that the file defines, `Question.call` and `Question.arguments`."""


def ask(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Call a function of the reader's file, and return its result; for `BY_HAND`, return its value.

    Exceptions of the function are not caught.

    Raises:
        MissingName: if the file does not define the name.
    """
    if call not in names:
        raise MissingName(call)
    return names[call] if call == BY_HAND else names[call](*arguments)


class MissingName(Exception):
    """Raised if the reader's file does not define a name that the exercise needs.

    The name is its message.
    """


@dataclass(frozen=True)
class Exercise:
    """Exercise of a chapter, whose numbers are drawn for each student.

    The chapter and the name of the student, in upper or lower case, seed the random generator; the
    name may be empty.

    Attributes:
        draw_by_hand: function of the generator that returns a pair: a text with the numbers to
            compute with, and the question for `BY_HAND`.
        draw_questions: function of the generator that returns the other questions; it is called
            after `draw_by_hand`.
        ask: function that puts a question to the reader's file.
    """

    draw_by_hand: Callable[[Random], tuple[str, Question]]
    draw_questions: Callable[[Random], list[Question]]
    ask: Ask = ask

    def by_hand_numbers(self, chapter: int, student: str) -> str:
        """Return a student's own numbers for `BY_HAND`, as a text."""
        return self.draw_by_hand(_rng(chapter, student))[0]

    def questions(self, chapter: int, student: str) -> list[Question]:
        """Return the questions to a student's file, in the order in which they are checked."""
        rng = _rng(chapter, student)
        return [self.draw_by_hand(rng)[1], *self.draw_questions(rng)]


def _rng(chapter: int, student: str) -> Random:
    return Random(f"{chapter}/{student.strip().casefold()}")


def check_student(student: str, subject: str = "--student") -> None:
    """Check that a name is short and printable; it may be empty.

    Args:
        student: the name.
        subject: option or file that gives the name, for the message.

    Raises:
        UsageError: if it has more than 60 characters, or unprintable ones.
    """
    if len(student) > 60 or not student.isprintable():
        raise UsageError(f"{subject} is a name of at most 60 printable characters")


def describe_difference(
    found: Any,
    expected: Any,
    tolerance: float,
    subject: str = "the result",
    *,
    reveals: bool = True,
) -> str | None:
    """Describe where a result first differs from the expected one.

    Args:
        found: result; a JSON value.
        expected: right result; a JSON value.
        tolerance: largest allowed difference of a number, relative to an expected number above 1.
        subject: description of `found` for the clause, such as "number 3 of the list".
        reveals: whether the clause may say what the right result is.

    Returns:
        A clause such as "number 3 of the list is 233, and should be 195", or, if it may not reveal
        that, "number 3 of the list is 233, which is wrong"; None if both are equal.
    """

    def differs(kind: str, right: str) -> str:
        """Return the clause: `found` is not of a kind, such as "a number", or not `right`."""
        should = ": ".join(part for part in (kind, right if reveals else "") if part)
        end = f"and should be {should}" if should else "which is wrong"
        return f"{subject} is {_brief(found)}, {end}"

    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        same = type(found) is type(expected) and found == expected
        return None if same else differs("", _brief(expected))
    if isinstance(expected, (int, float)):
        shown = round(expected, 2) if tolerance > 0.005 else expected  # as precise as it is asked
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return differs("a number", repr(shown))
        return None if _is_near(found, expected, tolerance) else differs("", repr(shown))
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return differs("a dict", _brief(expected))
        for name, value in expected.items():
            difference = describe_difference(
                found.get(name), value, tolerance, name, reveals=reveals
            )
            if difference:
                return difference
        extra = next((name for name in found if name not in expected), None)
        return None if extra is None else f"{subject} has an entry too many, {_brief(extra)}"
    if not isinstance(found, list):
        return differs("a list", _brief(expected))
    for i, (one, other) in enumerate(zip(found, expected), start=1):
        noun = "list" if isinstance(other, list) else "number"
        part = f"{noun} {i} of {subject}"
        difference = describe_difference(one, other, tolerance, part, reveals=reveals)
        if difference:
            return difference
    if len(found) == len(expected):
        return None
    end = f"and should have {len(expected)}" if reveals else "which is wrong"
    return f"{subject} has the length {len(found)}, {end}"


def _is_near(found: float, expected: float, tolerance: float) -> bool:
    try:
        return abs(found - expected) <= tolerance * max(1.0, abs(expected))  # false for NaN
    except OverflowError:  # an integer that no float can have
        return False


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]} … {text[-12:]}"

"""Checker of thoughts: which steps are true, and where every number comes from.

A thought is the output of a model, so nothing in it is trusted. It is parsed in the form that
`thoughts.py` defines; a line of any other form counts as false. Time and memory grow linearly with
the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anexa.thinking.facts import Fact, excerpt, read_calculation, read_comparison
from anexa.thinking.questions import (
    MAX_DIGITS_READ,
    Question,
    apply,
    parse_question,
    parse_story,
    read,
)
from anexa.thinking.sources import Operand, Sources, SourcesTakenOnce
from anexa.thinking.thoughts import relation

__all__ = ["Fact", "Line", "Operand", "Report", "check", "parse_question", "parse_story"]

_EXPRESSION = re.compile(
    rf"(-\()?([0-9]{{1,{MAX_DIGITS_READ}}})([-+*?])([0-9]{{1,{MAX_DIGITS_READ}}})(\))?"
)
_GREATEST = 10 ** (2 * MAX_DIGITS_READ)  # result of two operands
_VALUE = re.compile(rf"[<=>]|-?[0-9]{{1,{2 * MAX_DIGITS_READ + 1}}}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a thought, which is one step.

    Attributes:
        text: the line.
        operation: "+", "-", "*", or "?" for a comparison; "" if the line cannot be parsed.
        operands: the two numbers of the expression; empty if the line cannot be parsed.
        facts: one for each column; fewer if the line ends early.
        value: the number after the last colon; None for a comparison and an unparsable line.
        spelled: whether the value equals the digits that the facts spell.
        equal: whether the value equals the result of the expression.
        true: whether every fact holds, fits its column, and `spelled` and `equal` are true.
        error: the first mistake in the line, a sourceless operand included; None if there is none.
    """

    text: str
    operation: str
    operands: tuple[Operand, ...]
    facts: tuple[Fact, ...]
    value: int | None
    spelled: bool
    equal: bool
    true: bool
    error: str | None


@dataclass(frozen=True)
class Report:
    """The verdict on a thought and its answer.

    Attributes:
        lines: the lines of the thought.
        provenance: whether the thought has lines, and every operand in them has a source.
        complete: whether every value but the last is used by a later line, and, if the question
            could be parsed, every number of the question is used.
        faithful: whether the answer equals the last value.
        expected: the correct result; None if the question could not be parsed.
        understood: whether the steps, each carried out correctly, lead to `expected` by the
            operations that the question asks for; None if `expected` is None.
        first_error: a sentence about the first mistake; None if there is none.
    """

    lines: tuple[Line, ...]
    provenance: bool
    complete: bool
    faithful: bool
    expected: int | None
    understood: bool | None
    first_error: str | None

    @property
    def steps(self) -> int:
        """Number of lines."""
        return len(self.lines)

    @property
    def true_steps(self) -> int:
        """Number of true lines, regardless of the sources of their operands."""
        return sum(line.true for line in self.lines)

    @property
    def all_true(self) -> bool:
        """Whether every line is true and the thought as a whole leads to the answer."""
        true = bool(self.lines) and self.true_steps == self.steps
        whole = self.provenance and self.complete and self.faithful
        return true and whole and self.understood is not False


def check(question: str, thought: str, answer: str) -> Report:
    """Check a thought and its answer against a question. Never raises, whatever the text.

    Args:
        question: text of the question.
        thought: the lines between `<think>` and `</think>`.
        answer: the text after the thought.
    """
    asked = read(question)
    # If the question can be parsed, each of its numbers must be used exactly once.
    sources = (Sources if asked.expected is None else SourcesTakenOnce)(asked.numbers)
    texts = thought.strip("\n").split("\n") if thought.strip("\n") else []
    lines: list[Line] = []
    for number, text in enumerate(texts):
        line = _line(text, sources, lines[-1] if lines else None)
        if line.value is not None:
            sources.put(number, line.value)
        lines.append(line)
    last = lines[-1].value if lines else None
    provenance = all(line.operands for line in lines) and all(
        operand.source != "nowhere" for line in lines for operand in line.operands
    )
    left_over = _idle(lines) or sources.left_over(len(lines) - 1)
    misread = _misread(asked, lines)
    faithful = last is not None and answer.strip() == str(last)

    errors = [
        *(line.error for line in lines),
        f"{left_over} is never used" if left_over else None,
        misread,
        None if faithful else f'the answer "{excerpt(answer)}" is not {last}, the last value',
    ]
    first_error = next((error for error in errors if error), None)
    return Report(
        lines=tuple(lines),
        provenance=bool(lines) and provenance,
        complete=left_over is None,
        faithful=faithful,
        expected=asked.expected,
        understood=None if asked.expected is None else misread is None,
        first_error=first_error if lines else "the thought is empty",
    )


def _misread(asked: Question, lines: list[Line]) -> str | None:
    """Explain how the thought answers another question; None if it does not, or is unknown."""
    if asked.expected is None or asked.operations is None:
        return None
    for line in lines:
        taken = any(operand.source in ("question", "part") for operand in line.operands)
        if taken and line.operation.replace("?", "-") not in asked.operations:
            return f'"{excerpt(line.text.split(":")[0])}" is not what the question asks for'
    if follow(lines)[-1:] == [asked.expected]:
        return None
    return f"the question's result is {asked.expected}, and the thought is about something else"


def follow(lines: Sequence[Line], given: Mapping[int, int] | None = None) -> list[int]:
    """Recompute the value of each line from its operands.

    Args:
        lines: the lines of a thought.
        given: values to take as they are, by line number.

    Returns:
        One value a line; 0 for a comparison and an unparsable line. The list ends early after a
        value that is too large.
    """
    values: list[int] = []
    for number, line in enumerate(lines):
        if given and number in given:
            values.append(given[number])
        elif not line.operands or line.operation == "?":
            values.append(0)
        else:
            a, b = (values[o.place] if o.source == "line" else o.number for o in line.operands)
            values.append(apply(line.operation, a, b) * (-1 if line.text.startswith("-") else 1))
        if abs(values[-1]) > _GREATEST:  # values could grow exponentially from line to line
            break
    return values


def _idle(lines: list[Line]) -> str | None:
    """Find a comparison that is not followed by the difference of the same operands."""
    for line, after in zip(lines, [*lines[1:], None]):
        if line.operation == "?" and not (
            after and _compares(line, after.operation, after.operands)
        ):
            return f'"{excerpt(line.text.split(":")[0])}"'
    return None


def _compares(line: Line | None, operation: str, operands: Sequence[Operand]) -> bool:
    """Whether a line compares the operands of the difference after it."""
    if not line or line.operation != "?" or operation != "-":
        return False
    return sorted(one.number for one in line.operands) == sorted(one.number for one in operands)


def _addends(
    numbers: tuple[int, int], sources: Sources, compared: Sequence[Operand]
) -> tuple[Operand, Operand]:
    """Find the sources of the operands of a sum, a comparison or a difference.

    Args:
        numbers: the two operands.
        sources: the numbers and values that are still available.
        compared: the operands of the comparison before; their sources are used again.
    """
    left = list(compared)
    operands = []
    for number in numbers:
        found = next((operand for operand in left if operand.number == number), None)
        if found:
            left.remove(found)
        operands.append(found or sources.addend(number))
    return operands[0], operands[1]


def _line(text: str, sources: Sources, before: Line | None) -> Line:
    """Check one line, and take its operands from the sources or from the comparison before."""
    form = "is not of the form expression:facts:value"
    if text.count(":") != 2:
        return _unreadable(text, form)
    expression, equations, said = text.split(":")
    match = _EXPRESSION.fullmatch(expression)
    if not match or not _VALUE.fullmatch(said):
        return _unreadable(text, form)
    minus, left, operation, right, bracket = match.groups()
    if (operation == "?") != (said in "<=>"):
        return _unreadable(text, form)
    if bool(minus) != bool(bracket) or (minus and operation != "-"):
        return _unreadable(text, "has a bracket that does not belong there")
    if operation == "*" and right[1:].strip("0"):
        return _unreadable(text, "multiplies with more than a digit and zeros")
    if operation != "*" and len(left) != len(right):
        return _unreadable(text, "has operands that are not equally wide")

    a, b = int(left), int(right)
    if operation == "*":
        operands = sources.factors(a, b)
    else:
        compared = before.operands if before and before.operation + operation == "?-" else ()
        operands = _addends((a, b), sources, compared)
    errors = [
        f'{operand.number} in "{expression}" comes from nowhere'
        for operand in operands
        if operand.source == "nowhere"
    ]
    spelled: str | None
    if operation == "?":
        facts, spelled, wrong = read_comparison(equations, expression, left, right)
        result = relation(a, b)
    else:
        facts, digits, wrong = read_calculation(equations, expression, operation, left, right)
        value = apply(operation, a, b) * (-1 if minus else 1)
        if operation == "-":  # as wide as its operands
            spelled = None if digits is None else (minus or "")[:1] + digits
            result = ("-" if value < 0 else "") + str(abs(value)).zfill(len(left))
        else:
            zeros = right[1:] if operation == "*" else ""
            spelled = None if digits is None else str(int(digits + zeros))
            result = str(value)
    if operation == "-" and not _compares(before, operation, operands):
        wrong = wrong or f'the line before "{expression}" does not compare its numbers'
    if wrong:
        errors.append(wrong)
    elif spelled != said:
        errors.append(f'the facts of "{expression}" spell {spelled}, not {said}')
    elif result != said:
        errors.append(f"{expression} is {result}, not {said}")
    return Line(
        text=text,
        operation=operation,
        operands=operands,
        facts=facts,
        value=None if operation == "?" else int(said),
        spelled=spelled == said,
        equal=result == said,
        true=wrong is None and spelled == said == result,
        error=errors[0] if errors else None,
    )


def _unreadable(text: str, why: str) -> Line:
    error = f'"{excerpt(text)}" {why}'
    return Line(text, "", (), (), None, spelled=False, equal=False, true=False, error=error)

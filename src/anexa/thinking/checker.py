"""A checker of thoughts: what is true in them, and where every number comes from.

A thought comes from a model, so nothing in it is trusted. It is read as `thoughts.py` describes it;
what is not of that form is not true. Time and memory grow with the length of the text, no faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anexa.thinking.facts import Fact, max_grad_norm, read_calculation, read_comparison
from anexa.thinking.questions import (
    MOST_DIGITS_READ,
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
    rf"(-\()?([0-9]{{1,{MOST_DIGITS_READ}}})([-+*?])([0-9]{{1,{MOST_DIGITS_READ}}})(\))?"
)
_GREATEST = 10 ** (2 * MOST_DIGITS_READ)  # result of two operands
_VALUE = re.compile(rf"[<=>]|-?[0-9]{{1,{2 * MOST_DIGITS_READ + 1}}}")


@dataclass(frozen=True, slots=True)
class Line:
    """One step.

    Attributes:
        text: the line.
        operation: "+", "-", "*" or "?"; "" if the line is not of the form.
        operands: the numbers of its expression.
        facts: as many as there are columns, or fewer.
        value: what it says at the end; None if that is no number.
        spelled: whether that is what its facts spell.
        equal: whether that is what its expression is.
        true: whether all of this holds, fact by fact.
        error: what is wrong first, be it false or from nowhere.
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
    """What is true of a thought and its answer.

    Attributes:
        lines: one by one.
        provenance: whether there are lines, and all their operands come from somewhere.
        complete: whether every value is used later or is the last, and, where the phrasing of the
            question is known, every number of it is used.
        faithful: whether the answer is the last value.
        expected: the true result, where the phrasing of the question is known.
        understood: whether the steps, if each were done right, lead to it by the operations that
            were asked for; None where `expected` is None.
        first_error: what is wrong first, in words; None if all is true.
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
        """How many lines there are."""
        return len(self.lines)

    @property
    def true_steps(self) -> int:
        """How many of them are true, wherever their operands come from."""
        return sum(line.true for line in self.lines)

    @property
    def all_true(self) -> bool:
        """Whether every line is true, all hangs together, and the answer is what it leads to."""
        true = bool(self.lines) and self.true_steps == self.steps
        whole = self.provenance and self.complete and self.faithful
        return true and whole and self.understood is not False


def check(question: str, thought: str, answer: str) -> Report:
    """Judges the thought that answers a question. Nothing is raised, whatever the text."""
    asked = read(question)
    # Where it is known what to do with the numbers, each has its one place.
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
        None if faithful else f'the answer "{max_grad_norm(answer)}" is not {last}, the last value',
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
    """In which way the thought is about something else than the question, if that is known."""
    if asked.expected is None or asked.operations is None:
        return None
    for line in lines:
        taken = any(operand.source in ("question", "part") for operand in line.operands)
        if taken and line.operation.replace("?", "-") not in asked.operations:
            return f'"{max_grad_norm(line.text.split(":")[0])}" is not what the question asks for'
    if follow(lines)[-1:] == [asked.expected]:
        return None
    return f"the question's result is {asked.expected}, and the thought is about something else"


def follow(lines: Sequence[Line], given: Mapping[int, int] | None = None) -> list[int]:
    """What each line would say if every step were done right; 0 where nothing can be said.

    Args:
        lines: of a thought.
        given: values that some lines have all the same, by their numbers.
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
        if abs(values[-1]) > _GREATEST:  # else they might grow from line to line, without end
            break
    return values


def _idle(lines: list[Line]) -> str | None:
    """A comparison that is not followed by the difference of its numbers."""
    for line, after in zip(lines, [*lines[1:], None]):
        if line.operation == "?" and not (
            after and _compares(line, after.operation, after.operands)
        ):
            return f'"{max_grad_norm(line.text.split(":")[0])}"'
    return None


def _compares(line: Line | None, operation: str, operands: Sequence[Operand]) -> bool:
    """Whether a line compares the operands of a difference."""
    if not line or line.operation != "?" or operation != "-":
        return False
    return sorted(one.number for one in line.operands) == sorted(one.number for one in operands)


def _addends(
    numbers: tuple[int, int], sources: Sources, compared: Sequence[Operand]
) -> tuple[Operand, Operand]:
    """The numbers of a sum, a comparison, or a difference, of which some were compared before."""
    left = list(compared)
    operands = []
    for number in numbers:
        found = next((operand for operand in left if operand.number == number), None)
        if found:
            left.remove(found)
        operands.append(found or sources.addend(number))
    return operands[0], operands[1]


def _line(text: str, sources: Sources, before: Line | None) -> Line:
    """Judges a line, and takes its operands from the sources or the comparison before it."""
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
    error = f'"{max_grad_norm(text)}" {why}'
    return Line(text, "", (), (), None, spelled=False, equal=False, true=False, error=error)

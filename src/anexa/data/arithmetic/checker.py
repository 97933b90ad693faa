"""A checker of thoughts: what is true in them, and where every number comes from.

A thought comes from a model, so nothing in it is trusted. It is read as `thoughts.py` describes it;
what is not of that form is not true. Time and memory grow with the length of the text, no faster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from anexa.data.arithmetic.questions import (
    MOST_DIGITS_READ,
    Question,
    apply,
    parse_question,
    parse_story,
    read,
)
from anexa.data.arithmetic.sources import Operand, Sources, SourcesTakenOnce

__all__ = ["Fact", "Line", "Operand", "Report", "check", "parse_question", "parse_story"]

_EXPRESSION = re.compile(
    rf"(-\()?([0-9]{{1,{MOST_DIGITS_READ}}})([-+*])([0-9]{{1,{MOST_DIGITS_READ}}})(\))?"
)
_GREATEST = 10 ** (2 * MOST_DIGITS_READ)  # result of two operands
_VALUE = re.compile(rf"0|-?[1-9][0-9]{{0,{2 * MOST_DIGITS_READ}}}")
_FACTS = {
    "+": re.compile(r"([0-9])\+([0-9])\+([0-9])=([0-9])([0-9])"),
    "*": re.compile(r"([0-9])\*([0-9])\+([0-9])=([0-9])([0-9])"),
    "-": re.compile(r"([0-9])([0-9])-([0-9])-([0-9])=([0-9])"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One column.

    Attributes:
        text: the equation.
        true: whether it holds.
        fits: whether its digits are those of the column, and what is carried is what the fact
            before says, at first 0.
    """

    text: str
    true: bool
    fits: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One step.

    Attributes:
        text: the line.
        operation: "+", "-" or "*"; "" if the line is not of the form.
        operands: the numbers of its expression.
        facts: as many as there are columns, or fewer.
        value: what it says at the end.
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
    lines = []
    for number, text in enumerate(texts):
        line = _line(text, sources)
        if line.value is not None:
            sources.put(number, line.value)
        lines.append(line)
    last = lines[-1].value if lines else None
    provenance = all(line.operands for line in lines) and all(
        operand.source != "nowhere" for line in lines for operand in line.operands
    )
    left_over = sources.left_over(len(lines) - 1)
    misread = _misread(asked, lines)
    faithful = last is not None and answer.strip() == str(last)

    errors = [
        *(line.error for line in lines),
        f"{left_over} is never used" if left_over else None,
        misread,
        None if faithful else f'the answer "{_clip(answer)}" is not {last}, the last value',
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
    meant: list[int] = []  # what each line would be if no line before it were false
    for line in lines:
        taken = any(operand.source in ("question", "part") for operand in line.operands)
        if taken and line.operation not in asked.operations:
            return f'"{_clip(line.text.split(":")[0])}" is not what the question asks for'
        if not line.operands:
            meant.append(0)
            continue
        a, b = (meant[one.place] if one.source == "line" else one.number for one in line.operands)
        meant.append(apply(line.operation, a, b) * (-1 if line.text.startswith("-") else 1))
        if abs(meant[-1]) > _GREATEST:  # else they might grow from line to line, without end
            break
    if meant and meant[-1] == asked.expected:
        return None
    return f"the question's result is {asked.expected}, and the thought is about something else"


def _line(text: str, sources: Sources) -> Line:
    """Judges a line, and takes its operands from the sources."""
    form = "is not of the form expression:facts:value"
    if text.count(":") != 2:
        return _unreadable(text, form)
    expression, equations, end = text.split(":")
    match, value = _EXPRESSION.fullmatch(expression), _VALUE.fullmatch(end)
    if not match or not value:
        return _unreadable(text, form)
    minus, left, operation, right, bracket = match.groups()
    if bool(minus) != bool(bracket) or (minus and operation != "-"):
        return _unreadable(text, "has a bracket that does not belong there")
    if operation == "*" and right[1:].strip("0"):
        return _unreadable(text, "multiplies with more than a digit and zeros")
    if operation != "*" and len(left) != len(right):
        return _unreadable(text, "has operands that are not equally wide")

    a, b, said = int(left), int(right), int(value.group())
    operands = sources.factors(a, b) if operation == "*" else (sources.addend(a), sources.addend(b))
    errors = [
        f'{operand.number} in "{expression}" comes from nowhere'
        for operand in operands
        if operand.source == "nowhere"
    ]
    facts, digits, wrong = _facts(equations, expression, operation, left, right)
    spelled = None
    if digits is not None:
        zeros = right[1:] if operation == "*" else ""
        spelled = int(digits + zeros) * (-1 if minus else 1)
    result = apply(operation, a, b) * (-1 if minus else 1)
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
        value=said,
        spelled=spelled == said,
        equal=result == said,
        true=wrong is None and spelled == said == result,
        error=errors[0] if errors else None,
    )


def _facts(
    text: str, expression: str, operation: str, left: str, right: str
) -> tuple[tuple[Fact, ...], str | None, str | None]:
    """The facts of a line, the digits that they spell if they can be read, and what is wrong."""
    columns = list(zip(left[::-1], right[0] * len(left) if operation == "*" else right[::-1]))
    texts = text.split(",", len(columns))
    facts, digits, errors = [], [], []
    carried = 0
    for fact, (x, y) in zip(texts, columns):
        match = _FACTS[operation].fullmatch(fact)
        if not match:
            facts.append(Fact(fact, true=False, fits=False))
            errors.append(f'"{_clip(fact)}" in "{expression}" is not a fact of its kind')
            break
        numbers = tuple(map(int, match.groups()))
        if operation == "-":
            carry, first, second, before, digit = numbers
            result, says = 10 * carry + first - second - before, digit
        else:
            first, second, before, carry, digit = numbers
            result = (first + second if operation == "+" else first * second) + before
            says = 10 * carry + digit
        fits = (first, second, before) == (int(x), int(y), carried)
        facts.append(Fact(fact, true=result == says, fits=fits))
        if result != says:
            errors.append(f"{fact.split('=')[0]} is {result}, not {fact.split('=')[1]}")
        elif not fits:
            place = f"digits {x} and {y}, {'borrowed' if operation == '-' else 'carried'} {carried}"
            errors.append(f'"{fact}" does not belong in "{expression}": {place}')
        digits.append(str(digit))
        carried = carry
    if len(texts) != len(columns) and not errors:
        errors.append(f'"{expression}" needs {len(columns)} facts, one for each column')
    if len(digits) < len(columns):
        return tuple(facts), None, errors[0]
    # What is carried out of the last column is a digit; what is borrowed there has no lender.
    front = "" if operation == "-" else str(carried)
    return tuple(facts), front + "".join(reversed(digits)), errors[0] if errors else None


def _unreadable(text: str, why: str) -> Line:
    error = f'"{_clip(text)}" {why}'
    return Line(text, "", (), (), None, spelled=False, equal=False, true=False, error=error)


def _clip(text: str) -> str:
    """The beginning of a text, fit to be shown in a sentence."""
    short = text if len(text) <= 40 else text[:40] + "…"
    if short.isprintable():
        return short
    return "".join(letter if letter.isprintable() else "?" for letter in short)

"""Checker of thoughts: whether each step is true, and where every number comes from.

A thought is untrusted output of a model. It is parsed by the format in `thoughts.py`; a line in any
other format counts as false. Time and memory grow linearly with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anexa.thinking.facts import Fact, excerpt, parse_calculation, parse_comparison
from anexa.thinking.questions import (
    MAX_DIGITS_READ,
    Question,
    analyze,
    apply,
    parse_question,
    parse_story,
)
from anexa.thinking.sources import Operand, SingleUseSources, Sources
from anexa.thinking.thoughts import relation

__all__ = ["Fact", "Line", "Operand", "Report", "check", "parse_question", "parse_story"]

_EXPRESSION = re.compile(
    rf"(-\()?([0-9]{{1,{MAX_DIGITS_READ}}})([-+*?])([0-9]{{1,{MAX_DIGITS_READ}}})(\))?"
)
_GREATEST = 10 ** (2 * MAX_DIGITS_READ)  # bound of the result of one operation
_VALUE = re.compile(rf"[<=>]|-?[0-9]{{1,{2 * MAX_DIGITS_READ + 1}}}")


@dataclass(frozen=True, slots=True)
class Line:
    """A checked line of a thought: one step, `expression:facts:value`.

    Attributes:
        text: the line.
        operation: "+", "-", "*", or "?" for a comparison; "" if the line cannot be parsed.
        operands: the two operands of the expression; empty if the line cannot be parsed.
        facts: the facts, one per column; fewer if one cannot be parsed.
        value: the value of the line; None for a comparison, or if the line cannot be parsed.
        spelled: whether the value has the digits that result from the facts.
        equal: whether the value is the result of the expression.
        true: whether every fact is true and fits its column, `spelled` and `equal` hold, and the
            line before a difference compares its operands.
        error: the first mistake, as a sentence; None if there is none. An operand without a source
            is a mistake too, although `true` does not depend on it.
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
    """Result of checking a thought and its answer.

    Attributes:
        lines: the checked lines of the thought.
        provenance: whether every operand has a source; False for an empty thought.
        complete: whether every value but the last is used in a later line, and every number of the
            question (if its phrasing is known) is used.
        faithful: whether the answer is the last value.
        expected: correct answer; None if the phrasing of the question is not known.
        solves_question: whether the expressions use the operations of the question and, calculated
            without mistakes, result in `expected`; None if `expected` is None.
        first_error: the first mistake, as a sentence; None if there is none.
    """

    lines: tuple[Line, ...]
    provenance: bool
    complete: bool
    faithful: bool
    expected: int | None
    solves_question: bool | None
    first_error: str | None

    @property
    def steps(self) -> int:
        """Number of lines."""
        return len(self.lines)

    @property
    def true_steps(self) -> int:
        """Number of lines that are true."""
        return sum(line.true for line in self.lines)

    @property
    def all_true(self) -> bool:
        """Whether every line is true, and the thought as a whole leads from question to answer."""
        true = bool(self.lines) and self.true_steps == self.steps
        is_conclusive = self.provenance and self.complete and self.faithful
        return true and is_conclusive and self.solves_question is not False


def check(question: str, thought: str, answer: str) -> Report:
    """Check a thought and its answer to a question; any text is accepted.

    Args:
        question: text of the question.
        thought: text between `<think>` and `</think>`.
        answer: text after the thought.
    """
    asked = analyze(question)
    # If the question can be parsed, each of its numbers must be used exactly once.
    sources = (Sources if asked.expected is None else SingleUseSources)(asked.numbers)
    texts = thought.strip("\n").split("\n") if thought.strip("\n") else []
    lines: list[Line] = []
    for number, text in enumerate(texts):
        line = _line(text, sources, lines[-1] if lines else None)
        if line.value is not None:
            sources.add_value(number, line.value)
        lines.append(line)
    last = lines[-1].value if lines else None
    provenance = all(line.operands for line in lines) and all(
        operand.source != "nowhere" for line in lines for operand in line.operands
    )
    unused = _unused_comparison(lines) or sources.find_unused(len(lines) - 1)
    wrong_question = _wrong_question(asked, lines)
    faithful = last is not None and answer.strip() == str(last)

    errors = [
        *(line.error for line in lines),
        f"{unused} is never used" if unused else None,
        wrong_question,
        None if faithful else f'the answer "{excerpt(answer)}" is not {last}, the last value',
    ]
    first_error = next((error for error in errors if error), None)
    return Report(
        lines=tuple(lines),
        provenance=bool(lines) and provenance,
        complete=unused is None,
        faithful=faithful,
        expected=asked.expected,
        solves_question=None if asked.expected is None else wrong_question is None,
        first_error=first_error if lines else "the thought is empty",
    )


def _wrong_question(asked: Question, lines: list[Line]) -> str | None:
    """Explain why a thought does not solve the question, as a sentence.

    None if it does, or if the phrasing of the question is not known.
    """
    if asked.expected is None or asked.operations is None:
        return None
    for line in lines:
        taken = any(operand.source in ("question", "part") for operand in line.operands)
        if taken and line.operation.replace("?", "-") not in asked.operations:
            return f'"{excerpt(line.text.split(":")[0])}" is not what the question asks for'
    if recompute(lines)[-1:] == [asked.expected]:
        return None
    return f"the question's result is {asked.expected}, and the thought is about something else"


def recompute(lines: Sequence[Line], fixed: Mapping[int, int] | None = None) -> list[int]:
    """Recompute the value of each line from its expression and the values before it.

    Args:
        lines: checked lines of a thought.
        fixed: values to use instead of recomputed ones, by index of the line.

    Returns:
        One value per line; 0 for a comparison and for a line that cannot be parsed. The list ends
        early after a value that is too large.
    """
    values: list[int] = []
    for number, line in enumerate(lines):
        if fixed and number in fixed:
            values.append(fixed[number])
        elif not line.operands or line.operation == "?":
            values.append(0)
        else:
            a, b = (values[o.place] if o.source == "line" else o.number for o in line.operands)
            values.append(apply(line.operation, a, b) * (-1 if line.text.startswith("-") else 1))
        if abs(values[-1]) > _GREATEST:  # values could grow exponentially from line to line
            break
    return values


def _unused_comparison(lines: list[Line]) -> str | None:
    """Return a comparison that is not followed by a difference of its operands; None if all are."""
    for line, after in zip(lines, [*lines[1:], None]):
        if line.operation == "?" and not (
            after and _compares(line, after.operation, after.operands)
        ):
            return f'"{excerpt(line.text.split(":")[0])}"'
    return None


def _compares(line: Line | None, operation: str, operands: Sequence[Operand]) -> bool:
    """Whether a line is the comparison that must precede a difference."""
    if not line or line.operation != "?" or operation != "-":
        return False
    return sorted(one.number for one in line.operands) == sorted(one.number for one in operands)


def _find_addends(
    numbers: tuple[int, int], sources: Sources, compared: Sequence[Operand]
) -> tuple[Operand, Operand]:
    """Find the sources of the operands of a sum, a comparison or a difference.

    Args:
        numbers: the two operands.
        sources: sources of operands.
        compared: operands of a preceding comparison; the difference uses the same sources.
    """
    left = list(compared)
    operands = []
    for number in numbers:
        found = next((operand for operand in left if operand.number == number), None)
        if found:
            left.remove(found)
        operands.append(found or sources.addend(number))
    return operands[0], operands[1]


def _line(text: str, sources: Sources, previous: Line | None) -> Line:
    """Check one line; a difference may take the sources of its operands from line `previous`."""
    form = "is not of the form expression:facts:value"
    if text.count(":") != 2:
        return _unparsable(text, form)
    expression, equations, said = text.split(":")
    match = _EXPRESSION.fullmatch(expression)
    if not match or not _VALUE.fullmatch(said):
        return _unparsable(text, form)
    minus, left, operation, right, bracket = match.groups()
    if (operation == "?") != (said in "<=>"):
        return _unparsable(text, form)
    if bool(minus) != bool(bracket) or (minus and operation != "-"):
        return _unparsable(text, "has a bracket that does not belong there")
    if operation == "*" and right[1:].strip("0"):
        return _unparsable(text, "multiplies with more than a digit and zeros")
    if operation != "*" and len(left) != len(right):
        return _unparsable(text, "has operands that are not equally wide")

    a, b = int(left), int(right)
    if operation == "*":
        operands = sources.factors(a, b)
    else:
        compared = previous.operands if previous and previous.operation + operation == "?-" else ()
        operands = _find_addends((a, b), sources, compared)
    errors = [
        f'{operand.number} in "{expression}" comes from nowhere'
        for operand in operands
        if operand.source == "nowhere"
    ]
    spelled: str | None
    if operation == "?":
        facts, spelled, wrong = parse_comparison(equations, expression, left, right)
        result = relation(a, b)
    else:
        facts, digits, wrong = parse_calculation(equations, expression, operation, left, right)
        value = apply(operation, a, b) * (-1 if minus else 1)
        if operation == "-":  # padded with zeros to the width of its operands
            spelled = None if digits is None else (minus or "")[:1] + digits
            result = ("-" if value < 0 else "") + str(abs(value)).zfill(len(left))
        else:
            zeros = right[1:] if operation == "*" else ""
            spelled = None if digits is None else str(int(digits + zeros))
            result = str(value)
    if operation == "-" and not _compares(previous, operation, operands):
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


def _unparsable(text: str, why: str) -> Line:
    error = f'"{excerpt(text)}" {why}'
    return Line(text, "", (), (), None, spelled=False, equal=False, true=False, error=error)

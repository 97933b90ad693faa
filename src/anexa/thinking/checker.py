"""Checker of thoughts: whether each step is true, and where every number comes from.

A thought is untrusted output of a model. It is parsed by the format in `thoughts.py`; a line in any
other format counts as false. A fact is true if its equation holds, and it fits if it is the fact
that its position in the line requires. Time and memory grow linearly with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from anexa.model.place_marks import PLACE_LETTERS, mark_places
from anexa.thinking.answers import write_answer
from anexa.thinking.facts import MAX_OPERAND_DIGITS, Fact, check_facts, excerpt
from anexa.thinking.questions import Question, parse_question
from anexa.thinking.single_use_sources import SingleUseSources
from anexa.thinking.sources import Operand, OperandSources
from anexa.thinking.thoughts import (
    COMPARISONS,
    compute,
    split_remaining,
    write_expression,
    write_facts,
)

__all__ = ["Fact", "Operand", "ThoughtLine", "ThoughtReport", "check"]

_OPERATION = "|".join(map(re.escape, ("+", "-", "*", "/", *COMPARISONS)))
# An operation on two numbers of a thought, perhaps in a negated bracket: the first number has
# capital letters as place marks, the second has small ones.
_EXPRESSION = re.compile(
    rf"(-\()?((?:[A-Z][0-9]){{1,{MAX_OPERAND_DIGITS}}})({_OPERATION})"
    rf"((?:[a-z][0-9]){{1,{MAX_OPERAND_DIGITS}}})(\))?"
)
# The result of an operation, perhaps with a remainder.
_VALUE = re.compile(
    rf"-?(?:[A-Z][0-9]){{1,{2 * MAX_OPERAND_DIGITS}}}"
    rf"(?: R [0-9]{{1,{MAX_OPERAND_DIGITS}}})?"
)


@dataclass(frozen=True, slots=True)
class ThoughtLine:
    """A checked line of a thought: one step, `expression:facts:value` or `…:value:=remaining`.

    Attributes:
        text: the line.
        operation: "+", "-", "*", "/", or one of `COMPARISONS`; "" if the line cannot be parsed.
        operands: the two operands of the expression; empty if the line cannot be parsed.
        facts: the checked facts; superfluous facts at the end of the line are left out.
        value: the value of the line; None if the line cannot be parsed.
        remainder: the remainder of a division; otherwise 0.
        matches_facts: whether the value consists of the digits that the facts result in.
        is_correct: whether the value is the correct result of the expression.
        has_right_remaining: whether the line ends with the calculation that remains after it; if
            nothing remains, whether it ends with the value.
        true: whether every fact is true and fits its position, no fact is missing or superfluous,
            and `matches_facts`, `is_correct` and `has_right_remaining` hold.
        error: the first mistake, as a sentence; None if there is none. An operand without a source
            is a mistake too, although `true` does not depend on it.
    """

    text: str
    operation: str
    operands: tuple[Operand, ...]
    facts: tuple[Fact, ...]
    value: int | None
    remainder: int
    matches_facts: bool
    is_correct: bool
    has_right_remaining: bool
    true: bool
    error: str | None


@dataclass(frozen=True)
class ThoughtReport:
    """Result of checking a thought and its answer.

    Attributes:
        lines: the checked lines of the thought.
        sourced: whether every line can be parsed and every operand has a source.
        complete: whether every value but the last is used in a later line, nothing remains to be
            calculated after the last line, and every number that the question needs (if its
            phrasing is known) is used.
        faithful: whether the answer follows from the last value; for a question that must be
            refused, whether the answer is the refusal.
        expected: correct answer; None if the phrasing of the question is not known.
        solves_question: whether the lines are the steps that the question asks for, whatever their
            results; None if `expected` is None.
        first_error: the first mistake, as a sentence; None if there is none.

    With an empty thought, `sourced`, `complete` and `faithful` all say whether the question
    needs no thought and the answer is correct, and `solves_question` is True or None.
    """

    lines: tuple[ThoughtLine, ...]
    sourced: bool
    complete: bool
    faithful: bool
    expected: str | None
    solves_question: bool | None
    first_error: str | None

    @property
    def num_steps(self) -> int:
        """Number of lines."""
        return len(self.lines)

    @property
    def num_true_steps(self) -> int:
        """Number of lines that are true."""
        return sum(line.true for line in self.lines)

    @property
    def all_true(self) -> bool:
        """Whether every line is true, and the thought as a whole leads from question to answer.

        An empty thought is enough for a question that needs none, such as 5/0.
        """
        is_conclusive = self.sourced and self.complete and self.faithful
        is_true = self.num_true_steps == self.num_steps
        return is_true and is_conclusive and self.solves_question is not False


def check(question: str, thought: str, answer: str) -> ThoughtReport:
    """Check a thought and its answer to a question; any text is accepted.

    Args:
        question: text of the question.
        thought: text between `<think>` and `</think>`.
        answer: text after the thought.

    Returns:
        The verdict on each line and on the whole thought.
    """
    asked = parse_question(question)
    # If the question can be parsed, the lines must be the steps that it asks for.
    sources = OperandSources(asked.numbers) if asked.expected is None else SingleUseSources(asked)
    texts = thought.strip("\n").split("\n") if thought.strip("\n") else []
    lines = [_line(number, text, sources) for number, text in enumerate(texts)]
    answer = answer.strip()
    if not lines:
        return _check_without_thought(asked, answer)
    sourced = all(line.operands for line in lines) and all(
        operand.source != "nowhere" for line in lines for operand in line.operands
    )
    unused = sources.describe_unused(len(lines) - 1)
    wrong_step = None
    if sources.wrong_line is not None:
        expression = lines[sources.wrong_line].text.split(":")[0]
        wrong_step = f'"{excerpt(expression)}" is not what the question asks for'
    conclusion = _conclude(asked, lines[-1])
    faithful = answer == conclusion
    errors = [
        *(line.error for line in lines),
        f"{unused} is never used" if unused else None,
        wrong_step,
        None if faithful else _unfaithful(answer, conclusion),
    ]
    return ThoughtReport(
        lines=tuple(lines),
        sourced=sourced,
        complete=unused is None,
        faithful=faithful,
        expected=asked.expected,
        solves_question=None if asked.expected is None else sources.is_solved,
        first_error=next((error for error in errors if error), None),
    )


def _check_without_thought(asked: Question, answer: str) -> ThoughtReport:
    """Check an answer without a thought: allowed only if the question needs none, such as 5/0."""
    is_answered = asked.expected is not None and not asked.steps
    faithful = is_answered and answer == asked.expected
    error = None
    if not is_answered:
        error = "the thought is empty"
    elif not faithful:
        error = _unfaithful(answer, asked.expected)
    return ThoughtReport((), faithful, faithful, faithful, asked.expected, faithful or None, error)


def _conclude(asked: Question, last: ThoughtLine) -> str | None:
    """Return the answer that follows from the last line.

    Returns:
        The answer; None if there is none: the line cannot be parsed, or it compares equal numbers
        and has another value.
    """
    if asked.is_refused:
        return asked.expected
    if last.value is None:
        return None
    a, b = (operand.number for operand in last.operands)
    if last.operation in COMPARISONS and a == b and (last.value, last.remainder) != (a, 0):
        return None
    return write_answer(last.operation, a, b, last.value, last.remainder)


def _line(number: int, text: str, sources: OperandSources) -> ThoughtLine:
    """Check the line with index `number`, and record its value in `sources`."""
    written, remaining = split_remaining(text)
    expression, _, rest = written.partition(":")
    facts_text, _, said = rest.rpartition(":")
    match = _EXPRESSION.fullmatch(expression)
    if not match or not _VALUE.fullmatch(said):
        return _unparsable(text, "is not of the form expression:facts:value")
    minus, left, operation, right, bracket = match.groups()
    a, b = int(left[::-2]), int(right[::-2])
    ones_letter = PLACE_LETTERS.index(left[0])
    if f"{left}{operation}{right}" != write_expression(operation, a, b, ones_letter):
        return _unparsable(text, "has digits that are not in the places that their letters name")
    if operation == "/" and b == 0:
        return _unparsable(text, "divides by 0")
    negated = minus is not None
    if negated != (bracket is not None) or (negated and not _may_be_negated(operation, a, b)):
        return _unparsable(text, "has a bracket that does not belong there")

    expressed = (negated, operation, a, b)
    value, remainder = parse_value(said)
    calculation = re.sub("[A-Z]", "", remaining)
    operands = sources.use_operands(number, expressed, value, calculation)
    errors = [
        f'{operand.number} in "{excerpt(expression)}" comes from nowhere'
        for operand in operands
        if operand.source == "nowhere"
    ]
    facts = check_facts(
        facts_text, expression, operation, (a, b), write_facts(operation, a, b, ones_letter)
    )
    spelled = facts.digits and _write_result(facts.digits, facts.remainder, negated, ones_letter)
    right_value, right_remainder = compute(operation, a, b)
    result = _write_result(str(right_value), right_remainder, negated, ones_letter)
    if facts.error:
        errors.append(facts.error)
    elif spelled != said:
        shown = excerpt(str(spelled))
        errors.append(f'the facts of "{excerpt(expression)}" spell {shown}, not {excerpt(said)}')
    elif result != said:
        errors.append(f"{excerpt(expression)} is {excerpt(result)}, not {excerpt(said)}")
    sources.add_value(number, value)
    fitting = sources.update_remaining(expressed, value, remainder, calculation)
    goes_on = calculation in fitting and mark_places(calculation, ones_letter) == remaining
    if not goes_on:
        errors.append(_wrong_remaining(expression, remaining, fitting))
    return ThoughtLine(
        text=text,
        operation=operation,
        operands=operands,
        facts=facts.facts,
        value=value,
        remainder=remainder,
        matches_facts=spelled == said,
        is_correct=result == said,
        has_right_remaining=goes_on,
        true=facts.error is None and spelled == said == result and goes_on,
        error=errors[0] if errors else None,
    )


def parse_value(text: str) -> tuple[int, int]:
    """Parse the well-formed value of a line, such as `B2A6 R 30`.

    Returns:
        Value and remainder, as from `compute`: (26, 30).
    """
    value, _, remainder = text.partition(" R ")
    return int(re.sub("[A-Z]", "", value)), int(remainder or 0)


def _may_be_negated(operation: str, a: int, b: int) -> bool:
    """Return whether an expression may be negated: -5-12 becomes -(5+12), and -5*12 -(5*12)."""
    return (operation == "+" and a > 0) or (operation in "*/" and a * b > 0)


def _write_result(digits: str, remainder: int, negated: bool, ones_letter: int) -> str:
    """Write the value of a line in the format of thoughts, with a letter before each digit.

    Args:
        digits: digits of the result of the operation, perhaps after a minus sign.
        remainder: the remainder of a division; otherwise 0.
        negated: whether the expression is negated: -(…).
        ones_letter: index of the letter of the ones, 0 for A.
    """
    is_negative = digits.startswith("-") != negated
    digits = digits.lstrip("-")
    sign = "-" if is_negative and digits != "0" else ""
    return f"{sign}{mark_places(digits, ones_letter)}{f' R {remainder}' if remainder else ''}"


def _unfaithful(answer: str, conclusion: str | None) -> str:
    if conclusion is None:
        return f'the answer "{excerpt(answer)}" does not follow from the last line'
    return f'the answer "{excerpt(answer)}" is not "{excerpt(conclusion)}"'


def _wrong_remaining(expression: str, said: str, fitting: Sequence[str]) -> str:
    """Describe a wrong or missing remaining calculation at the end of a line.

    Args:
        expression: the expression of the line.
        said: the remaining calculation as the line has it, with place marks; or "".
        fitting: the calculations that would be right there, without place marks; empty if the line
            is not a step of what remained before it.
    """
    after = f'after "{excerpt(expression)}"'
    if said:
        return f'"{excerpt(said)}" is not what remains {after}'
    if not fitting:
        return f'"{excerpt(expression)}" is no step of what remains after the line before'
    return f'"{excerpt(fitting[0])}" remains {after}, and the line does not say so'


def _unparsable(text: str, why: str) -> ThoughtLine:
    error = f'"{excerpt(text)}" {why}'
    return ThoughtLine(
        text,
        "",
        (),
        (),
        None,
        0,
        matches_facts=False,
        is_correct=False,
        has_right_remaining=False,
        true=False,
        error=error,
    )

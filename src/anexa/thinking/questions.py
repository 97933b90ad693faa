"""Parser of questions: their numbers and, if the phrasing is known, the steps to the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from anexa.model.question import normalize_question
from anexa.thinking.answers import BY_ZERO_REFUSAL, INEXACT_REFUSAL, write_answer
from anexa.thinking.expressions import Calculation, numbers_of, parse_expression
from anexa.thinking.phrasings import COMMAND_PHRASINGS, COMPARISON_PHRASINGS, FRAMES, SIGN_WORDS
from anexa.thinking.refusals import MAX_LISTED_NUMBERS, clarifying_question
from anexa.thinking.story_templates import TEMPLATES
from anexa.thinking.thoughts import compute, is_inexact

MAX_QUESTION_DIGITS = 40  # of a number; longer ones are skipped, as int() takes quadratic time

_MAX_PARSED_QUESTION_CHARS = 400  # a longer question is not parsed
_NUMBER = f"[0-9]{{1,{MAX_QUESTION_DIGITS}}}"
_DIGITS = re.compile("[0-9]+")  # digits of a number, however many
_LETTERS = "abcde"  # names of the fields for numbers in phrasings and stories
# Two to `MAX_LISTED_NUMBERS` numbers, separated by commas, spaces or "and".
_LISTED = re.compile(rf"{_NUMBER}(?:(?:,? | and ){_NUMBER}){{1,{MAX_LISTED_NUMBERS - 1}}}[?.]?")
_SIGNS = {word: sign for sign, words in SIGN_WORDS.items() for word in words}
# An operator between numbers or brackets: a word of `SIGN_WORDS` (group 1), or the letter x
# (group 2).
_WORD = re.compile(rf"(?<=[0-9)])(?: ({'|'.join(_SIGNS)}) | ?([xX]) ?)(?=[0-9(])", re.IGNORECASE)


class OperandReference(NamedTuple):
    """Where an operand of a step comes from: the question, or an earlier step.

    Attributes:
        kind: "number" for a number of the question, "step" for the value of an earlier step.
        position: index of the number or of the step, from 0.
    """

    kind: Literal["number", "step"]
    position: int


class AskedStep(NamedTuple):
    """A step that a question asks for.

    Attributes:
        operation: "+", "-", "*", "/", or one of `COMPARISONS`.
        left: the first operand.
        right: the second operand.
    """

    operation: str
    left: OperandReference
    right: OperandReference

    @property
    def needed_steps(self) -> set[int]:
        """Indices of the earlier steps whose values are operands of this one."""
        return {position for kind, position in (self.left, self.right) if kind == "step"}


class ComputedSteps(NamedTuple):
    """Results of the steps of a question.

    Attributes:
        values: values of the computed steps, by index of the step.
        answer: the answer that follows from the last of them; "" if there are no steps.
        is_refused: whether the answer is a refusal: a division is by zero or `is_inexact`.
    """

    values: Mapping[int, int]
    answer: str
    is_refused: bool = False


@dataclass(frozen=True)
class Question:
    """A parsed question.

    Attributes:
        numbers: all numbers in the question, in order, without those of more than
            `MAX_QUESTION_DIGITS` digits.
        steps: the steps that lead to the answer, in the order of their computation; empty if the
            phrasing of the question is not known, or the answer needs no thought.
        expected: correct answer; None if the phrasing of the question is not known.
        operations: the steps and, if the question is refused, the operations after the refused
            division.
        is_refused: whether the answer is a refusal because of a division by zero or `is_inexact`.
    """

    numbers: tuple[int, ...]
    steps: tuple[AskedStep, ...] = ()
    expected: str | None = None
    operations: tuple[AskedStep, ...] = ()
    is_refused: bool = False

    def operands(self, step: AskedStep, values: Mapping[int, int]) -> tuple[int, int]:
        """Look up both operands of a step.

        Args:
            step: one of the steps.
            values: values of earlier steps, by their index.

        Returns:
            The left and the right operand.
        """
        a, b = (
            self.numbers[position] if kind == "number" else values[position]
            for kind, position in (step.left, step.right)
        )
        return a, b

    def compute(self, given: Mapping[int, tuple[int, int]] | None = None) -> ComputedSteps:
        """Compute the steps, up to a division that is by zero or `is_inexact`.

        Args:
            given: (value, remainder) to use instead of the computed ones, by index of the step.
        """
        values: dict[int, int] = {}
        answer = ""
        for number, step in enumerate(self.steps):
            a, b = self.operands(step, values)
            if step.operation == "/" and b == 0:
                return ComputedSteps(values, BY_ZERO_REFUSAL, is_refused=True)
            result = given.get(number) if given else None
            values[number], remainder = result or compute(step.operation, a, b)
            if is_inexact(a, b, remainder, is_last=number == len(self.steps) - 1):
                return ComputedSteps(values, INEXACT_REFUSAL, is_refused=True)
            answer = write_answer(step.operation, a, b, values[number], remainder)
        return ComputedSteps(values, answer)

    def build_remaining(self, values: Mapping[int, int]) -> Calculation | None:
        """Build the calculation that remains after some of its operations.

        Args:
            values: values of the operations that have been computed, by index of the operation.

        Returns:
            The calculation with these values in it; None if the last operation has been computed,
            or the question has no operation.
        """

        def build(reference: OperandReference) -> Calculation | int:
            kind, position = reference
            if kind == "number":
                return self.numbers[position]
            if position in values:
                return values[position]
            operation, left, right = self.operations[position]
            return Calculation(operation, build(left), build(right))

        if not self.operations:
            return None
        root = build(OperandReference("step", len(self.operations) - 1))
        return root if isinstance(root, Calculation) else None


def parse_question(text: str) -> Question:
    """Normalize and parse a question: a calculation, a comparison, a story, or any other text.

    Returns:
        The question; of a text with unknown phrasing or more than 400 characters, only the numbers.
    """
    text = normalize_question(text)
    found = [match for match in _DIGITS.finditer(text) if len(match[0]) <= MAX_QUESTION_DIGITS]
    numbers = tuple(int(match[0]) for match in found)
    if len(text) > _MAX_PARSED_QUESTION_CHARS:
        return Question(numbers)
    calculation = parse_calculation(text)
    if calculation:
        steps = _steps(calculation, iter(range(len(numbers))).__next__)
        return _solve(Question(numbers, steps, operations=steps))
    if _LISTED.fullmatch(text):
        return Question(numbers, expected=clarifying_question(numbers))
    positions = {match.start(): position for position, match in enumerate(found)}
    for pattern, formula in _forms():
        match = pattern.fullmatch(text)
        if match:
            letters = (_LETTERS[number] for number in numbers_of(formula))
            order = [positions[match.start(letter)] for letter in letters]
            steps = _steps(formula, iter(order).__next__)
            return _solve(Question(numbers, steps, operations=steps))
    return Question(numbers)


def parse_calculation(text: str) -> Calculation | None:
    """Parse a calculation: `347*86`, `347 x 86=`, `What is 347 times 86?`, `3*(4-2)` and the like.

    Returns:
        The calculation; None for any other text, and for one of more than 400 characters.
    """
    if len(text) > _MAX_PARSED_QUESTION_CHARS:
        return None
    text = text.strip()
    for pattern in _frames():
        match = pattern.fullmatch(text)
        expression = match and _WORD.sub(lambda word: _SIGNS[(word[1] or "x").lower()], match[1])
        calculation = parse_expression(expression, MAX_QUESTION_DIGITS) if expression else None
        if calculation:
            return calculation
    return None


def _steps(calculation: Calculation, next_position: Callable[[], int]) -> tuple[AskedStep, ...]:
    """List the operations of a calculation, each after the operations of its operands.

    Args:
        calculation: the calculation.
        next_position: function that returns, for each number of the calculation from left to right,
            its index among the numbers of the question.
    """
    steps: list[AskedStep] = []

    def add(node: Calculation | int) -> OperandReference:
        if isinstance(node, int):
            return OperandReference("number", next_position())
        steps.append(AskedStep(node.operation, add(node.left), add(node.right)))
        return OperandReference("step", len(steps) - 1)

    add(calculation)
    return tuple(steps)


def _solve(asked: Question) -> Question:
    """Return the question with its correct answer.

    Its steps end at a division that is by zero or `is_inexact`. There are none if a divisor is a
    number of the question and 0.
    """
    divisors = [step.right for step in asked.steps if step.operation == "/"]
    if any(kind == "number" and asked.numbers[position] == 0 for kind, position in divisors):
        return replace(asked, steps=(), expected=BY_ZERO_REFUSAL, is_refused=True)
    values, answer, is_refused = asked.compute()
    steps = asked.steps[: len(values)]
    return replace(asked, steps=steps, expected=answer, is_refused=is_refused)


@cache
def _frames() -> tuple[re.Pattern[str], ...]:
    """Compile a regular expression for each frame of an expression."""
    return tuple(_compile(frame, lambda _: "([-+*/()0-9A-Za-z ]+?)") for frame in FRAMES)


@cache
def _forms() -> tuple[tuple[re.Pattern[str], Calculation], ...]:
    """Compile a regular expression for each command, comparison and story.

    Returns:
        For each: the regular expression; the formula, in which number i stands for the field
        `_LETTERS[i]`.
    """
    forms = []
    for phrasing in (*COMMAND_PHRASINGS, *COMPARISON_PHRASINGS):
        forms.append((_pattern(phrasing.text), Calculation(phrasing.operation, 0, 1)))
    for template in TEMPLATES:
        digits = template.formula.translate({ord(x): str(i) for i, x in enumerate(_LETTERS)})
        formula = parse_expression(digits, max_digits=1)
        assert formula is not None
        forms.append((_pattern(template.text), formula))
    return tuple(forms)


def _pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression that matches a format string with any values of its fields.

    The fields a to e match numbers, others words; a repeated field matches the same text.
    """
    seen: set[str] = set()

    def group(field: str) -> str:
        if field in seen:
            return f"(?P={field})"
        seen.add(field)
        return f"(?P<{field}>{_NUMBER if field in _LETTERS else '[A-Za-z]+'})"

    return _compile(text, group)


def _compile(text: str, group: Callable[[str], str]) -> re.Pattern[str]:
    """Compile a format string; its first letter may be lower case, its final `?` or `.` left out.

    Args:
        text: the format string.
        group: function from the name of a field to its regular expression.
    """
    pieces = re.split(r"{(\w*)}", text)
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = map(group, pieces[1::2])
    first, last = text[0], text[-1]
    if first.isalpha():
        pieces[0] = f"[{first}{first.lower()}]{pieces[0][1:]}"
    if last in "?.":
        pieces[-1] += "?"
    return re.compile("".join(pieces))

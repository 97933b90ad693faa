"""Sources of operands in a thought about a question of known phrasing: each is used once."""

from __future__ import annotations

from anexa.thinking.answers import BY_ZERO_REFUSAL, INEXACT_REFUSAL
from anexa.thinking.questions import AskedStep, OperandReference, Question
from anexa.thinking.sources import (
    Operand,
    OperandSources,
    WrittenExpression,
    write_both_ways,
    write_remaining,
)
from anexa.thinking.thoughts import compute


class SingleUseSources(OperandSources):
    """Sources for a question of known phrasing: each line must compute one of its steps.

    So each value, and each number that the steps need, is used exactly once. The lines may be in
    any order in which the operands of each have been computed before it. Of a question that must be
    refused, lines before the refused division may compute operations that come after it.

    Args:
        asked: the question.
    """

    def __init__(self, asked: Question) -> None:
        super().__init__(())
        self._asked = asked
        # Operations that no line has computed yet, by index; the steps are the first of them.
        self._pending = dict(enumerate(asked.operations))
        self._is_inexact = False  # whether a line is a division for which the question is refused
        self._line_of: dict[int, int] = {}  # step: line that computes it
        needed = {reference for step in asked.steps for reference in (step.left, step.right)}
        self._numbers = {
            position: number
            for position, number in enumerate(asked.numbers)
            if OperandReference("number", position) in needed
        }

    def use_operands(
        self, line: int, written: WrittenExpression, value: int, calculation: str
    ) -> tuple[Operand, Operand]:
        """Find the step that a line computes, and return its sources as operands.

        The arguments are those of `OperandSources.use_operands`. Of several steps that the
        expression may be, as in (1+1)*(1+1), it is the one after which `calculation` remains. The
        first line that computes none is recorded as `wrong_line`.
        """
        values = self._values_of_steps()
        matches: dict[int, list[OperandReference]] = {}
        for number, step in {} if self._is_finished else self._pending.items():
            if step.needed_steps <= values.keys():
                a, b = self._asked.operands(step, values)
                found = None if self._is_wrong_refusal(step, a, b) else _match(step, a, b, written)
                if found:
                    matches[number] = found
        if matches:
            remaining = self._asked.build_remaining
            leaving = (
                number
                for number in matches
                if write_remaining(remaining({**values, number: value})) == calculation
            )
            number = next(leaving, next(iter(matches)))
            step, (left, right) = self._pending.pop(number), matches[number]
            self._line_of[number] = line
            if self._asked.expected == INEXACT_REFUSAL and step.operation == "/":
                a, b = self._asked.operands(step, values)
                self._is_inexact = compute("/", a, b)[1] != 0
            return self._use(left, written[2]), self._use(right, written[3])
        if self.wrong_line is None:
            self.wrong_line = line
        return super().use_operands(line, written, value, calculation)

    @property
    def is_solved(self) -> bool:
        """Whether the lines are the steps that the question asks for."""
        return self.wrong_line is None and self._is_finished

    @property
    def _is_finished(self) -> bool:
        """Whether all steps have been computed, or a division for which the question is refused."""
        return self._is_inexact or not any(
            number in self._pending for number in range(len(self._asked.steps))
        )

    def _is_wrong_refusal(self, step: AskedStep, a: int, b: int) -> bool:
        """Return whether a division leaves a remainder, although the reason for the refusal is 0.

        A thought that goes on with its quotient is wrong: it would have had to end there.
        """
        is_division = step.operation == "/" and b != 0
        return (
            is_division and self._asked.expected == BY_ZERO_REFUSAL and compute("/", a, b)[1] != 0
        )

    def update_remaining(
        self, written: WrittenExpression, value: int, remainder: int, calculation: str
    ) -> tuple[str, ...]:
        """List the one calculation that remains of the question, as a text, or "" for none.

        From the first line on that is not a step of the question, the result is that of
        `OperandSources.update_remaining`.
        """
        if self.wrong_line is not None:
            return super().update_remaining(written, value, remainder, calculation)
        remaining = self._asked.build_remaining(self._values_of_steps())
        return ("" if remainder else write_remaining(remaining),)

    def describe_unused(self, last: int) -> str | None:
        """Describe an unused number of the question, or else as in `OperandSources`.

        The result is None if all are used, or if the question must be refused and the lines lead to
        that refusal.
        """
        if self._asked.is_refused and self._is_finished:
            return None  # the operations that would use the others cannot be computed
        for number in self._numbers.values():
            return f"{number}"
        return super().describe_unused(last)

    def _values_of_steps(self) -> dict[int, int]:
        """Return the values that lines have computed for steps, by index of the step."""
        lines = self._line_of.items()
        return {step: self._values[line] for step, line in lines if line in self._values}

    def _use(self, reference: OperandReference, number: int) -> Operand:
        """Make an operand of a source of a step, and mark it as used: no later line can use it."""
        kind, position = reference
        if kind == "number":
            self._numbers.pop(position, None)
            return Operand(number, "question", position)
        line = self._line_of[position]
        self._unused.pop(line, None)
        self._forget(line)
        return Operand(number, "line", line)

    def _value(self, value: int) -> Operand | None:
        operand = super()._value(value)
        if operand:
            self._forget(operand.position)
        return operand

    def _forget(self, line: int) -> None:
        """Remove a line from the lines whose value can still be used."""
        lines = self._lines.get(self._values[line], {})
        lines.pop(line, None)
        if not lines:
            self._lines.pop(self._values[line], None)

    def _has_number(self, number: int) -> bool:
        return number in self._numbers.values()

    def _number(self, number: int) -> Operand | None:
        for position, candidate in self._numbers.items():
            if candidate == number:
                del self._numbers[position]
                return Operand(number, "question", position)
        return None


def _match(
    step: AskedStep, a: int, b: int, written: WrittenExpression
) -> list[OperandReference] | None:
    """Match a line with a step; the operands of sums and products may be in any order.

    Args:
        step: the step.
        a: value of its first operand, with its sign.
        b: value of its second operand.
        written: the expression of the line.

    Returns:
        The sources of the line's operands, in their order; None if the line computes another step.
    """
    if step.operation == "/" and b == 0:
        return None
    sides = [step.left, step.right]
    ways = write_both_ways(step.operation, a, b)
    if step.operation in "+-" and ways[0][1] == "-" and a < 0:
        sides.reverse()  # -5+12 is written as 12-5
    if written == ways[0]:
        return sides
    return sides[::-1] if written in ways else None

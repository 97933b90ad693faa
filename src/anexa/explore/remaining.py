"""Tracks a calculation through a thought: which numbers remain after each line.

After the first line of (21+42)*5, for example, 63 (the value of line 0) and 5 remain. Each of them
is identified by its source, a number of the question or the value of a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from anexa.thinking.checker import ThoughtLine
from anexa.thinking.questions import OperandReference, Question

NumberSource: TypeAlias = tuple[str, int]
"""Source of a number, as in `Operand`: ("question", index of the number) or ("line", index of the
line)."""


class RemainingCalculation:
    """The part of a question's calculation that no line has computed yet.

    `add` takes the lines of a thought one by one, and `sources` says what remains after the last.

    Args:
        question: the question; if its phrasing is not known, nothing remains.
    """

    def __init__(self, question: Question) -> None:
        self._operations = question.operations
        self._lines: dict[int, int] = {}  # operation: the line that computes it; both indices

    def add(self, number: int, line: ThoughtLine) -> None:
        """Record that a line computes the first pending operation with the same two sources.

        A line whose sources no pending operation has changes nothing.

        Args:
            number: index of the line.
            line: the checked line.
        """
        wanted = sorted((operand.source, operand.position) for operand in line.operands)
        for position in range(len(self._operations)):
            if position not in self._lines and sorted(self._operands(position)) == wanted:
                self._lines[position] = number
                return

    def sources(self) -> list[NumberSource]:
        """List the sources of the numbers that remain, from left to right; empty if none does."""
        last = len(self._operations) - 1
        return [] if last < 0 or last in self._lines else [*self._operands(last)]

    def _operands(self, operation: int) -> Iterator[NumberSource]:
        """Yield the sources of the remaining numbers in the operands of an operation."""
        _, *references = self._operations[operation]
        for reference in references:
            yield from self._sources(reference)

    def _sources(self, reference: OperandReference) -> Iterator[NumberSource]:
        """Yield the sources of the remaining numbers in one operand."""
        kind, position = reference
        if kind == "number":
            yield "question", position
        elif position in self._lines:
            yield "line", self._lines[position]
        else:
            yield from self._operands(position)

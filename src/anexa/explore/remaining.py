"""Follows the calculation of a question through a thought: which numbers remain after each line.

A number that remains is a number of the question, or the value of a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from anexa.thinking.checker import Line
from anexa.thinking.questions import Question, Reference

Source: TypeAlias = tuple[str, int]
"""Source of a number, as in `Operand`: "question" or "line", and the index of the number or of the
line."""


class RemainingCalculation:
    """The calculation of a question, and the operations of it that lines have computed.

    Args:
        question: the question; if it is no calculation and no story, nothing is known to remain.
    """

    def __init__(self, question: Question) -> None:
        self._operations = question.operations
        self._lines: dict[int, int] = {}  # operation: line that computes it

    def add(self, number: int, line: Line) -> None:
        """Record the operation that line `number` computes: one with the same two sources."""
        wanted = sorted((operand.source, operand.place) for operand in line.operands)
        for place in range(len(self._operations)):
            if place not in self._lines and sorted(self._operands(place)) == wanted:
                self._lines[place] = number
                return

    def sources(self) -> list[Source]:
        """List the sources of the numbers that remain, from left to right; none if all is done."""
        last = len(self._operations) - 1
        return [] if last < 0 or last in self._lines else [*self._operands(last)]

    def _operands(self, operation: int) -> Iterator[Source]:
        """Yield the sources of the numbers that remain of an operation."""
        _, *references = self._operations[operation]
        for reference in references:
            yield from self._sources(reference)

    def _sources(self, reference: Reference) -> Iterator[Source]:
        kind, place = reference
        if kind == "number":
            yield "question", place
        elif place in self._lines:
            yield "line", self._lines[place]
        else:
            yield from self._operands(place)

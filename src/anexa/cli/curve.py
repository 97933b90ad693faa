"""A curve of losses, small enough to stand above a progress bar."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BRAILLE = 0x2800  # the character without dots; each of its eight dots is a bit
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # column by column, from the top
HEIGHT = 4  # in lines
MARK = "●"
LEAST_WIDTH, LEAST_HEIGHT = 50, 16  # of a terminal with room for it
MOST = 1024  # values kept: four for each column of dots on a terminal of 128 characters


def curve(
    values: Sequence[float], width: int, height: int, bounds: tuple[float, float] | None = None
) -> list[str]:
    """Draw numbers from left to right with Braille dots, two columns of four in a character.

    The highest number is at the top and the lowest at the bottom. Where there are more numbers than
    columns of dots, a column shows the mean of its own. What is not finite is left out.

    Args:
        values: what to draw.
        width: in characters.
        height: in lines.
        bounds: what is at the bottom and at the top, if not the lowest and the highest.

    Returns:
        `height` lines of `width` characters.
    """
    points = columns(values, 2 * width)
    low, high = bounds or (min(points, default=0.0), max(points, default=0.0))
    cells = [[BRAILLE] * width for _ in range(height)]
    rows = [row(value, low, high, 4 * height) for value in points]
    for x, (before, here) in enumerate(pairwise([*rows[:1], *rows])):
        # Up or down to it from its neighbour's height, so that a steep curve has no holes.
        start = before + (here > before) - (here < before)
        for y in range(min(start, here), max(start, here) + 1):
            cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
    return ["".join(map(chr, line)) for line in cells]


def columns(values: Sequence[float], count: int) -> list[float]:
    """`count` numbers for the finite values: means of neighbours, or points between them."""
    finite = [value for value in values if math.isfinite(value)]
    n = len(finite)
    if n == 0:
        return []
    if n >= count:
        ends = [i * n // count for i in range(count + 1)]
        return [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(ends)]
    points = []
    for i in range(count):
        place = i * (n - 1) / max(count - 1, 1)
        left = min(int(place), n - 2) if n > 1 else 0
        right = min(left + 1, n - 1)
        points.append(finite[left] + (place - left) * (finite[right] - finite[left]))
    return points


def row(value: float, low: float, high: float, count: int) -> int:
    """The row of a value, from 0 at the top to count - 1; in the middle where all are the same."""
    if high - low <= 1e-9 * abs(high):  # no more than what rounding makes of it
        return count // 2
    return round((high - value) / (high - low) * (count - 1))


class LossCurve:
    """The losses of a run as they come, drawn as wide as the terminal; nothing where it is small.

    However long the run, it keeps no more than MOST numbers: means of ever more steps.
    """

    def __init__(self) -> None:
        self._means: list[float] = []
        self._steps_each = 1
        self._sum, self._count = 0.0, 0  # of the mean in the making
        self._steps = 0
        self._marks: list[tuple[int, float]] = []

    def add(self, loss: float) -> None:
        """The training loss of a step."""
        self._steps += 1
        self._sum += loss
        self._count += 1
        if self._count == self._steps_each:
            self._means.append(self._sum / self._count)
            self._sum, self._count = 0.0, 0
            if len(self._means) == MOST:
                self._means = [(a + b) / 2 for a, b in zip(self._means[::2], self._means[1::2])]
                self._steps_each *= 2

    def mark(self, loss: float) -> None:
        """The validation loss after the steps so far."""
        self._marks.append((self._steps, loss))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        values = [value for value in self._means if math.isfinite(value)]
        dots = not options.ascii_only and os.environ.get("TERM") != "linux"  # whose font has none
        room = options.max_width >= LEAST_WIDTH and console.height >= LEAST_HEIGHT
        if len(values) < 2 or not (dots and room):
            return
        marks = [(step, loss) for step, loss in self._marks if math.isfinite(loss)]
        losses = [*values, *(loss for _, loss in marks)]
        low, high = min(losses), max(losses)
        names = [f"{high:.2f}", *[""] * (HEIGHT - 2), f"{low:.2f}"]
        margin = max(map(len, names))
        width = options.max_width - margin - 2
        lines = [Text(line, "cyan") for line in curve(values, width, HEIGHT, (low, high))]
        for step, loss in marks:
            x = min(width - 1, step * width // self._steps)
            y = row(loss, low, high, HEIGHT)
            lines[y] = Text.assemble(lines[y][:x], (MARK, "bold yellow"), lines[y][x + 1 :])
        key = f"{MARK} validation"
        if marks and set(lines[0].plain[-len(key) :]) == {chr(BRAILLE)}:
            lines[0] = Text.assemble(lines[0][: -len(key)], (key, "yellow"))
        for name, line in zip(names, lines):
            yield Text.assemble(
                (f"{name:>{margin}} ┤" if name else " " * margin + " │", "dim"), line
            )

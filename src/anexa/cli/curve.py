"""A loss curve in Braille characters, for display above a progress bar."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BLANK_BRAILLE = 0x2800  # the character without dots; each of its eight dots is a bit
# Bit of each dot of a character: DOTS[column][row from the top].
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
CURVE_HEIGHT = 4  # height of the curve, in lines of text
VALIDATION_MARK = "●"  # shows a validation loss
MIN_WIDTH, MIN_HEIGHT = 50, 16  # of the smallest terminal with a curve, in characters
MAX_VALUES = 1024  # values kept: four for each column of dots on a terminal of 128 characters


def draw_curve(
    values: Sequence[float], width: int, height: int, bounds: tuple[float, float] | None = None
) -> list[str]:
    """Draw a curve from left to right with Braille characters, each two columns of four dots.

    If there are more values than columns, each column shows the mean of neighboring values. Values
    that are infinite or NaN are left out.

    Args:
        values: values of the curve, from left to right.
        width: width in characters.
        height: height in lines of text.
        bounds: values at the bottom and at the top; default: the lowest and the highest value.
            No value may lie outside them.

    Returns:
        `height` lines of `width` characters, the top first; blank if no value is finite.
    """
    points = resample(values, 2 * width)
    low, high = bounds or (min(points, default=0.0), max(points, default=0.0))
    cells = [[BLANK_BRAILLE] * width for _ in range(height)]
    rows = [dot_row(value, low, high, 4 * height) for value in points]
    for x, (before, here) in enumerate(pairwise([*rows[:1], *rows])):
        # Fill the column up or down from the previous point: a steep curve has no holes.
        start = before + (here > before) - (here < before)
        for y in range(min(start, here), max(start, here) + 1):
            cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
    return ["".join(map(chr, line)) for line in cells]


def resample(values: Sequence[float], count: int) -> list[float]:
    """Resample the finite values to `count` points: means of neighbors, or linear interpolation.

    Returns:
        The points; empty if no value is finite.
    """
    import numpy as np

    finite = [value for value in values if math.isfinite(value)]
    n = len(finite)
    if n >= count:
        ends = [i * n // count for i in range(count + 1)]
        return [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(ends)]
    if not finite:
        return []
    points: list[float] = np.interp(np.linspace(0, n - 1, count), range(n), finite).tolist()
    return points


def dot_row(value: float, low: float, high: float, count: int) -> int:
    """Return the row of dots of a value, from 0 at the top to `count` − 1 at the bottom.

    Args:
        value: value from `low` to `high`.
        low: value of the bottom row.
        high: value of the top row. If it equals `low`, the row is the middle one.
        count: number of rows.
    """
    if high - low <= 1e-9 * abs(high):  # equal but for rounding
        return count // 2
    return round((high - value) / (high - low) * (count - 1))


class LossCurve:
    """Live curve of the losses of a run, as wide as the terminal, for display by `rich`.

    It is empty with fewer than two finite losses, and in a terminal that is small or has no Braille
    characters.

    At most `MAX_VALUES` values are kept, however long the run: means over more and more steps.
    """

    def __init__(self) -> None:
        self._means: list[float] = []
        self._steps_each = 1
        self._sum, self._count = 0.0, 0  # of the current mean
        self._steps = 0
        self._markers: list[tuple[int, float]] = []

    def add(self, loss: float) -> None:
        """Append a loss to show after a step; `LiveReporter` passes the moving average."""
        self._steps += 1
        self._sum += loss
        self._count += 1
        if self._count == self._steps_each:
            self._means.append(self._sum / self._count)
            self._sum, self._count = 0.0, 0
            if len(self._means) == MAX_VALUES:
                self._means = [(a + b) / 2 for a, b in zip(self._means[::2], self._means[1::2])]
                self._steps_each *= 2

    def mark(self, loss: float) -> None:
        """Mark a validation loss, measured after the steps so far."""
        self._markers.append((self._steps, loss))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        values = [value for value in self._means if math.isfinite(value)]
        dots = (
            not options.ascii_only and os.environ.get("TERM") != "linux"
        )  # the Linux console's font has no Braille
        room = options.max_width >= MIN_WIDTH and console.height >= MIN_HEIGHT
        if len(values) < 2 or not (dots and room):
            return
        markers = [(step, loss) for step, loss in self._markers if math.isfinite(loss)]
        losses = [*values, *(loss for _, loss in markers)]
        low, high = min(losses), max(losses)
        names = [f"{high:.2f}", *[""] * (CURVE_HEIGHT - 2), f"{low:.2f}"]
        margin = max(map(len, names))
        width = options.max_width - margin - 2
        lines = [
            Text(line, "cyan") for line in draw_curve(values, width, CURVE_HEIGHT, (low, high))
        ]
        for step, loss in markers:
            x = min(width - 1, step * width // self._steps)
            y = dot_row(loss, low, high, CURVE_HEIGHT)
            lines[y] = Text.assemble(
                lines[y][:x], (VALIDATION_MARK, "bold yellow"), lines[y][x + 1 :]
            )
        key = f"{VALIDATION_MARK} validation"
        if markers and set(lines[0].plain[-len(key) :]) == {chr(BLANK_BRAILLE)}:
            lines[0] = Text.assemble(lines[0][: -len(key)], (key, "yellow"))
        for name, line in zip(names, lines):
            yield Text.assemble(
                (f"{name:>{margin}} ┤" if name else " " * margin + " │", "dim"), line
            )

from __future__ import annotations

import io
import math
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from anexa.cli.curve import MAX_VALUES, LossCurve, draw_curve
from tests.slowness import is_within

# Losses, in steps of what a curve can show at all.
losses = st.integers(0, 10_000).map(lambda n: n / 1000)
sizes = {"width": st.integers(1, 60), "height": st.integers(1, 6)}


def dots(lines: list[str]) -> list[set[int]]:
    """Return the rows of the dots in each column, from the top, by the Unicode standard."""
    rows: list[set[int]] = [set() for _ in range(2 * len(lines[0]))]
    numbers = {
        1: (0, 0),
        2: (0, 1),
        3: (0, 2),
        4: (1, 0),
        5: (1, 1),
        6: (1, 2),
        7: (0, 3),
        8: (1, 3),
    }
    for y, line in enumerate(lines):
        for x, character in enumerate(line):
            for number, (column, row) in numbers.items():
                if ord(character) - 0x2800 >> (number - 1) & 1:
                    rows[2 * x + column].add(4 * y + row)
    return rows


@given(st.lists(st.floats()), sizes["width"], sizes["height"])
def test_curve_has_the_requested_size(values: list[float], width: int, height: int) -> None:
    values = [value for value in values if not abs(value) > 1e100 or math.isinf(value)]
    lines = draw_curve(values, width, height)
    assert [len(line) for line in lines] == [width] * height
    assert all("\u2800" <= character <= "\u28ff" for line in lines for character in line)
    filled = [bool(rows) for rows in dots(lines)]
    assert filled == [any(map(math.isfinite, values))] * (2 * width)


@given(st.data(), sizes["width"], sizes["height"])
def test_extremes_are_at_the_top_and_the_bottom(
    data: st.DataObject, width: int, height: int
) -> None:
    n = 2 * width  # a column of dots each
    values = data.draw(st.lists(losses, min_size=n, max_size=n).filter(lambda v: len(set(v)) > 1))
    columns = dots(draw_curve(values, width, height))
    for value, rows in zip(values, columns):
        assert 0 in rows or value < max(values)
        assert 4 * height - 1 in rows or value > min(values)
        middle = (max(values) - value) / (max(values) - min(values)) * (4 * height - 1)
        assert min(abs(row - middle) for row in rows) <= 0.5


@given(st.lists(losses, min_size=2, max_size=200, unique=True), sizes["width"], sizes["height"])
def test_falling_values_give_a_falling_curve(values: list[float], width: int, height: int) -> None:
    columns = dots(draw_curve(sorted(values, reverse=True), width, height))
    assert all(max(left) <= min(right) for left, right in pairwise(columns))
    assert 0 in columns[0]
    assert 4 * height - 1 in columns[-1]
    mirrored = dots(draw_curve(sorted(values), width, height))
    assert all(min(left) >= max(right) for left, right in pairwise(mirrored))


@given(st.lists(losses, min_size=1, max_size=200), sizes["width"], sizes["height"])
def test_curve_has_no_holes(values: list[float], width: int, height: int) -> None:
    columns = dots(draw_curve(values, width, height))
    for rows in columns:
        assert rows == set(range(min(rows), max(rows) + 1))
    for left, right in pairwise(columns):
        assert min(right) <= max(left) + 1
        assert max(right) >= min(left) - 1


@given(losses, st.integers(1, 500), sizes["width"], sizes["height"])
def test_constant_values_give_a_level_curve(
    value: float, count: int, width: int, height: int
) -> None:
    assert len(set(map(frozenset, dots(draw_curve([value] * count, width, height))))) == 1


def test_a_column_shows_the_mean_of_its_values() -> None:
    assert draw_curve([4, 4, 1, 5, 2, 0, 0, 0], 2, 1) == draw_curve([4, 3, 1, 0], 2, 1)


def test_curve_equals_a_drawing_by_hand() -> None:
    assert draw_curve([3, 2, 1, 0], 2, 1) == ["⠑⢄"]
    assert draw_curve([0, 1, 2, 3], 2, 1) == ["⡠⠊"]
    assert draw_curve([1, 0], 4, 2) == ["⠑⢄⠀⠀", "⠀⠀⠑⢄"]
    assert draw_curve([4, 0, 4, 4], 2, 1) == ["⢱⠏"]


def shown(losses: LossCurve, width: int = 80, height: int = 24, encoding: str = "utf-8") -> str:
    """Render the curve for a terminal of this size."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=file, width=width, height=height, color_system=None, _environ={})
    console.print(losses)
    file.flush()
    return raw.getvalue().decode(encoding)


def falling(steps: int) -> LossCurve:
    losses = LossCurve()
    for step in range(steps):
        losses.add(4.0 - 2 * step / (steps - 1))
        if step in (steps // 2, steps - 1):
            losses.mark(4.25 - 2 * step / steps)
    return losses


def test_a_terminal_shows_the_range_and_the_validation() -> None:
    lines = shown(falling(200)).splitlines()
    assert [len(line) for line in lines] == [80] * 4
    assert [line[:6] for line in lines] == ["4.00 ┤", "     │", "     │", "2.00 ┤"]
    assert lines[0].endswith("⠀● validation")
    marks = [line[6:].index("●") for line in lines[1:] if "●" in line]
    assert marks == [pytest.approx(74 / 2, abs=1), 73]


def test_with_less_than_two_steps_there_is_no_curve() -> None:
    losses = LossCurve()
    losses.mark(4.5)
    assert shown(losses) == ""
    losses.add(4.0)
    assert shown(losses) == ""


def test_range_includes_validation_losses() -> None:
    losses = falling(100)
    losses.mark(9.5)
    top = shown(losses).splitlines()[0]
    assert top.startswith("9.50 ┤")
    assert top.endswith("●")  # in the place of the key


@pytest.mark.parametrize(
    ("width", "height", "encoding", "lines"),
    [
        (80, 24, "utf-8", 4),
        (200, 60, "utf-8", 4),
        (50, 16, "utf-8", 4),
        (49, 24, "utf-8", 0),
        (80, 15, "utf-8", 0),
        (80, 24, "ascii", 0),
        (80, 24, "cp1252", 0),
    ],
)
def test_small_terminals_show_no_curve(
    width: int, height: int, encoding: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert len(shown(falling(100), width, height, encoding).splitlines()) == lines
    monkeypatch.setenv("TERM", "linux")
    assert shown(falling(100), width, height, encoding) == ""


@pytest.mark.parametrize("steps", [2, 3, 100, MAX_VALUES - 1, MAX_VALUES, MAX_VALUES + 1, 10_000])
def test_number_of_kept_values_is_bounded(steps: int) -> None:
    losses = falling(steps)
    kept = losses._means
    assert len(kept) < MAX_VALUES
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == pytest.approx(4, abs=0.01)
    assert kept[-1] == pytest.approx(2, abs=0.01)


def test_nan_and_infinity_are_left_out() -> None:
    losses = LossCurve()
    for loss in (4.0, math.nan, 3.0, math.inf, 2.0):
        losses.add(loss)
        losses.mark(math.nan)
    assert re.match(r"4\.00 ┤.*\n.*\n.*\n2\.00 ┤.*\n$", shown(losses))
    assert "●" not in shown(losses)


def test_adding_a_loss_takes_microseconds() -> None:
    losses = LossCurve()
    began = time.process_time()
    for step in range(20_000):
        losses.add(4.0 - step / 10_000)
    assert is_within(time.process_time() - began, 20_000 * 50e-6)

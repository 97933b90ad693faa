"""Picture of `giants.py`: accuracy of products by the number of digits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from giants_published import ACCURACIES, GPT2, GRID, SOURCES
from giants_tables import MAX_TRAINED, square

from anexa.errors import AnexaError
from anexa.files import write_atomic
from anexa.training.loss_plot import COLORS, RC_PARAMS, has_matplotlib

DIGITS = range(1, 21)
OURS = "Anexa (hollow: longer than in training)"
SERIES = {  # published models: color and marker
    GRID: (COLORS[3], "D"),
    GPT2: (COLORS[2], "s"),
    "GPT-4": (COLORS[1], "^"),
    "ChatGPT": (COLORS[1], "v"),
}


def draw(tasks: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw our accuracy of products beside the published ones.

    Args:
        tasks: field "thinking" of the report of `anexa eval --json`, by task.
        path: file to write: .svg or .png.

    Raises:
        AnexaError: if the file has another suffix or cannot be written, or matplotlib is missing.
    """
    if path.suffix not in (".svg", ".png"):
        raise AnexaError(f"a picture ends in .svg or .png, not {path.name}")
    if not has_matplotlib():
        raise AnexaError("pictures need matplotlib: pip install 'anexa[plot]'")
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    # A fixed salt and no date: the same figures make the same file.
    with matplotlib.rc_context(RC_PARAMS | {"svg.hashsalt": "giants"}):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        _draw_ours(axes, tasks)
        for name in SERIES:
            _draw_published(axes, name)
        axes.legend(loc="lower left", frameon=False)
        axes.set(
            xlim=(0.5, 20.5),
            ylim=(-3, 104),
            xticks=DIGITS,
            xlabel="digits of each factor",
            ylabel="right products in percent",
        )
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(file, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_atomic(path, file.getvalue())


def _draw_published(axes: Any, name: str) -> None:
    color, marker = SERIES[name]
    found = [some for some in ACCURACIES if some.model == name and "x" in some.task]
    size = f", {found[0].parameters} parameters" if found[0].parameters else ", not trained for it"
    numbers = sorted({SOURCES.index(some.source) + 1 for some in found})
    axes.plot(
        [int(some.task.split("x")[0]) for some in found],
        [some.percent for some in found],
        marker,
        color=color,
        markersize=5,
        label=f"{name}{size} [{', '.join(map(str, numbers))}]",
    )


def _draw_ours(axes: Any, tasks: dict[str, dict[str, Any]]) -> None:
    """Draw our curve: a line, and points that are hollow if longer than in training."""
    found = {n: tasks[square(n)] for n in DIGITS if tasks.get(square(n), {}).get("count")}
    if not found:
        return
    points = {n: 100 * some["hits"] / some["count"] for n, some in found.items()}
    axes.plot([*points], [*points.values()], color=COLORS[0], linewidth=2, zorder=3, label=OURS)
    for n, percent in points.items():
        low, high = (100 * bound for bound in found[n]["interval"])
        axes.plot([n, n], [low, high], color=COLORS[0], linewidth=1, zorder=3)
        face = COLORS[0] if n <= MAX_TRAINED else "white"
        axes.plot(n, percent, "o", color=COLORS[0], markerfacecolor=face, zorder=4)

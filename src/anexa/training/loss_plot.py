"""Plots of the losses of one or several runs."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anexa.errors import AnexaError, UsageError
from anexa.files import write_atomic
from anexa.names import shown
from anexa.training.metrics import METRICS_PATH, MetricsRecord, Sample, read_metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOSS_PLOT_PATH = Path("training") / "loss.png"  # in a model folder
PLOT_SUFFIXES = (".png", ".svg", ".pdf")  # formats of plots
REDRAW_INTERVAL = 10.0  # minimum time between two plots of a run, in seconds: each takes about 0.5
# The palette of Okabe and Ito (2008), which people with color blindness can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
TEXT_COLOR, MARK_COLOR, GRID_COLOR = "#333333", "#777777", "#dddddd"
# Settings of matplotlib (rcParams).
RC_PARAMS: dict[Any, Any] = {
    "font.size": 11,
    "text.color": TEXT_COLOR,
    "axes.labelcolor": TEXT_COLOR,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID_COLOR,
    "grid.linewidth": 0.6,
    "xtick.color": TEXT_COLOR,
    "ytick.color": TEXT_COLOR,
    "text.parse_math": False,  # a folder may be named $x$
    "svg.fonttype": "none",  # text stays text
}
# Markers of validation losses and of samples, as arguments of matplotlib's `plot`.
VALIDATION_MARKERS: dict[str, Any] = {
    "marker": "o",
    "markersize": 5,
    "markeredgecolor": "white",
    "linestyle": "none",
}
SAMPLE_MARKERS: dict[str, Any] = {"marker": "^", "markersize": 5, "linestyle": "none"}
SMOOTH_POINTS = 40  # number of records of a run / number of them in the smoothing window

# Name, metrics records and samples of a run.
PlottedRun = tuple[str, Sequence[MetricsRecord], Sequence[Sample]]


def has_matplotlib() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


class LossPlot:
    """The plot `training/loss.png` of a run; nothing is drawn without matplotlib.

    Args:
        folder: model folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last_drawn = time.monotonic()

    def update(self, *, final: bool = False) -> None:
        """Draw the metrics recorded so far, at most once in `REDRAW_INTERVAL` seconds.

        The first interval begins when this object is created. Without a metrics log nothing is
        drawn.

        Args:
            final: whether to draw at any time.

        Raises:
            AnexaError: if the file cannot be written, or the metrics are damaged.
        """
        due = final or time.monotonic() - self._last_drawn >= REDRAW_INTERVAL
        if due and has_matplotlib() and (self._folder / METRICS_PATH).exists():
            run = (self._folder.name, *read_metrics(self._folder))
            draw_losses([run], self._folder / LOSS_PLOT_PATH)
            self._last_drawn = time.monotonic()


def check_suffix(path: Path) -> None:
    """Check that a path has the suffix of an image format: .png, .svg or .pdf.

    Raises:
        UsageError: if the path has another suffix.
    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"a plot must be a {', '.join(PLOT_SUFFIXES)} file, not {path}")


def check_matplotlib() -> None:
    """Check that matplotlib is installed, so that plots can be drawn.

    Raises:
        AnexaError: if matplotlib is not installed.
    """
    if not has_matplotlib():
        raise AnexaError("plots need matplotlib: pip install 'anexa[plot]'")


def draw_losses(runs: Sequence[PlottedRun], path: Path) -> None:
    """Plot training and validation losses over the steps, with marks at the samples.

    Args:
        runs: name, metrics records and samples of each run.
        path: file to write, .png, .svg or .pdf; an existing file is replaced.

    Raises:
        UsageError: if the file has another suffix.
        AnexaError: if the file cannot be written, or matplotlib is not installed.
    """
    check_suffix(path)
    check_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(RC_PARAMS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may contain characters that the font lacks
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        bounds = []
        for index, (_, records, samples) in enumerate(runs):
            bounds += _draw_run(axes, records, samples, index, len(runs))
        _finish(axes, bounds)
        _legend(figure, runs)
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150)
    write_atomic(path, file.getvalue())


def _draw_run(
    axes: Any, records: Sequence[MetricsRecord], samples: Sequence[Sample], index: int, count: int
) -> list[float]:
    """Plot the losses of one run.

    Args:
        axes: matplotlib's axes.
        records: metrics records of the run.
        samples: samples of the run, whose steps are marked.
        index: index of the run, which gives its color.
        count: number of runs in the plot.

    Returns:
        Losses that the range of the vertical axis must include.
    """
    import numpy as np

    color = COLORS[index % len(COLORS)]
    other = COLORS[1] if count == 1 else color
    steps = np.array([record.step for record in records])
    losses = np.array([record.loss for record in records], float)
    there = np.isfinite(losses)
    steps, losses = steps[there], losses[there]
    smooth = smooth_losses(losses)
    if len(losses) > SMOOTH_POINTS:
        axes.plot(steps, losses, color=color, linewidth=0.7, alpha=0.25 if count == 1 else 0.12)
    axes.plot(steps, smooth, color=color, linewidth=2)
    measured = [(r.step, r.validation_loss) for r in records if r.validation_loss is not None]
    points = zip(*measured) if measured else ([], [])
    axes.plot(*points, color=other, zorder=3, clip_on=False, **VALIDATION_MARKERS)
    x, y = [sample.step for sample in samples], [0.02 + 0.03 * index] * len(samples)
    mark = color if count > 1 else MARK_COLOR
    axes.plot(x, y, color=mark, transform=axes.get_xaxis_transform(), **SAMPLE_MARKERS)
    if count == 1 and any(step for step, _ in measured):
        _label(axes, measured, other)
    # The losses of the first batches may be far above all others: let the axis cut them off.
    bounds = [float(np.quantile(smooth, q)) for q in (0, 0.995)] if len(smooth) else []
    return [*bounds, *(loss for _, loss in measured)]


def smooth_losses(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth losses by a centered moving average.

    At the start the window is symmetric and shrinks. At the end only its right half shrinks:
    losses hardly fall there, and a short window would be noisy.

    Args:
        losses: losses, shape (N,).

    Returns:
        Means, shape (N,).
    """
    import numpy as np

    reach = len(losses) // (2 * SMOOTH_POINTS)
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    index = np.arange(len(losses))
    before = np.minimum(reach, index)
    after = np.minimum(before, index[::-1])
    totals = sums[index + after + 1] - sums[index - before]
    means: NDArray[np.float64] = totals / (before + after + 1)
    return means


def _label(axes: Any, measured: Sequence[tuple[int, float]], color: str) -> None:
    """Annotate the best validation loss and, if it differs, the last one.

    Args:
        axes: matplotlib's axes.
        measured: step and validation loss of each evaluation.
        color: color of the run.
    """
    last = measured[-1]
    best = min((m for m in measured if m[0]), key=lambda m: m[1], default=last)
    ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.5}
    axes.plot(*best, color=color, clip_on=False, **ring)
    for (step, loss), name in {last: "last", best: "best"}.items():
        near = step > 0.9 * last[0]
        axes.annotate(
            f"{name} {loss:.4f}",
            (step, loss),
            xytext=(6 if near else 0, 12),
            textcoords="offset points",
            horizontalalignment="right" if near else "center",
            color=color,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )


def _finish(axes: Any, bounds: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("steps")
    axes.set_ylabel("loss (nats per token)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlim(0, max(1.0, 1.02 * axes.dataLim.x1))
    if bounds:
        low, high = min(bounds), max(bounds)
        room = (high - low) * 0.08 or 0.1
        axes.set_ylim(low - 2 * room, high + room)


def _legend(figure: Any, runs: Sequence[PlottedRun]) -> None:
    """Draw the legend outside the axes."""
    from matplotlib.lines import Line2D

    one = len(runs) == 1
    many = any(len(records) > SMOOTH_POINTS for _, records, _ in runs)
    line, point = COLORS[:2] if one else (MARK_COLOR, MARK_COLOR)
    entries = [
        (Line2D([], [], color=line, linewidth=2), "training, smoothed" if many else "training"),
        (Line2D([], [], color=point, **VALIDATION_MARKERS), "validation"),
    ]
    if any(samples for _, _, samples in runs):
        entries.append((Line2D([], [], color=MARK_COLOR, **SAMPLE_MARKERS), "sample"))
    if not one:
        entries = [
            (Line2D([], [], color=COLORS[i % len(COLORS)], linewidth=5), _named(name, records))
            for i, (name, records, _) in enumerate(runs)
        ] + entries
    handles, labels = zip(*entries)
    location = "outside upper right" if one else "outside right upper"
    figure.legend(handles, labels, frameon=False, loc=location, ncols=3 if one else 1)


def _named(name: str, records: Sequence[MetricsRecord]) -> str:
    losses = [r.validation_loss for r in records if r.validation_loss is not None and r.step]
    name = shown(name)
    return f"{name}\nbest {min(losses):.4f}" if losses else name

"""The losses of one run or several as a picture."""

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
from anexa.training.metrics import METRICS, MetricsRecord, Sample, read_metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURE = Path("training") / "loss.png"
SUFFIXES = (".png", ".svg", ".pdf")
APART = 10.0  # seconds between two pictures of a run: each takes about half a second from it
# Okabe and Ito's colours (2008), which are told apart by almost everyone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, GREY, PALE = "#333333", "#777777", "#dddddd"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a folder may be called $x$
    "svg.fonttype": "none",  # text stays text
}
LINE = 40  # about how many means that share no loss a smoothed curve shows

Trainer = tuple[str, Sequence[MetricsRecord], Sequence[Sample]]


def can_draw() -> bool:
    """Whether the library that draws is installed."""
    return find_spec("matplotlib") is not None


class LossPicture:
    """`training/loss.png`, drawn anew as a run goes on; nothing where matplotlib is missing.

    Args:
        folder: the model folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn = time.monotonic()

    def update(self, *, last: bool = False) -> None:
        """Draw what the run has recorded so far; if it is not the `last` time, not too often.

        Raises:
            AnexaError: it cannot be written.
        """
        due = last or time.monotonic() - self._drawn >= APART
        if due and can_draw() and (self._folder / METRICS).exists():
            run = (self._folder.name, *read_metrics(self._folder))
            draw_losses([run], self._folder / PICTURE)
            self._drawn = time.monotonic()


def check_suffix(path: Path) -> None:
    """Make sure that a path's name is that of a picture.

    Raises:
        UsageError: its name ends in something else.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the name of a picture ends in {', '.join(SUFFIXES)}: {path} does not")


def check_drawing() -> None:
    """Make sure that pictures can be drawn.

    Raises:
        AnexaError: matplotlib is not installed.
    """
    if not can_draw():
        raise AnexaError("pictures need matplotlib: pip install 'anexa[plot]'")


def draw_losses(runs: Sequence[Trainer], path: Path) -> None:
    """Draw training and validation losses over steps, and where samples were taken.

    Args:
        runs: of each its name, its records and its samples.
        path: the picture: .png, .svg or .pdf.

    Raises:
        UsageError: its name ends in something else.
        AnexaError: it cannot be written, or matplotlib is not installed.
    """
    check_suffix(path)
    check_drawing()
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may have letters that the font lacks
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
    """Draw a run; the losses that the picture must have room for."""
    import numpy as np

    colour = COLOURS[index % len(COLOURS)]
    other = COLOURS[1] if count == 1 else colour
    steps = np.array([record.step for record in records])
    losses = np.array([record.loss for record in records], float)
    there = np.isfinite(losses)
    steps, losses = steps[there], losses[there]
    smooth = smoothed(losses)
    if len(losses) > LINE:
        axes.plot(steps, losses, color=colour, linewidth=0.7, alpha=0.25 if count == 1 else 0.12)
    axes.plot(steps, smooth, color=colour, linewidth=2)
    measured = [(r.step, r.validation_loss) for r in records if r.validation_loss is not None]
    axes.plot(
        *zip(*measured) if measured else ([], []),
        color=other,
        marker="o",
        markersize=5,
        markeredgecolor="white",
        linestyle="none",
        zorder=3,
        clip_on=False,
    )
    axes.plot(
        [sample.step for sample in samples],
        [0.02 + 0.03 * index] * len(samples),
        color=colour if count > 1 else GREY,
        marker="^",
        markersize=5,
        linestyle="none",
        transform=axes.get_xaxis_transform(),
    )
    if count == 1 and any(step for step, _ in measured):
        _label(axes, measured, other)
    # The first batches may be far above all that follows.
    bounds = [float(np.quantile(smooth, share)) for share in (0, 0.995)] if len(smooth) else []
    return [*bounds, *(loss for _, loss in measured)]


def smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each loss and its neighbours, as many on either side: at the start, of fewer.

    Not so at the end, where losses hardly fall, and the last ones alone would be a wild tail.
    """
    import numpy as np

    reach = len(losses) // (2 * LINE)
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    index = np.arange(len(losses))
    before = np.minimum(reach, index)
    after = np.minimum(before, index[::-1])
    totals = sums[index + after + 1] - sums[index - before]
    means: NDArray[np.float64] = totals / (before + after + 1)
    return means


def _label(axes: Any, measured: Sequence[tuple[int, float]], colour: str) -> None:
    """Name the best validation loss and, if it is another, the last one."""
    last = measured[-1]
    best = min((m for m in measured if m[0]), key=lambda m: m[1], default=last)
    ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.5}
    axes.plot(*best, color=colour, clip_on=False, **ring)
    for (step, loss), name in {last: "last", best: "best"}.items():
        near = step > 0.9 * last[0]
        axes.annotate(
            f"{name} {loss:.4f}",
            (step, loss),
            xytext=(6 if near else 0, 12),
            textcoords="offset points",
            horizontalalignment="right" if near else "center",
            color=colour,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )


def _finish(axes: Any, bounds: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("steps")
    axes.set_ylabel("loss (nats a token)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlim(0, max(1.0, 1.02 * axes.dataLim.x1))
    if bounds:
        low, high = min(bounds), max(bounds)
        room = (high - low) * 0.08 or 0.1
        axes.set_ylim(low - 2 * room, high + room)


def _legend(figure: Any, runs: Sequence[Trainer]) -> None:
    """What the colours and the marks mean, outside the axes."""
    from matplotlib.lines import Line2D

    one = len(runs) == 1
    many = any(len(records) > LINE for _, records, _ in runs)
    line, point = COLOURS[:2] if one else (GREY, GREY)
    ring: dict[str, Any] = {"markersize": 6, "markeredgecolor": "white", "linestyle": "none"}
    entries = [
        (Line2D([], [], color=line, linewidth=2), "training, smoothed" if many else "training"),
        (Line2D([], [], color=point, marker="o", **ring), "validation"),
    ]
    if any(samples for _, _, samples in runs):
        entries.append((Line2D([], [], color=GREY, marker="^", **ring), "a sample was written"))
    if not one:
        entries = [
            (Line2D([], [], color=COLOURS[i % len(COLOURS)], linewidth=5), _named(name, records))
            for i, (name, records, _) in enumerate(runs)
        ] + entries
    handles, labels = zip(*entries)
    place = "outside upper right" if one else "outside right upper"
    figure.legend(handles, labels, frameon=False, loc=place, ncols=3 if one else 1)


def _named(name: str, records: Sequence[MetricsRecord]) -> str:
    losses = [r.validation_loss for r in records if r.validation_loss is not None and r.step]
    return f"{name}\nbest {min(losses):.4f}" if losses else name

"""Content of a plot, read from its SVG; and the other file formats."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from anexa.errors import AnexaError, UsageError
from anexa.training import loss_plot as picture
from anexa.training.loss_plot import COLORS, draw_losses, has_matplotlib
from anexa.training.metrics import MetricsRecord
from tests.cli.process import listing
from tests.training.metrics import history, record

needs_matplotlib = pytest.mark.skipif(not has_matplotlib(), reason="matplotlib is not installed")
SVG = "{http://www.w3.org/2000/svg}"


class Drawing:
    """Elements of a plot in an SVG file."""

    def __init__(self, runs: Sequence[picture.PlottedRun], folder: Path) -> None:
        path = folder / "losses.svg"
        draw_losses(runs, path)
        root = ET.parse(path).getroot()
        self.texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
        self._uses = [use.get("style", "") for use in root.iter(f"{SVG}use")]
        self._paths = [(p.get("style", ""), p.get("d", "")) for p in root.iter(f"{SVG}path")]

    def marks(self, color: str) -> int:
        """Count the marks of a color."""
        return sum(f"fill: {color.lower()}" in style for style in self._uses)

    def curves(self, color: str) -> list[int]:
        """Count the points of each line of a color; a line in the legend has three."""
        lines = [d for style, d in self._paths if f"stroke: {color.lower()}" in style]
        return [len(re.findall("[ML]", d)) for d in lines]


@needs_matplotlib
def test_one_run_has_its_losses_and_labels(tmp_path: Path) -> None:
    drawing = Drawing([("m", *history(10))], tmp_path)
    assert {"steps", "loss (nats per token)", "training", "validation"} <= set(drawing.texts)
    assert "sample" in drawing.texts
    assert {"0", "1,000", "2,000"} <= set(drawing.texts)
    assert drawing.curves(COLORS[0]) == [10, 3]
    assert drawing.marks(COLORS[1]) == 11 + 1  # one is in the legend
    assert drawing.marks(picture.MARK_COLOR) == 10 + 1
    [best] = [text for text in drawing.texts if text.startswith("best")]
    assert best == "best 1.5709"
    assert not any(text.startswith("last") for text in drawing.texts)


@needs_matplotlib
def test_the_last_loss_is_labeled_if_it_is_not_the_best(tmp_path: Path) -> None:
    records = [record(10 * i, validation_loss=loss) for i, loss in enumerate([1, 3, 2, 2.5])]
    texts = Drawing([("m", records, [])], tmp_path).texts
    assert {"best 2.0000", "last 2.5000"} <= set(texts)  # before any training does not count
    assert "sample" not in texts


@needs_matplotlib
def test_many_records_are_shown_raw_and_smoothed(tmp_path: Path) -> None:
    drawing = Drawing([("m", *history(400))], tmp_path)
    assert "training, smoothed" in drawing.texts
    curves = drawing.curves(COLORS[0])
    assert len(curves) == 3
    assert all(count > 100 for count in curves[:2])


@needs_matplotlib
def test_several_runs_have_their_own_colors_and_names(tmp_path: Path) -> None:
    names = ["$x$", "_hidden", "имя", "three", "<b>"]
    runs = [(name, *history(20, floor=1.0 + i)) for i, name in enumerate(names)]
    drawing = Drawing(runs, tmp_path)
    assert {*names, "best 1.1209", "best 5.1209"} <= set(drawing.texts)
    for color in COLORS[:5]:
        assert drawing.curves(color)[0] == 20
        assert drawing.marks(color) == 11 + 10


def test_smoothing_is_a_centered_moving_average() -> None:
    np = pytest.importorskip("numpy")
    few = np.array([3.0, 1.0, 2.0])
    assert picture.smooth_losses(few).tolist() == [3, 1, 2]
    line = np.linspace(4, 1, 500)
    assert picture.smooth_losses(line)[:-6] == pytest.approx(line[:-6])  # it lags behind nothing
    noise = np.array([1.0, -1.0] * 500)
    assert abs(picture.smooth_losses(noise)[50:]).max() < 0.1
    assert picture.smooth_losses(noise)[0] == 1


@needs_matplotlib
@pytest.mark.parametrize(
    "records",
    [
        [],
        [record(0, loss=math.nan, validation_loss=4.0)],
        [record(10)],
        [record(10, loss=math.nan), record(20, loss=math.nan)],
        [record(10, validation_loss=2.0), record(20, validation_loss=2.0)],
        [record(step, loss=2.0) for step in range(100)],
    ],
)
def test_runs_with_few_records_are_drawn(records: list[MetricsRecord], tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "b.PDF"):
        draw_losses([("m", records, [])], path)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "b.PDF").read_bytes().startswith(b"%PDF")


@needs_matplotlib
def test_drawing_needs_no_display_and_prints_nothing(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from anexa.training.loss_plot import draw_losses\n"
        "from tests.training.metrics import history\n"
        "draw_losses([('模型 \\U0001f600', *history(50)), ('b', *history(5))], Path('a.png'))\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    path = os.pathsep.join(path or "." for path in sys.path)
    result = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(listing(tmp_path)) == ["a.png"]


@needs_matplotlib
def test_unwritable_plot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"^cannot write .*a\.png: there is no folder .*nowhere$"):
        draw_losses([("m", *history(10))], tmp_path / "nowhere" / "a.png")
    for name in ("a.jpeg", "a"):
        with pytest.raises(UsageError, match=r"a plot must be a \.png, \.svg, \.pdf file, not "):
            draw_losses([("m", *history(10))], tmp_path / name)
    assert listing(tmp_path) == {}


def test_missing_matplotlib_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    assert not has_matplotlib()
    with pytest.raises(AnexaError, match=r"pip install 'anexa\[plot\]'"):
        draw_losses([("m", *history(10))], tmp_path / "a.png")

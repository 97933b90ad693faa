"""The metrics log of a run, and the plot of its losses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.training import LossPlotCallback, Trainer, build_trainer, loss_plot, resume_trainer
from anexa.training.checkpoint import read_checkpoint
from anexa.training.loss_plot import LOSS_PLOT_PATH
from anexa.training.metrics import Sample, read_metrics
from anexa.training.schedule import learning_rate
from tests.training.runs import finish, settings, stop_after


def test_metrics_log_agrees_with_the_steps(names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=20, batch_size=2), tmp_path / "m")
    steps = list(run)
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))
    assert [record.loss for record in records] == [step.loss for step in steps]
    assert [record.learning_rate for record in records] == [
        pytest.approx(learning_rate(0.01, step / 20, warmup=0.0)) for step in range(20)
    ]
    validated = [r.validation_loss for r in records if r.validation_loss is not None]
    assert validated == [e.validation_loss for e in run.state.evaluations[1:]]
    assert records[-1].tokens == run.state.tokens
    assert all(r.gradient_norm > 0 and r.tokens_per_second > 0 for r in records)
    assert all(r.mfu is not None and 0 < r.mfu < 1.5 for r in records)


def build_with_plot(corpus: Path, folder: Path) -> Trainer:
    """Build a run that plots its losses."""
    run = build_trainer(settings(corpus), folder)
    run.callbacks = (*run.callbacks, LossPlotCallback())
    return run


needs_matplotlib = pytest.mark.skipif(
    not loss_plot.has_matplotlib(), reason="there is no matplotlib"
)


@needs_matplotlib
@pytest.mark.parametrize(("interval", "plots"), [(0.0, 10), (1e9, 0)])
def test_losses_are_plotted_at_intervals_and_at_the_end(
    interval: float, plots: int, names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_plot, "REDRAW_INTERVAL", interval)
    run = build_with_plot(names, tmp_path / "m")
    drawn, before = 0, b""
    for step in run:
        path = tmp_path / "m" / LOSS_PLOT_PATH
        now = path.read_bytes() if path.exists() else b""
        drawn, before = drawn + (now != before), now
        if step.evaluation and run.metrics:
            run.metrics.add(Sample(step.step, "a sample"))  # marked in the next plot
    assert drawn == plots
    assert (tmp_path / "m" / LOSS_PLOT_PATH).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "m" / LOSS_PLOT_PATH).read_bytes() != before


@needs_matplotlib
def test_a_stopped_run_is_plotted(names: Path, tmp_path: Path) -> None:
    for steps, drawn in ((0, False), (3, True)):  # of nothing there is no plot
        folder = tmp_path / f"m{steps}"
        stop_after(build_with_plot(names, folder), steps)
        assert (folder / LOSS_PLOT_PATH).exists() == drawn


def test_without_matplotlib_nothing_is_plotted(
    names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # so Python finds none
    finish(build_with_plot(names, tmp_path / "m"))
    assert not (tmp_path / "m" / LOSS_PLOT_PATH).exists()


def test_plotting_does_not_count_in_the_speed(
    names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(loss_plot, "REDRAW_INTERVAL", 0.0)
    finish(build_with_plot(names, tmp_path / "m"))
    records, _ = read_metrics(tmp_path / "m")
    slowest = min(record.tokens_per_second for record in records)
    assert slowest > 20  # a drawing between two steps would leave about 10


def test_a_resumed_run_has_one_continuous_log(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 13)
    finish(resume_trainer(tmp_path / "m"))
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))


def test_stopping_and_resuming_changes_no_record(names: Path, tmp_path: Path) -> None:
    """Also if a record is the mean over several steps, some of them before the stop."""
    wanted = settings(names, steps=1000, block_size=4, batch_size=1)
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    stop_after(build_trainer(wanted, tmp_path / "m"), 131)
    resumed = finish(resume_trainer(tmp_path / "m"))
    sequences = [
        [(r.step, r.loss, r.learning_rate, r.gradient_norm) for r in read_metrics(run.folder)[0]]
        for run in (whole, resumed)
    ]
    assert sequences[0] == sequences[1]
    assert len(sequences[0]) == 500


def test_evaluations_are_logged_before_the_checkpoint_is_saved(names: Path, tmp_path: Path) -> None:
    """So a run killed in between has no checkpoint that is ahead of the metrics."""
    run = build_trainer(settings(names), tmp_path / "m")
    card = tmp_path / "m" / "README.md"
    card.unlink()
    card.mkdir()  # so that saving fails
    with pytest.raises(AnexaError, match=r"README\.md"):
        finish(run)
    card.rmdir()
    assert [r.step for r in read_metrics(tmp_path / "m")[0] if r.validation_loss] == [2]
    assert read_checkpoint(tmp_path / "m").state.step == 0
    finish(resume_trainer(tmp_path / "m"))
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))

"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from anexa.errors import AnexaError
from anexa.training.metrics import MetricsLog, Sample, read_metrics
from tests.training.metrics import record

TAGS = [
    "gradient_norm",
    "learning_rate",
    "loss/train",
    "loss/validation",
    "sample/text_summary",
    "tokens_per_second",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    (tmp_path / "m" / "training").mkdir(parents=True)
    return tmp_path / "m"


def shown(folder: Path) -> Any:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.plugin_event_accumulator",
        reason="TensorBoard is not installed",
    )
    return reader.EventAccumulator(str(folder / "training")).Reload()


def values(events: Any, tag: str) -> dict[int, Any]:
    from tensorboard.util.tensor_util import make_ndarray

    found = [(event.step, make_ndarray(event.tensor_proto).item()) for event in events.Tensors(tag)]
    assert len(dict(found)) == len(found), f"a step of {tag} is there twice: {found}"
    return dict(found)


def texts(events: Any) -> dict[int, str]:
    found = values(events, "sample/text_summary")
    return {step: text.decode() for step, text in found.items()}


def test_tensorboard_shows_records_as_they_are_written(folder: Path) -> None:
    metrics = MetricsLog(folder, tensorboard=True)
    metrics.add(record(10, loss=2.5))
    metrics.add(record(20, loss=1.5, validation_loss=1.75, learning_rate=0.5))
    metrics.add(Sample(20, "first\n\n# second *line*"))
    events = shown(folder)  # while the run goes on
    assert sorted(events.Tags()["tensors"]) == TAGS
    assert values(events, "loss/train") == {10: 2.5, 20: 1.5}
    assert values(events, "loss/validation") == {20: 1.75}
    assert values(events, "learning_rate") == pytest.approx({10: 0.004, 20: 0.5})
    assert values(events, "gradient_norm") == {10: 0.25, 20: 0.25}
    assert values(events, "tokens_per_second") == {10: 2048, 20: 2048}
    assert texts(events) == {20: "    first\n    \n    # second *line*"}
    metrics.close()


def test_nan_and_infinity_are_left_out(folder: Path) -> None:
    MetricsLog(folder, tensorboard=True).add(record(10, loss=math.nan, mfu=0.5))
    events = shown(folder)
    assert "loss/train" not in events.Tags()["tensors"]
    assert values(events, "mfu") == {10: 0.5}


def test_a_resumed_run_shows_each_step_once(folder: Path) -> None:
    metrics = MetricsLog(folder, tensorboard=True)
    for step in (10, 20, 30):
        metrics.add(record(step))
        metrics.add(Sample(step, f"after {step}"))
    watching = shown(folder)
    metrics.close()
    metrics = MetricsLog(folder, after_step=20, tensorboard=True)
    metrics.add(record(30, loss=7.0))
    metrics.add(Sample(30, "again"))
    expected = {10: 1.5 + 1 / 10, 20: 1.5 + 1 / 20, 30: 7.0}
    for events in (shown(folder), watching.Reload()):
        assert values(events, "loss/train") == pytest.approx(expected)
        assert texts(events) == {10: "    after 10", 20: "    after 20", 30: "    again"}


def test_a_resumed_run_shows_the_steps_before_tensorboard(folder: Path) -> None:
    MetricsLog(folder).add(record(10))
    MetricsLog(folder, after_step=10, tensorboard=True).add(record(20))
    assert list(values(shown(folder), "loss/train")) == [10, 20]


def test_times_are_those_of_the_training(folder: Path) -> None:
    MetricsLog(folder).add(record(10, seconds=1000.0))
    before = time.time()
    MetricsLog(folder, after_step=10, tensorboard=True).add(record(20, seconds=1500.0))
    first, second = shown(folder).Tensors("loss/train")
    assert first.wall_time == pytest.approx(before, abs=60)
    assert second.wall_time - first.wall_time == pytest.approx(500)


def test_missing_tensorboardx_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training").mkdir()
    MetricsLog(tmp_path).add(record(10))
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(AnexaError, match=r"pip install 'anexa\[plot\]'"):
        MetricsLog(tmp_path, after_step=10, tensorboard=True)
    assert read_metrics(tmp_path)[0] == [record(10)]

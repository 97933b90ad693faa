from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anexa.errors import AnexaError
from anexa.training.metrics import METRICS_PATH, MetricsLog, Sample, read_metrics
from tests.training.metrics import record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with the parts of a model folder that metrics need."""
    (tmp_path / "m" / "training").mkdir(parents=True)
    return tmp_path / "m"


def lines(folder: Path) -> list[dict[str, Any]]:
    """Parse the file as strict JSON, which has no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (folder / METRICS_PATH).read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_records_can_be_read_as_soon_as_they_are_written(folder: Path) -> None:
    metrics = MetricsLog(folder)
    first, second = record(10), record(20, validation_loss=1.75, mfu=0.4)
    metrics.add(first)
    assert read_metrics(folder) == ([first], [])
    metrics.add(Sample(10, "однажды\n«b»\u2028\x85"))
    metrics.add(second)
    assert read_metrics(folder) == ([first, second], [Sample(10, "однажды\n«b»\u2028\x85")])
    assert b'"step": 10' in (folder / METRICS_PATH).read_bytes().splitlines()[0]


def test_every_line_is_strict_json(folder: Path) -> None:
    metrics = MetricsLog(folder)
    metrics.add(record(10, loss=1.5, validation_loss=1.75))
    metrics.add(Sample(10, "an"))
    assert lines(folder) == [
        {
            "step": 10,
            "tokens": 10240,
            "seconds": 5.0,
            "loss": 1.5,
            "validation_loss": 1.75,
            "general_loss": None,
            "learning_rate": 0.004,
            "gradient_norm": 0.25,
            "tokens_per_second": 2048.0,
            "mfu": None,
        },
        {"step": 10, "text": "an"},
    ]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_written_as_null(number: float, folder: Path) -> None:
    MetricsLog(folder).add(record(1, loss=number, gradient_norm=number, validation_loss=number))
    [line] = lines(folder)
    assert (line["loss"], line["gradient_norm"], line["validation_loss"]) == (None, None, None)
    [[read], _] = read_metrics(folder)
    assert math.isnan(read.loss)
    assert math.isnan(read.gradient_norm)
    assert read.validation_loss is None


def test_resuming_drops_records_of_repeated_steps(folder: Path) -> None:
    metrics = MetricsLog(folder)
    for step in (10, 20, 30):
        metrics.add(record(step))
        metrics.add(Sample(step, f"after {step}"))
    metrics = MetricsLog(folder, after_step=20)
    assert [one.step for one in read_metrics(folder)[0]] == [10, 20]
    metrics.add(record(30, loss=9.0))
    records, samples = read_metrics(folder)
    assert records == [record(10), record(20), record(30, loss=9.0)]
    assert samples == [Sample(10, "after 10"), Sample(20, "after 20")]


def test_a_new_run_has_no_records(folder: Path) -> None:
    MetricsLog(folder).add(record(10))
    MetricsLog(folder)
    assert read_metrics(folder) == ([], [])


def test_half_a_line_is_skipped_and_then_removed(folder: Path) -> None:
    MetricsLog(folder).add(record(10))
    whole = (folder / METRICS_PATH).read_bytes()
    MetricsLog(folder, after_step=10).add(record(20))
    both = (folder / METRICS_PATH).read_bytes()
    for end in range(len(whole), len(both)):
        (folder / METRICS_PATH).write_bytes(both[:end])
        assert read_metrics(folder) == ([record(10)], [])
        MetricsLog(folder, after_step=20).add(record(20))
        assert (folder / METRICS_PATH).read_bytes() == both


@pytest.mark.parametrize(
    "line",
    [
        b"GGUF",
        b"[1]",
        b"7",
        b"",
        b"{}",
        b'{"step": 1}',
        b'{"step": "one", "text": "an"}',
        json.dumps({**record(1).__dict__, "loss": "low"}).encode(),
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_damaged_log_is_an_error(line: bytes, folder: Path) -> None:
    MetricsLog(folder).add(record(10))
    with (folder / METRICS_PATH).open("ab") as file:
        file.write(line + b"\n")
    before = (folder / METRICS_PATH).read_bytes()
    for use in (read_metrics, MetricsLog):
        with pytest.raises(AnexaError, match=r"^line 2 of .*metrics\.jsonl is damaged"):
            use(folder)
    assert (folder / METRICS_PATH).read_bytes() == before


def test_missing_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="holds no metrics of a training: it has no training"):
        read_metrics(tmp_path)


def test_removed_folder_is_an_error(folder: Path) -> None:
    metrics = MetricsLog(folder)
    metrics.add(record(10))
    shutil.rmtree(folder)
    with pytest.raises(AnexaError, match=r"^cannot write .*metrics\.jsonl: No such file"):
        metrics.add(record(20))


FULL = """
import sys
from pathlib import Path
from anexa.errors import AnexaError
from anexa.training.metrics import MetricsLog
from tests.training.metrics import record
import resource
metrics = MetricsLog(Path("m"), tensorboard=sys.argv[1] == "tensorboard")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    for step in range(1, 100):
        metrics.add(record(step))
except AnexaError as error:
    print(step, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("also", ["", "tensorboard"])
def test_full_disk_is_an_error(also: str, folder: Path) -> None:
    if also and not find_spec("tensorboardX"):
        pytest.skip("tensorboardX is not installed")
    process = subprocess.run(
        [sys.executable, "-c", FULL, also, "1000"],
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    step, _, sentence = process.stdout.partition(" ")
    assert "File too large" in sentence
    assert ("TensorBoard's events" if also else "metrics.jsonl") in sentence
    assert process.stderr == ""
    # What was whole before stays, and a run that goes on from there can write on.
    whole = read_metrics(folder)[0]
    assert len(whole) in (int(step) - 1, int(step))
    MetricsLog(folder, after_step=100).add(record(101))
    assert read_metrics(folder)[0] == [*whole, record(101)]

"""The comparison with published figures: its tables, its picture and its page."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.scripts import benchmark

PAGE = ROOT / "docs" / "giants.md"
SIX = ("12*12", "123*456", "1234*5678", "12345*6789", "123456*789012", "1234567*8901234")


def task(name: str, hits: int, low: float, high: float) -> dict[str, Any]:
    return {"task": name, "thinking": {"hits": hits, "count": 2000, "interval": [low, high]}}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A made-up report of `anexa eval --json`."""
    path = tmp_path / "results.json"
    tasks = [
        task("3x3", 2000, 0.998, 1.0),
        task("9x9", 1999, 0.9972, 0.9999),
        task("13x13", 860, 0.408, 0.452),
        task("+ 10", 1990, 0.991, 0.997),
    ]
    path.write_text(json.dumps({"tasks": tasks}), encoding="utf-8")
    return path


@pytest.fixture
def speed(tmp_path: Path) -> Path:
    """A made-up report of `giants_speed.py`, without the seventh product."""
    path = tmp_path / "speed.json"
    report = {
        "date": "2026-01-02",
        "machine": "m68k",
        "python": "3.11.0",
        "engine": "numpy",
        "parameters": 804608,
        "file_bytes": 3_200_000,
        "open_seconds": 0.25,
        "memory_bytes": None,
        "products": [
            {
                "question": question,
                "right": question != "1234*5678",
                "tokens": 300,
                "first_token_seconds": 0.002,
                "seconds": 0.15,
            }
            for question in SIX
        ],
    }
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def test_tables_have_our_figures_beside_the_published_ones(results: Path, speed: Path) -> None:
    result = benchmark("giants.py", results, "--speed", speed)
    assert result.returncode == 0, result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    cells = {row[0].removeprefix("| "): row[1:] for row in rows}
    ours, published = cells["products, 3x3"]
    assert ours == "100.0 % of 2,000 [99.8, 100.0]"
    assert "ChatGPT: 55 % [1]" in published
    assert "GPT-4: 59 % [1]" in published
    # 1,999 of 2,000 are not all, although they are 100.0 % when rounded.
    assert cells["products, 9x9"][0] == "99.9 % of 2,000 [99.7, 99.9]"
    assert "98.8 % [2]" in cells["products, 9x9"][1]
    assert cells["products, 13x13 (longer than in training)"][0].startswith("43.0 %")
    assert cells["products, 5x5"][0] == "not measured"
    assert cells["12 × 12"][:2] == ["right, 300 tokens, 0.15 s", "48 (96 %) |"]
    assert cells["1,234 × 5,678"][0].startswith("wrong")
    assert cells["987,654,321 × 123,456,789"][0] == "not measured yet"
    assert cells["tokens per second"][0] == "2,000"
    assert cells["memory of the process, with Python and its libraries"][0] == "not measured yet"


@pytest.mark.slow
def test_page_and_picture_are_the_same_each_time(
    results: Path, speed: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    page, picture = tmp_path / "giants.md", tmp_path / "giants.svg"
    shutil.copy(PAGE, page)
    made = []
    for _ in range(2):
        options = ("--speed", speed, "--page", page, "--picture", picture)
        result = benchmark("giants.py", results, *options)
        assert result.returncode == 0, result.stderr
        made.append((page.read_text(encoding="utf-8"), picture.read_bytes()))
    assert made[0] == made[1]
    text, drawing = made[0]
    assert "| 100.0 % of 2,000 [99.8, 100.0] |" in text
    assert "## What it cannot do" in text
    words = "".join(ET.fromstring(drawing).itertext())
    for name in ("Anexa (hollow", "GPT-4, not trained for it [1]", "digits of each factor"):
        assert name in words


def test_the_page_has_the_figures_of_the_data(tmp_path: Path) -> None:
    page = tmp_path / "giants.md"
    shutil.copy(PAGE, page)
    result = benchmark("giants.py", "--page", page)
    assert result.returncode == 0, result.stderr
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", [(), ("--speed",)], ids=["results", "speed"])
def test_another_file_is_refused_in_a_sentence(option: tuple[str, ...], speed: Path) -> None:
    report = json.loads(speed.read_text(encoding="utf-8"))
    del report["products"][3]["seconds"]
    speed.write_text(json.dumps(report), encoding="utf-8")
    result = benchmark("giants.py", *option, speed)
    assert result.returncode == 1
    assert "speed.json is not the output of" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_speed_measures_the_seven_products() -> None:
    result = benchmark("giants_speed.py", "--rounds", "1", "--engine", "numpy")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["parameters"] < 1_000_000 < report["file_bytes"]
    assert len(report["products"]) == 7
    for row in report["products"]:
        a, b = map(int, row["question"].split("*"))
        assert row["right"] == (row["answer"] == f"{a * b}")
        assert row["tokens"] > 0
        assert 0 < row["first_token_seconds"] <= row["seconds"]

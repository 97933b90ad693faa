"""Small runs, which take less than a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anexa.engines import ENGINES, installed_engines
from anexa.training import TrainConfig, Trainer
from anexa.training.checkpoint import read_checkpoint
from anexa.training.config import preset_config

NAMES = (
    "anna hanna nana emma gemma ella stella bella della lena elena selena mina tina "
    "nina gina lina alina malina ana dana jana hana lana"
)

each_engine = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in installed_engines(), reason="its library is not installed"
            ),
        )
        for name in ENGINES
    ],
)


def write_names(folder: Path, name: str = "names.txt") -> Path:
    """Write a corpus of 24 documents of up to 6 letters."""
    path = folder / name
    path.write_text(NAMES.replace(" ", "\n") + "\n", encoding="utf-8")
    return path


def settings(corpus: Path, preset: str = "microgpt", **changes: Any) -> TrainConfig:
    """Configure 20 steps of the 4,192-parameter model with NumPy, unless changed."""
    usual = TrainConfig.from_options(
        corpus=str(corpus), preset="microgpt", engine="numpy", steps=20
    )
    usual = replace(usual, preset=preset, model=preset_config(preset).model)
    return usual.replace(**changes)


def sums(**changes: object) -> TrainConfig:
    """Configure 6 steps of a tiny model of arithmetic, unless changed."""
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 128}
    usual = TrainConfig.from_options(
        corpus="arithmetic", engine="numpy", steps=6, batch_size=4, **sizes
    )
    return usual.replace(evaluations=2, **changes)


def finish(run: Trainer) -> Trainer:
    """Execute the remaining steps."""
    for _ in run:
        pass
    assert run.done
    return run


def weights_file(folder: Path) -> bytes:
    """Read the bytes of the model's weights file."""
    return (folder / "model.safetensors").read_bytes()


def stop_after(run: Trainer, steps: int) -> None:
    """Execute `steps` steps, then stop as Ctrl-C does."""
    run.stopping = steps == 0
    for step in run:
        run.stopping = step.step == steps
    assert not run.done
    assert run.state.step == steps
    assert read_checkpoint(run.folder).state.step == steps  # nothing is lost

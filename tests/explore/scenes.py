"""Small runs of each architecture, scenes of them, and the numbers of a scene."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anexa.explore.number import explain_number
from anexa.explore.number_view import NumberView
from anexa.explore.overview import describe_map
from anexa.explore.quantities import QuantityName, quantities_of
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import Session
from anexa.training import RunOptions, build_trainer
from tests.training.runs import finish, settings, write_names

STEPS = 4
SIZES: dict[str, Any] = {
    "n_head": 2,
    "block_size": 8,
    "batch_size": 2,
    "steps": STEPS,
    "n_layer": 1,
}
RUNS: dict[str, dict[str, Any]] = {
    "microgpt": {"n_embd": 52, "weight_decay": 0.1, "grad_clip": 0.5},  # 208 neurons
    "gpt2": {"n_embd": 8, "optimizer": "muon", "preset": "anexa"},
    "llama": {"n_embd": 8, "preset": "anexa-llama"},
    "qwen3": {"n_embd": 8, "preset": "anexa-llama", "model_type": "qwen3"},
}
MICROGPT, GPT2, LLAMA, QWEN3, UNTRAINED = range(5)
OF_STEP = ("change", "m", "v", "clipped", "update")


def open_runs(folder: Path) -> Session:
    """A run of each architecture, gpt2 with Muon, and a model without its training."""
    corpus = write_names(folder)
    keep = RunOptions(history_budget=20_000_000)
    runs = [
        finish(build_trainer(settings(corpus, **{**SIZES, **own}), folder / name, keep)).folder
        for name, own in RUNS.items()
    ]
    untrained = folder / "untrained"
    shutil.copytree(runs[0], untrained, ignore=shutil.ignore_patterns("training"))
    return Session([*runs, untrained], folder)


def scene(folder: int, step: int | None = None, text: str = "lena", *edits: str) -> Scene:
    return Scene(folder, step, "text", text, edits)


def batch_of(folder: int, step: int) -> Scene:
    return Scene(folder, step, "batch")


def explained(
    session: Session,
    where: Scene,
    tensor: str,
    index: Index,
    quantity: QuantityName = "value",
    versus: Scene | None = None,
) -> NumberView:
    return explain_number(session, where, tensor, index, quantity, versus or where)


def names(session: Session, where: Scene) -> list[str]:
    return [tensor["name"] for tensor in describe_map(session, where)["tensors"]]


def elements(shape: tuple[int, ...], rng: random.Random, count: int = 1) -> list[Index]:
    return [tuple(rng.randrange(n) for n in shape) for _ in range(count)]


def numbers(session: Session, where: Scene, rng: random.Random) -> Iterator[NumberView]:
    """A number of up to two quantities of every tensor of a scene."""
    trace = session.trace(where)
    for name in names(session, where):
        quantities = quantities_of(session, where, name)
        for quantity in rng.sample(quantities, min(2, len(quantities))):
            [index] = elements(trace.values[name].shape, rng)
            yield explained(session, where, name, index, quantity)

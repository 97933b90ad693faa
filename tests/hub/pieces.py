"""Sharded weights."""

from __future__ import annotations

import json
from pathlib import Path

from anexa.model.folder import WEIGHTS_INDEX_FILE
from anexa.model.tensors import read_tensors, write_tensors


def divide(folder: Path, *pieces: str) -> None:
    """Move the weights into shards of these names."""
    weights, _ = read_tensors(folder / "model.safetensors")
    places = {name: pieces[number % len(pieces)] for number, name in enumerate(weights)}
    for piece in pieces:
        here = {name: weight for name, weight in weights.items() if places[name] == piece}
        write_tensors(folder / piece, here, {"format": "pt"})
    (folder / WEIGHTS_INDEX_FILE).write_text(json.dumps({"weight_map": places}), encoding="utf-8")

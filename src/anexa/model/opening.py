"""A model wherever it is: in a folder, or in one JSON file."""

from __future__ import annotations

from pathlib import Path

from anexa.files import read_bytes
from anexa.model.config import ModelConfig
from anexa.model.folder import CARD, Model, load_config, load_model
from anexa.model.json_file import read_model_json


def open_model(path: Path) -> Model:
    """The model in a folder or in a JSON file.

    Raises:
        AnexaError: there is none, or it is damaged.
    """
    return read_model_json(path)[0] if is_json(path) else load_model(path)


def open_config(path: Path) -> ModelConfig:
    """Its configuration.

    Raises:
        AnexaError: there is none.
    """
    return read_model_json(path)[0].config if is_json(path) else load_config(path)


def open_with_card(path: Path) -> tuple[Model, str]:
    """The model and its card, which is empty if it has none; a JSON file is read once for both.

    Raises:
        AnexaError: as `open_model`, or the card cannot be read.
    """
    return read_model_json(path) if is_json(path) else (load_model(path), read_card(path))


def read_card(folder: Path) -> str:
    """The card in a folder, empty if it has none.

    Raises:
        AnexaError: it cannot be read.
    """
    card = folder / CARD
    return read_bytes(card).decode("utf-8", errors="replace") if card.exists() else ""


def is_json(path: Path) -> bool:
    """Whether a model is asked for that is one JSON file."""
    return path.suffix.lower() == ".json" and not path.is_dir()


def model_name(path: Path) -> str:
    """What a model is called that is in a folder or a file of that name."""
    return path.resolve().stem if is_json(path) else path.resolve().name

"""Loading of models from disk: from a model folder, or from one JSON file."""

from __future__ import annotations

from pathlib import Path

from anexa.model.folder import ModelFolder
from anexa.model.json_file import ModelFile
from anexa.model.model import Model


def open_model(path: Path) -> ModelFolder | ModelFile:
    """Open a model folder or a JSON file, for its `config`, its `card`, or the model (`load`).

    Raises:
        AnexaError: if there is neither.
    """
    return ModelFile(path) if is_model_file(path) else ModelFolder(path)


def load_model(path: Path) -> Model:
    """Load the model in a folder or a JSON file.

    Raises:
        AnexaError: if there is no model, or it is damaged.
    """
    return open_model(path).load()


def is_model_file(path: Path) -> bool:
    """Whether a path is a model in a JSON file rather than a folder."""
    return path.suffix.lower() == ".json" and not path.is_dir()


def model_name(path: Path) -> str:
    """Return the name of a model: that of its folder, or of its file without the ending."""
    return path.resolve().stem if is_model_file(path) else path.resolve().name

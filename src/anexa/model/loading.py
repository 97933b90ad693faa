"""Loading of models from disk: from a folder, or from one file, JSON or GGUF."""

from __future__ import annotations

from pathlib import Path

from anexa.model.adapter_folder import AdapterFolder
from anexa.model.folder import ADAPTER_CONFIG_FILE, ModelFolder
from anexa.model.gguf_file import GGUFFile
from anexa.model.json_file import JSONModelFile
from anexa.model.model import Model


def open_model(path: Path) -> ModelFolder | JSONModelFile | GGUFFile:
    """Open a model folder, or a JSON or GGUF file, without reading its weights.

    The reader that is returned reads `config`, `tokenizer`, `card`, and the whole model (`load`) on
    demand.

    Raises:
        AnexaError: if there is neither a folder nor a file, or the folder has an adapter with
            settings that are not supported.
    """
    if not is_model_file(path):
        return open_folder(path)
    return GGUFFile(path) if path.suffix.lower() == ".gguf" else JSONModelFile(path)


def open_folder(path: Path) -> ModelFolder:
    """Open a model folder, or a folder with an adapter, which is merged into its base model.

    Raises:
        AnexaError: if there is no such folder, or its adapter has settings that are not supported.
    """
    return (AdapterFolder if (path / ADAPTER_CONFIG_FILE).exists() else ModelFolder)(path)


def load_model(path: Path) -> Model:
    """Load the model in a folder or a file.

    Raises:
        AnexaError: if there is no model, or it is damaged.
    """
    return open_model(path).load()


def is_model_file(path: Path) -> bool:
    """Return whether a path is that of a model in a JSON or GGUF file rather than in a folder.

    It is if it ends in .json or .gguf and is not a folder; the file may be missing.
    """
    return path.suffix.lower() in (".json", ".gguf") and not path.is_dir()


def model_name(path: Path) -> str:
    """Return the name of a model: that of its folder, or of its file without the ending."""
    return path.resolve().stem if is_model_file(path) else path.resolve().name

"""Anexa: a GPT that you own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from anexa.generation import LanguageModel

__version__ = "0.1.0"


def load(folder: str | PathLike[str] | None = None, *, engine: str = "auto") -> LanguageModel:
    """Load a model folder, or the bundled model, for text generation and chat.

        anexa.load().chat([{"role": "user", "content": "347*86"}]).content

    Args:
        folder: folder that `anexa train` wrote, a downloaded repository of the Hugging Face Hub,
            or a JSON file that `anexa export` wrote; None means the bundled model.
        engine: "scalar", "lists", "numpy", "numba", "torch", or "auto": numba if it is
            installed and has compiled a model of these sizes before, else numpy; both on the CPU
            in float32, where they generate faster than PyTorch (docs/serve.md).

    Returns:
        The model, with the methods `generate`, `stream`, `chat` and more.

    Raises:
        anexa.errors.AnexaError: if the folder is not a model folder, or is damaged; or if the
            library of the engine is not installed.
        anexa.errors.UsageError: if there is no engine of that name.
    """
    from pathlib import Path

    from anexa.generation import LanguageModel  # here, so that `import anexa` takes no time

    return LanguageModel.open(None if folder is None else Path(folder), engine)

"""Anexa: a GPT that you own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from anexa.generation import LanguageModel

__version__ = "0.1.0"


def load(folder: str | PathLike[str] | None = None, *, engine: str = "auto") -> LanguageModel:
    """Open a model folder, or, without one, the model that comes with Anexa.

        anexa.load().chat([{"role": "user", "content": "347*86"}]).content

    Args:
        folder: as training wrote it, or a repository from the Hugging Face Hub, downloaded; or a
            JSON file that `anexa export` wrote.
        engine: scalar, lists, numpy, torch or auto, which is the fastest that is installed.

    Raises:
        anexa.errors.AnexaError: it is no model folder, or is damaged.
    """
    from pathlib import Path

    from anexa.generation import LanguageModel  # here, so that `import anexa` takes no time

    return LanguageModel.open(None if folder is None else Path(folder), engine)

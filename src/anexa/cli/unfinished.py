"""What is said of a model whose training has not ended."""

from __future__ import annotations

import warnings
from pathlib import Path

from anexa.errors import AnexaWarning


def warn_if_unfinished(folder: Path) -> None:
    """Say that better weights may come; those in the folder can be used all the same."""
    from anexa.training.checkpoint import STATE
    from anexa.training.summary import summarise

    if not (folder / STATE).exists():
        return
    run = summarise(folder)
    if run.state == "done":
        return
    learned = "its best weights so far" if run.step else "weights that have learned nothing yet"
    state = "it is running" if run.state == "running" else f"anexa train --resume {folder} goes on"
    warnings.warn(
        f"the training in {folder} has not ended ({state}): these are {learned}",
        AnexaWarning,
        stacklevel=2,
    )

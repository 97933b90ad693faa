"""Warning about a model whose training has not ended."""

from __future__ import annotations

import warnings
from pathlib import Path

from anexa.errors import AnexaError, AnexaWarning


def warn_if_unfinished(folder: Path) -> None:
    """Show an `AnexaWarning` if the training of a model has not ended, or if that cannot be told.

    Args:
        folder: model folder; one without a checkpoint, or a file, leads to no warning.
    """
    from anexa.training.checkpoint import CHECKPOINT_PATH
    from anexa.training.opening import resume_command
    from anexa.training.summary import summarize

    try:
        if not (folder / CHECKPOINT_PATH).exists():
            return
        run = summarize(folder)
    except (AnexaError, OSError) as error:  # the weights can still be used
        reason = error.strerror if isinstance(error, OSError) else error
        _warn(f"cannot tell whether the training in {folder} has ended: {reason}")
        return
    if run.state == "done":
        return
    learned = "its best weights so far" if run.step else "weights that have learned nothing yet"
    if run.step and run.best_step is None:
        learned = f"the weights of step {run.step:,}, which no evaluation has seen yet"
    assert run.config
    command = resume_command(folder, run.config.data.corpus)
    state = "it is running" if run.state == "running" else f"resume it with {command}"
    _warn(f"the training in {folder} has not ended ({state}): these are {learned}")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, AnexaWarning, stacklevel=3)

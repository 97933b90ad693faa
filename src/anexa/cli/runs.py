"""`anexa runs`: the models in a folder, and the state of their trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo
from anexa.errors import AnexaError
from anexa.names import encode_name, shown

if TYPE_CHECKING:
    from anexa.training.summary import RunSummary


def runs(
    folder: Annotated[
        Path, typer.Argument(help="Folder with model folders, or one model folder.")
    ] = Path("models"),
    as_json: common.AsJson = False,
) -> None:
    """List models: their corpora, sizes and best losses, and the states of their trainings."""
    import json

    from anexa.cli.table import UNKNOWN_CELL, format_cell, show_table

    if not folder.is_dir():
        raise AnexaError(f"there is no folder {folder}: train a model, or name another folder")
    paths = [folder, *sorted(p for p in folder.iterdir() if not p.name.startswith("."))]
    models = [path for path in paths if _is_model(path)]
    if not models:
        raise AnexaError(f"there are no models in {folder}: train one, or name another folder")
    found = [(model, _summary(model)) for model in models]
    if as_json:
        rows = [
            summary_to_json(s) if not isinstance(s, str) else {"error": shown(s)} for _, s in found
        ]
        echo(
            json.dumps(
                [{"folder": encode_name(str(m))} | row for m, row in zip(models, rows)], indent=2
            )
        )
        return
    table = []
    for model, s in found:
        if isinstance(s, str):
            table.append([str(model), *[UNKNOWN_CELL] * 4, "cannot be used"])
        else:
            known = [s.corpus or UNKNOWN_CELL, format_cell(s.parameters), format_cell(s.step)]
            state = s.state or "not trained here"
            table.append([str(model), *known, format_cell(s.best_loss, ".4f"), state])
    numbers = ("parameters", "steps", "best loss")
    show_table(("model", "corpus", *numbers, "state"), table, right=numbers)
    wrong = [s for _, s in found if isinstance(s, str)]
    echo("".join(f"\n{shown(sentence)}" for sentence in wrong), nl=bool(wrong))


def summary_to_json(summary: RunSummary) -> dict[str, Any]:
    """Convert a summary to a dict for JSON: its attributes, and `tokens_per_second`.

    File names are encoded by `encode_name`; values that are unknown are None.
    """
    from dataclasses import asdict

    return asdict(summary) | {
        "folder": encode_name(str(summary.folder)),
        "corpus": summary.corpus and encode_name(summary.corpus),
        "config": summary.config and summary.config.to_json(),
        "tokens_per_second": summary.tokens_per_second,
    }


def _is_model(folder: Path) -> bool:
    from anexa.training.checkpoint import CHECKPOINT_PATH

    try:
        return (folder / "config.json").exists() or (folder / CHECKPOINT_PATH).exists()
    except OSError:  # no read permission: its row in the table says so
        return True


def _summary(folder: Path) -> RunSummary | str:
    """Read the summary of a model folder; return the error as a sentence if that fails."""
    from anexa.training.summary import summarize

    try:
        return summarize(folder)
    except (AnexaError, OSError) as error:
        return str(error)

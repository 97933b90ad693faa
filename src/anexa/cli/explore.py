"""`anexa explore`: the glass box, a web page that shows each number of a model and of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli.output import echo


def explore(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Model folders to look into. [default: the bundled model]"),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8100,
) -> None:
    """Look into models: each number with its equation, and each step of a run."""
    from anexa.explore.run import serve_glass_box

    serve_glass_box(folders or [None], port, echo)

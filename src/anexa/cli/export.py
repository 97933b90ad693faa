"""`anexa export`: a model as a file for other programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo


def export(
    folder: common.ModelPath = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="gguf|json|folder",
            help="Format: for llama.cpp, for a program in any language, or a model folder.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File or folder to write; - is the standard output. "
            "[default: the name of the model, with .gguf or .json for a file]",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        Literal["f32", "f16", "q8_0"] | None,
        typer.Option(
            metavar="f32|f16|q8_0",
            help="Precision of the matrices in a GGUF file. [default: f32]",
            show_default=False,
        ),
    ] = None,
    force: common.Force = False,
) -> None:
    """Write a model as GGUF for llama.cpp, as JSON for any language, or as a model folder."""
    from anexa.cli.unfinished import warn_if_unfinished
    from anexa.errors import AnexaWarning, UsageError
    from anexa.generation.language_model import BUNDLED_FOLDER
    from anexa.hub.export import EXPORT_SUFFIXES, check_export, read_model_and_card, write_export
    from anexa.model.loading import model_name
    from anexa.names import shown
    from anexa.output_paths import is_stdout

    if to not in EXPORT_SUFFIXES:
        what = f"there is no format {to!r}" if to else "nothing says what to write"
        raise UsageError(f"{what}: choose --to {' or --to '.join(EXPORT_SUFFIXES)}")
    if precision is not None and to != "gguf":
        raise UsageError(f"--precision applies to GGUF files only: leave it out with --to {to}")
    if force and to == "folder":
        raise UsageError("--force replaces files, never a folder: leave it out with --to folder")
    name = "anexa" if folder is None else model_name(folder)
    out = out or Path(f"{name}{EXPORT_SUFFIXES[to]}")
    check_export(out, to, replace=force)
    source = BUNDLED_FOLDER if folder is None else folder
    model, card = read_model_and_card(source)
    warn_if_unfinished(source)
    differences = write_export(out, to, model, card, name=name, precision=precision or "f32")
    for difference in differences:
        warnings.warn(
            f"llama.cpp finds other tokens in texts with {difference}", AnexaWarning, stacklevel=2
        )
    size = f" ({out.stat().st_size:,} bytes)" if out.is_file() else ""
    if not is_stdout(out):
        echo(f"wrote {shown(str(out))}{size}")

"""`anexa export`: a model as a file for other programs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from anexa.model.folder import Model

SUFFIXES = {"gguf": ".gguf", "json": ".json", "folder": ""}


def export(
    folder: Annotated[
        Path | None,
        typer.Argument(help="The model folder or JSON file. [default: the one that comes along]"),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="gguf|json|folder",
            help="For llama.cpp; for any program; a model folder, from JSON.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="What to write. [default: named like the model]", show_default=False),
    ] = None,
    precision: Annotated[
        Literal["f32", "f16", "q8_0"] | None,
        typer.Option(
            metavar="f32|f16|q8_0", help="Of the numbers in a GGUF file.", show_default="f32"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model for llama.cpp (GGUF), for any language (JSON), or back into a folder."""
    from anexa.cli.unfinished import warn_if_unfinished
    from anexa.errors import UsageError
    from anexa.files import check_inside
    from anexa.generation.language_model import BUNDLED
    from anexa.model.folder import CARD, create_folder
    from anexa.model.json_file import write_model_json
    from anexa.model.opening import is_json, model_name, open_with_card
    from anexa.model.tokenizer_files import CHAT_TEMPLATE

    if to not in SUFFIXES:
        what = f"there is no format {to!r}" if to else "nothing says what to write"
        raise UsageError(f"{what}: choose --to {' or --to '.join(SUFFIXES)}")
    if precision is not None and to != "gguf":
        raise UsageError(f"--precision is of GGUF files: leave it out with --to {to}")
    if force and to == "folder":
        raise UsageError("--force replaces files, never a folder: choose another --out")
    name = "anexa" if folder is None else model_name(folder)
    out = out or Path(f"{name}{SUFFIXES[to]}")
    _check_place(out, to, force)
    if to == "gguf":
        _check_gguf()
    if folder is not None and not is_json(folder):
        for text in (CARD, CHAT_TEMPLATE):  # of these the whole ends in the file
            check_inside(folder / text)
    place = BUNDLED if folder is None else folder
    model, card = open_with_card(place)
    warn_if_unfinished(place)
    if to == "folder":
        create_folder(out, model, card)
        typer.echo(f"wrote {out}")
        return
    if to == "json":
        write_model_json(out, model, card)
    else:
        _write_gguf(out, model, name, precision or "f32")
    typer.echo(f"wrote {out} ({out.stat().st_size:,} bytes)")


def _check_gguf() -> None:
    """Find out early whether the package is there that writes it."""
    from anexa.errors import UsageError

    try:
        import_module("gguf")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"GGUF needs {error.name}, which is not installed: pip install 'anexa[hub]'"
        ) from error


def _check_place(out: Path, to: str, force: bool) -> None:
    """Find out early whether something can be written there."""
    from anexa.errors import AnexaError, UsageError
    from anexa.model.folder import check_free

    if str(out) == "-":
        raise UsageError("a model is not written to the standard output: name a file with --out")
    if to == "folder":
        check_free(out)
    elif out.exists() and not out.is_file():
        raise AnexaError(f"{out} is a folder or a device: name the file to write")
    elif out.exists() and not force:
        raise AnexaError(f"{out} exists already: choose another --out, or replace it with --force")
    if not out.parent.is_dir():
        raise AnexaError(f"cannot write {out}: there is no folder {out.parent}")


def _write_gguf(out: Path, model: Model, name: str, precision: str) -> None:
    from anexa.errors import AnexaError
    from anexa.hub.gguf import write_gguf
    from anexa.hub.llama_cpp import refusal

    refused = refusal(model.config, model.tokenizer)
    if refused:
        raise AnexaError(f"{name} cannot be exported: {refused}")
    write_gguf(out, model, name, precision)

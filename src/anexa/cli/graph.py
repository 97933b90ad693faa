"""`anexa graph`: draw what is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SUFFIXES = {".svg": "svg", ".mmd": "mermaid", ".dot": "dot"}


def graph(
    what: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION|FOLDER",
            help='What to draw: arithmetic such as "(a*b + c).relu()", or a model folder.',
            show_default=False,
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=NUMBER",
            help="What the names in the expression stand for: a=2 b=-3 c=10.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="svg|mermaid|dot",
            help="How to draw it. By default as the name of the --out file says, else mermaid.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write: .svg, .mmd or .dot. By default the terminal.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw the graph of an expression with every gradient in it, or a model's architecture."""
    from os.path import isdir, isfile

    from anexa.errors import UsageError
    from anexa.graph.drawing import to_dot, to_mermaid
    from anexa.graph.svg import to_svg

    writers = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}
    if format_ is None and out is not None:
        format_ = SUFFIXES.get(out.suffix.lower())
        if format_ is None:
            raise UsageError(
                f"the name of {out} does not say how to draw: "
                f"let it end in {', '.join(SUFFIXES)}, or give --format"
            )
    format_ = format_ or "mermaid"
    if format_ not in writers:
        raise UsageError(f"there is no format {format_!r}: choose one of {', '.join(writers)}")

    # Path.is_dir raises for a "name" as long as expressions are
    if isdir(what) or (what.lower().endswith(".json") and isfile(what)):  # noqa: PTH112, PTH113
        if values:
            raise UsageError(
                f"{what} is a model folder, which takes no values: leave out {values[0]}"
            )
        from anexa.graph.model_graph import model_graph
        from anexa.model.loading import open_model

        drawing = model_graph(open_model(Path(what)).config)
    else:
        from anexa.graph.drawing import number
        from anexa.graph.expression import parse, read_values
        from anexa.graph.value_graph import value_graph

        root, names = parse(what, read_values(values or []))
        drawing = value_graph(root, names, title=f"{what.strip()} = {number(root.data)}")

    text = writers[format_](drawing)
    if out is None:
        typer.echo(text, nl=False)
    else:
        from anexa.files import write_atomic

        write_atomic(out, text.encode("utf-8"))
        typer.echo(f"wrote {out}")

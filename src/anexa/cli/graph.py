"""`anexa graph`: draw the graph of an expression or the architecture of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo

SUFFIXES = {".svg": "svg", ".mmd": "mermaid", ".dot": "dot"}


def graph(
    what: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION|FOLDER",
            help='An arithmetic expression such as "(a*b + c).relu()", or a model folder.',
            show_default=False,
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=NUMBER",
            help="Values of the variables in the expression, for example a=2 b=-3 c=10.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="svg|mermaid|dot",
            help="Format of the drawing. [default: by the suffix of --out, else mermaid]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .svg, .mmd or .dot; - is the standard output. "
            "[default: print to the terminal]",
            show_default=False,
        ),
    ] = None,
    force: common.Force = False,
) -> None:
    """Draw the graph of an expression with every gradient in it, or a model's architecture."""
    from os.path import isdir, isfile

    from anexa.errors import UsageError
    from anexa.files import check_output, is_stdout, write_atomic
    from anexa.graph.drawing import to_dot, to_mermaid
    from anexa.graph.svg import to_svg
    from anexa.names import decode_argument, quoted, shown

    if out is not None:
        check_output(out, replace=force)
    writers = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}
    if format_ is None and out is not None and not is_stdout(out):
        format_ = SUFFIXES.get(out.suffix.lower())
        if format_ is None:
            raise UsageError(
                f"the format of {out} is unknown: "
                f"use a name that ends in {', '.join(SUFFIXES)}, or give --format"
            )
    format_ = format_ or "mermaid"
    if format_ not in writers:
        raise UsageError(
            f"there is no format {quoted(format_)}: choose one of {', '.join(writers)}"
        )

    # Path.is_dir raises an error for a "name" as long as an expression
    if isdir(what) or (what.lower().endswith(".json") and isfile(what)):  # noqa: PTH112, PTH113
        if values:
            raise UsageError(
                f"{what} is a model folder, which has no variables: leave {values[0]} out"
            )
        from anexa.graph.model_graph import model_graph
        from anexa.model.loading import open_model

        drawing = model_graph(open_model(Path(what)).config)
    else:
        from anexa.graph.drawing import format_number
        from anexa.graph.expression import parse, read_values
        from anexa.graph.value_graph import value_graph

        what = decode_argument(what)
        root, names = parse(what, read_values([decode_argument(value) for value in values or []]))
        drawing = value_graph(root, names, title=f"{what.strip()} = {format_number(root.data)}")

    text = writers[format_](drawing)
    if out is None:
        echo(text, nl=False)
        return
    write_atomic(out, text.encode("utf-8"), replace=force)
    if not is_stdout(out):
        echo(f"wrote {shown(str(out))}")

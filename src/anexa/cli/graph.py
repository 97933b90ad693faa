"""`anexa graph`: draw an expression or the architecture of a model, or print its program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo

# Format of a drawing by the suffix of its file.
DRAWING_FORMATS = {".svg": "svg", ".mmd": "mermaid", ".dot": "dot"}


def graph(
    target: Annotated[
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
            help="File to write: .svg, .mmd or .dot, or of any name with --program; - is the "
            "standard output. [default: print to the terminal]",
            show_default=False,
        ),
    ] = None,
    program: Annotated[
        bool,
        typer.Option(
            "--program",
            help="Print the program that the numba engine compiles for a model folder, after each "
            "pass of the compiler. Numba need not be installed.",
        ),
    ] = False,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="With --program: the program of a training step, not of inference."
        ),
    ] = False,
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --program: print the source of this kernel only.",
            show_default=False,
        ),
    ] = None,
    force: common.Force = False,
) -> None:
    """Draw an expression with every gradient in it, or a model; or print a model's program."""
    from anexa.errors import UsageError
    from anexa.files import write_atomic
    from anexa.names import shown
    from anexa.output_paths import check_output, is_stdout

    for option, is_set in (("--training", training), ("--kernel", kernel is not None)):
        if is_set and not program:
            raise UsageError(f"{option} is an option of --program: give both, or none")
    if program and format_ is not None:
        raise UsageError(f"--program prints text, not a drawing: leave --format {format_} out")
    if out is not None:
        check_output(out, replace=force)
    if program:
        text = _program(target, values or [], kernel, training=training)
    else:
        text = _drawing(target, values or [], format_, out)
    if out is None:
        echo(text, nl=False)
        return
    write_atomic(out, text.encode("utf-8"), replace=force)
    if not is_stdout(out):
        echo(f"wrote {shown(str(out))}")


def _program(target: str, values: list[str], kernel: str | None, *, training: bool) -> str:
    """Return the program of a model folder, or the source of one of its kernels."""
    from anexa.engines.program.describe import describe_inference, describe_training_step
    from anexa.errors import UsageError
    from anexa.model.loading import open_model
    from anexa.names import quoted

    if not _is_model(target):
        raise UsageError(f"--program needs a model folder, and {quoted(target)} is none")
    _refuse_values(target, values)
    describe = describe_training_step if training else describe_inference
    description = describe(open_model(Path(target)).config, "float32")
    if kernel is None:
        return description.text
    if kernel not in description.kernels:
        raise UsageError(
            f"the program has no kernel {quoted(kernel)}: "
            f"choose one of {', '.join(description.kernels)}"
        )
    return description.kernels[kernel] + "\n"


def _drawing(target: str, values: list[str], format_: str | None, out: Path | None) -> str:
    """Return the drawing of an expression or a model in a format."""
    from anexa.errors import UsageError
    from anexa.graph.drawing import to_dot, to_mermaid
    from anexa.graph.svg import to_svg
    from anexa.names import decode_argument, quoted
    from anexa.output_paths import is_stdout

    writers = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}
    if format_ is None and out is not None and not is_stdout(out):
        format_ = DRAWING_FORMATS.get(out.suffix.lower())
        if format_ is None:
            raise UsageError(
                f"the format of {out} is unknown: "
                f"use a name that ends in {', '.join(DRAWING_FORMATS)}, or give --format"
            )
    format_ = format_ or "mermaid"
    if format_ not in writers:
        raise UsageError(
            f"there is no format {quoted(format_)}: choose one of {', '.join(writers)}"
        )

    if _is_model(target):
        _refuse_values(target, values)
        from anexa.graph.model_graph import model_graph
        from anexa.model.loading import open_model

        drawing = model_graph(open_model(Path(target)).config)
    else:
        from anexa.graph.drawing import format_number
        from anexa.graph.expression import evaluate_expression, read_values
        from anexa.graph.value_graph import value_graph

        target = decode_argument(target)
        if not values and _is_like_path(target):
            raise UsageError(
                f"there is no folder {quoted(target)}; if it is an expression, give its names "
                "values, such as a=2"
            )
        root, names = evaluate_expression(
            target, read_values([decode_argument(value) for value in values])
        )
        drawing = value_graph(root, names, title=f"{target.strip()} = {format_number(root.data)}")
    return writers[format_](drawing)


def _is_model(target: str) -> bool:
    """Return whether an argument is the path of a model folder or of its config.json."""
    from os.path import isdir, isfile

    # Path.is_dir raises an error for a "name" as long as an expression
    return isdir(target) or (target.lower().endswith(".json") and isfile(target))  # noqa: PTH112, PTH113


def _is_like_path(target: str) -> bool:
    """Return whether an argument without values, such as models/nix, is rather a path."""
    parts = target.split("/")
    has_names = any(part and not re.fullmatch(r"[0-9.]+(e[0-9]+)?", part) for part in parts)
    return len(parts) > 1 and has_names and re.fullmatch(r"[\w.~-]+", "".join(parts)) is not None


def _refuse_values(target: str, values: list[str]) -> None:
    from anexa.errors import UsageError

    if values:
        raise UsageError(
            f"{target} is a model folder, which has no variables: leave {values[0]} out"
        )

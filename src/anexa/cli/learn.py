"""`anexa learn`: the course, on a page or in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo
from anexa.errors import UsageError, short_repr
from anexa.ranges import parse_int

PORT = 8100  # default port of the page


def learn(
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="CHAPTER",
            help="Number of a chapter to show in the terminal. [default: open the page]",
            show_default=False,
        ),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the chapters.")] = False,
    student: common.Student = "",
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Model folder for the live views, from anexa train firstnames --preset microgpt; "
            "without it, the page trains one. May be repeated."
        ),
    ] = None,
    notebook: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="CHAPTER FILE", help="Write a chapter as a Jupyter notebook: 3 three.ipynb."
        ),
    ] = None,
    force: common.Force = False,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = PORT,
) -> None:
    """Learn how a GPT works, from a letter to a thought, in chapters that check you.

    For teachers: a chapter is a lesson of 45 minutes, and ends with notes on it. The key p makes
    the type of the page larger, for a projector.
    """
    from anexa.course.chapters import load_chapter, load_chapters
    from anexa.course.exercise import check_student

    given = {
        "--list": show_list,
        "--notebook": notebook is not None,
        "CHAPTER": number is not None,
        "--student": bool(student),
        "--model": bool(model),
        "--force": force,
        "--port": port != PORT,
    }
    _check_effects([name for name, is_given in given.items() if is_given])
    check_student(student)
    if show_list:
        for one in load_chapters().values():
            echo(f"{one.number:2}  {one.title}")
    elif notebook is not None:
        from anexa.course.notebook import to_notebook
        from anexa.files import write_atomic
        from anexa.output_paths import check_output

        digits, file = notebook
        try:
            wanted = parse_int(digits)
        except ValueError:
            raise UsageError(
                f"--notebook needs the number of a chapter, not {short_repr(digits)}: anexa learn "
                "--list shows all"
            ) from None
        check_output(file, replace=force)
        text = to_notebook(load_chapter(wanted), student)
        write_atomic(file, text.encode("utf-8"), replace=force)
    elif number is not None:
        from rich.console import Console

        from anexa.cli.markdown import Document
        from anexa.course.terminal import to_terminal

        console = Console(highlight=False)
        document = Document(to_terminal(load_chapter(number), student), code_theme="ansi_dark")
        console.print(document, crop=False)
    else:
        from urllib.parse import urlencode

        from anexa.course.routes import add_course
        from anexa.explore.run import serve_glass_box

        query = f"?{urlencode({'student': student})}" if student else ""
        folders = [*(model or ()), None]  # the last one is the bundled model, which thinks
        serve_glass_box(folders, port, echo, f"/learn{query}", "the course", add_course)


def _check_effects(given: list[str]) -> None:
    """Check that each option that is given has an effect, as the command does only one thing.

    Args:
        given: names of the arguments and options that the user has set.

    Raises:
        UsageError: if an option has no effect with another one.
    """
    effects = {
        "--list": ("--list",),
        "--notebook": ("--notebook", "--student", "--force"),
        "CHAPTER": ("CHAPTER", "--student"),
    }
    page = ("--student", "--model", "--port")
    mode = next((name for name in effects if name in given), "")
    for name in given:
        if name not in effects.get(mode, page):
            where = f"with {mode}" if mode else "without --notebook"
            raise UsageError(f"{name} has no effect {where}: leave it out")

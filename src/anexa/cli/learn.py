"""`anexa learn`: the course, on a page or in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo


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
        tuple[int, Path] | None,
        typer.Option(
            metavar="CHAPTER FILE", help="Write a chapter as a Jupyter notebook: 3 three.ipynb."
        ),
    ] = None,
    force: common.Force = False,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8100,
) -> None:
    """Learn how a GPT works, from a letter to a thought, in chapters that check you.

    For teachers: a chapter is a lesson of 45 minutes, and ends with notes on it. The key p makes
    the type of the page larger, for a projector.
    """
    from anexa.course.chapters import chapter, chapters
    from anexa.course.exercise import check_student

    check_student(student)
    if show_list:
        for one in chapters().values():
            echo(f"{one.number:2}  {one.title}")
    elif notebook is not None:
        from anexa.course.notebook import to_notebook
        from anexa.files import write_atomic
        from anexa.output_paths import check_output

        check_output(notebook[1], replace=force)
        text = to_notebook(chapter(notebook[0]), student)
        write_atomic(notebook[1], text.encode("utf-8"), replace=force)
    elif number is not None:
        from rich.console import Console

        from anexa.cli.markdown import Document
        from anexa.course.terminal import to_terminal

        console = Console(highlight=False)
        document = Document(to_terminal(chapter(number), student), code_theme="ansi_dark")
        console.print(document, crop=False)
    else:
        from urllib.parse import urlencode

        from anexa.course.routes import add_course
        from anexa.explore.run import run

        query = f"?{urlencode({'student': student})}" if student else ""
        folders = [*(model or ()), None]  # the last one is the bundled model, which thinks
        run(folders, port, echo, f"/learn{query}", "the course", add_course)

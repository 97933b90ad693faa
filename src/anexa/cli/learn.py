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
            metavar="[CHAPTER]",
            help="Number of a chapter to show in the terminal. [default: open the page]",
            show_default=False,
        ),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the chapters.")] = False,
    student: common.Student = "",
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folder for the live views of the page; may be repeated."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8100,
) -> None:
    """Learn how a GPT works, from a letter to a thought, in chapters that check you."""
    from anexa.course.chapters import chapter, chapters
    from anexa.course.exercise import check_student

    check_student(student)
    if show_list:
        for one in chapters().values():
            echo(f"{one.number:2}  {one.title}")
    elif number is not None:
        from rich.console import Console
        from rich.markdown import Markdown

        from anexa.course.terminal import to_terminal

        console = Console(highlight=False)
        console.print(Markdown(to_terminal(chapter(number), student), code_theme="ansi_dark"))
    else:
        from urllib.parse import urlencode

        from anexa.explore.run import run

        query = f"?{urlencode({'student': student})}" if student else ""
        run(model or [None], port, echo, page=f"/learn{query}", name="the course")

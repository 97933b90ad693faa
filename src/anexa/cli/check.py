"""`anexa check`: checks the solution of an exercise of the course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo, escape_controls


def check(
    chapter: Annotated[int, typer.Argument(help="Number of the chapter; anexa learn --list.")],
    file: Annotated[
        Path,
        typer.Argument(help="Python file with your solution, or a folder with those of a class."),
    ],
    student: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{common.STUDENT_HELP} [default: no name; for a folder: the name of each file]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check your solution of an exercise: the first number that differs, and why that matters.

    The file runs as any program of yours, in a process of its own, for at most 10 seconds: check
    only files that you would run. Of what it prints, the first 100 and the last 10 lines are shown.

    For teachers: in a folder, each Python file is checked with the numbers of the student whose
    name it has, such as ANNA.py with those of ANNA, and gets one line.

    The exit status is 1 if an answer is wrong.
    """
    if file.is_dir():
        _check_folder(chapter, file, student)
    else:
        _check_file(chapter, file, student or "")


def _check_file(chapter: int, file: Path, student: str) -> None:
    from anexa.course.checking import check as check_file
    from anexa.course.exercise import BY_HAND

    report = check_file(chapter, file, student, show=lambda text: echo(text, nl=False, err=True))
    for question in report.passed:
        echo(escape_controls(f"✓ {question}"))
    if report.is_right:
        who = f", {escape_controls(student)}" if student else ""
        echo(f"Chapter {chapter}: all {report.num_questions} answers are right{who}.")
        return
    echo(escape_controls(f"✗ {report.problem}."))
    if report.why:
        echo(f"  {report.why}")
    if not student and report.failed and report.failed.call == BY_HAND:
        echo("  These are the numbers without a name. For yours, add --student NAME.")
    raise typer.Exit(1)


def _check_folder(chapter: int, folder: Path, student: str | None) -> None:
    from anexa.course.checking import check_folder

    count = num_right = 0
    for name, report in check_folder(chapter, folder, student):
        count, num_right = count + 1, num_right + report.is_right
        mark, problem = ("✓", "all answers are right") if report.is_right else ("✗", report.problem)
        echo(escape_controls(f"{mark} {name}: {problem}"))
    echo(f"Chapter {chapter}: {num_right} of {count} right.")
    if num_right < count:
        raise typer.Exit(1)

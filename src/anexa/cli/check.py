"""`anexa check`: checks the solution of an exercise of the course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo, escape_controls


def check(
    chapter: Annotated[int, typer.Argument(help="Number of the chapter; anexa learn --list.")],
    file: Annotated[Path, typer.Argument(help="Python file with your solution.")],
    student: common.Student = "",
) -> None:
    """Check your solution of an exercise: the first number that differs, and why that matters.

    The file runs as any program of yours, in a process of its own, for at most 10 seconds: check
    only files that you would run.
    """
    from anexa.course.checking import check as check_file
    from anexa.course.exercise import BY_HAND

    report = check_file(chapter, file, student)
    for question in report.passed:
        echo(escape_controls(f"✓ {question}"))
    if report.is_right:
        who = f", {escape_controls(student)}" if student else ""
        echo(f"Chapter {chapter}: all {report.count} answers are right{who}.")
        return
    echo(escape_controls(f"✗ {report.problem}."))
    if report.why:
        echo(f"  {report.why}")
    if not student and report.failed and report.failed.call == BY_HAND:
        echo("  These are the numbers without a name. For yours, add --student NAME.")
    raise typer.Exit(1)

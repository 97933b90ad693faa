"""Standard streams of the commands: output with escapes for characters that cannot be encoded."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys

import typer

from anexa.names import ESCAPE, shown

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


def set_up_streams() -> None:
    """Make standard output escape what it cannot encode, and standard input read UTF-8.

    Generated text and file names may have characters that the encoding of the terminal lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)
    stdin = sys.stdin
    if (
        isinstance(stdin, io.TextIOWrapper)
        and "PYTHONIOENCODING" not in os.environ
        and codecs.lookup(stdin.encoding).name == "ascii"  # the locale says nothing
    ):
        stdin.reconfigure(encoding="utf-8", errors="surrogateescape")


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print to standard output or error; Typer's own `echo` would bypass the stream for ASCII."""
    typer.echo(text, file=sys.stderr if err else sys.stdout, nl=nl)


def written(text: str) -> str:
    """Return what a model has written, to print: a terminal must not obey characters in it."""
    if sys.stdout is None or not sys.stdout.isatty():
        return text
    return CONTROL.sub(lambda found: shown(found[0]), text)

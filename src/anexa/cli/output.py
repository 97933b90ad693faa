"""Standard streams of the commands: output with escapes for characters that cannot be encoded."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys

import typer

from anexa.names import ESCAPE, shown

CONTROL_PATTERN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


def set_up_streams() -> None:
    """Configure the standard streams for any text, whatever the encoding of the locale.

    Standard output and error escape the characters that they cannot encode, which generated text
    and file names may have. Standard input is read as UTF-8 if its encoding would be ASCII, unless
    `PYTHONIOENCODING` sets that.
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
    """Print to standard output or error, through the streams that `set_up_streams` configures.

    Args:
        text: text to print.
        nl: whether to end it with a line break.
        err: whether to print to standard error; default: standard output.
    """
    # Without `file`, `typer.echo` would replace a stream whose encoding is ASCII by its own.
    typer.echo(text, file=sys.stderr if err else sys.stdout, nl=nl)


def escape_controls(text: str) -> str:
    r"""Escape control characters in generated text as `\x1b`, if standard output is a terminal.

    A terminal would obey these characters: clear the screen, or set the clipboard. Tabs and ends of
    lines stay.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return text
    return CONTROL_PATTERN.sub(lambda found: shown(found[0]), text)

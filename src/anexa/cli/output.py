"""Standard streams of the commands: output with escapes for characters that cannot be encoded."""

from __future__ import annotations

import codecs
import io
import os
import sys

import typer

from anexa.names import ESCAPE


def set_up_streams() -> None:
    """Make standard output escape what it cannot encode, and standard input read UTF-8.

    Generated text and file names may have characters that the encoding of the terminal lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)
    is_unset = isinstance(sys.stdin, io.TextIOWrapper) and "PYTHONIOENCODING" not in os.environ
    if is_unset and codecs.lookup(sys.stdin.encoding).name == "ascii":  # the locale says nothing
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print to standard output or error; Typer's own `echo` would bypass the stream for ASCII."""
    typer.echo(text, file=sys.stderr if err else sys.stdout, nl=nl)

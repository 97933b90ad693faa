"""The program `anexa`: its commands, and the display of errors."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TextIO

import typer

from anexa import __version__
from anexa.cli.arguments import check_no_empty_paths, take_debug
from anexa.cli.chat import chat
from anexa.cli.check import check
from anexa.cli.compare import compare
from anexa.cli.corpora import corpora
from anexa.cli.eval import evaluate
from anexa.cli.explore import explore
from anexa.cli.export import export
from anexa.cli.generate import generate
from anexa.cli.graph import graph
from anexa.cli.learn import learn
from anexa.cli.numbers import with_strict_numbers
from anexa.cli.output import echo, set_up_streams
from anexa.cli.publish import publish
from anexa.cli.reinforce import reinforce
from anexa.cli.runs import runs
from anexa.cli.serve import serve
from anexa.cli.signals import exit_on_signals
from anexa.cli.train import train
from anexa.cli.verify import verify
from anexa.errors import OUT_OF_MEMORY, AnexaError, AnexaWarning, UsageError
from anexa.names import shown
from anexa.process import discard_lost_output

# The Typer application, with all commands.
app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="With --debug an error is shown with its traceback.",
)
# Commands by name, in the order of the help, which has `graph` at its end.
COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "reinforce": reinforce,
    "chat": chat,
    "generate": generate,
    "serve": serve,
    "explore": explore,
    "learn": learn,
    "check": check,
    "eval": evaluate,
    "export": export,
    "publish": publish,
    "runs": runs,
    "compare": compare,
    "verify": verify,
    "corpora": corpora,
}
for name, command in COMMANDS.items():
    app.command(name)(with_strict_numbers(command))
# An expression may begin with a minus sign.
app.command(context_settings={"ignore_unknown_options": True})(with_strict_numbers(graph))


def _show_version(wanted: bool) -> None:
    if wanted:
        echo(f"anexa {__version__}")
        raise typer.Exit


@app.callback()
def anexa(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """A GPT that you own: train it on your own text, check it against itself, talk to it."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


program = typer.main.get_command(app)  # the Click command that `main` runs


def main() -> None:
    """Run the command in `sys.argv`, and exit.

    An error is printed to standard error as one sentence; `--debug` prints its traceback
    first. The exit status is 0 on success, 2 for wrong usage, 130 after Ctrl-C, 128 plus its number
    after another signal, and else 1.
    """
    commands = {**COMMANDS, "graph": graph}
    debug, arguments = take_debug(commands, sys.argv[1:])
    warnings.showwarning = _show_warning
    set_up_streams()
    exit_on_signals()
    for name in ("COLUMNS", "LINES"):  # Rich would believe that the terminal has no columns
        if not os.environ.get(name, "").strip("0"):
            os.environ.pop(name, None)
    try:
        command = commands.get(arguments[0]) if arguments else None
        if command is not None:
            check_no_empty_paths(command, arguments[1:])
        sys.exit(program(arguments, standalone_mode=False) or 0)
    except BrokenPipeError:  # the reader of our output has gone: nobody can see a message
        discard_lost_output()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sentence, status = _explain(error)
        print(f"anexa: {shown(sentence)}", file=sys.stderr)
        sys.exit(status)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one sentence, and all others as Python does."""
    if issubclass(category, AnexaWarning):
        text = f"anexa: {shown(str(message))}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    print(text, end="", file=file or sys.stderr)


def _explain(error: Exception) -> tuple[str, int]:
    """Convert an exception to a sentence for the user and an exit status."""
    about_files = isinstance(error, (AnexaError, OSError)) and not isinstance(error, UsageError)
    if about_files and not _has_folder():
        return "the current folder has been deleted: change to another one", 1
    if isinstance(error, AnexaError):
        return str(error), error.exit_status
    if hasattr(error, "format_message"):  # an error of the option parser
        message = " ".join(error.format_message().split()).rstrip(".")
        message = message.replace(": Value error, ", ": ")  # by pydantic, which typer uses
        return f"{message[:1].lower()}{message[1:]} (see --help)", 2
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY, 1
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason, 1
    kind = type(error).__name__
    return f"internal error ({kind}: {error}); please report it with the output of --debug", 1


def _has_folder() -> bool:
    """Return whether the working directory still exists."""
    try:
        return Path.cwd().exists()
    except OSError:
        return False

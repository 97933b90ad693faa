"""Refusal of empty paths on the command line, which Python would take for the current folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from typer.models import ArgumentInfo, OptionInfo

from anexa.errors import UsageError
from anexa.names import flag

TEXTS_WITH_PATHS = {"from_"}  # parameters that are paths, although their type is `str`


def check_paths(command: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Check that no path among the arguments of a command is empty.

    Args:
        command: function of the command, whose parameters are annotated for Typer.
        arguments: arguments after the name of the command.

    Raises:
        UsageError: if there is an empty path.
    """
    options, has_path = _paths(command)
    for before, argument in zip(("", *arguments), arguments):
        name, equals, value = argument.partition("=")
        if name in options and equals and not value:
            raise UsageError(f"{name} is empty: give a path, such as . for the current folder")
        if not argument and before in options:
            raise UsageError(f"{before} is empty: give a path, such as . for the current folder")
        if not argument and has_path and (before == "--" or not before.startswith("-")):
            raise UsageError("a path is empty: give a path, such as . for the current folder")


def _paths(command: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names of the options of a command that are paths, and whether an argument is."""
    options, has_path = set[str](), False
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        hint, *infos = get_args(parameter.annotation) or (None,)
        if not _is_path(hint) and name not in TEXTS_WITH_PATHS:
            continue
        for info in infos:
            if isinstance(info, OptionInfo):
                options |= {*(info.param_decls or (flag(name.rstrip("_")),))}
            has_path = has_path or isinstance(info, ArgumentInfo)
    return options, has_path


def _is_path(hint: Any) -> bool:
    """Return whether a type is `Path`, or has it as a part, such as `list[Path] | None`."""
    return hint is Path or any(map(_is_path, get_args(hint)))

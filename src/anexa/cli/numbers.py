"""Numbers on the command line, read by `parse_int` and `parse_float` instead of Typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args

from typer.models import ParameterInfo

from anexa.errors import short_repr
from anexa.ranges import parse_float, parse_int

Command = TypeVar("Command", bound=Callable[..., None])


def with_strict_numbers(command: Command) -> Command:
    """Have the numbers of a command read strictly: Typer reads 1_0 as 10, and 5.0 as 5.

    Args:
        command: function whose parameters are annotated for Typer.

    Returns:
        `command` itself, with a new `__signature__`.
    """
    signature = inspect.signature(command, eval_str=True)
    for parameter in signature.parameters.values():
        hint, *infos = get_args(parameter.annotation) or (None,)
        reader = next((READERS[kind] for kind in (hint, *get_args(hint)) if kind in READERS), None)
        for info in infos:
            if reader and isinstance(info, ParameterInfo):
                info.parser = reader
    # Typer reads the types from both; without the second, it evaluates the annotations again.
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def read_int(value: str | int) -> int:
    """Read a whole number; a default value, which is no text, stays as it is.

    Raises:
        ValueError: if the text is not a whole number.
    """
    try:
        return parse_int(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{short_repr(value)} is not a whole number such as 10") from None


def read_float(value: str | float) -> float:
    """Read a number; a default value, which is no text, stays as it is.

    Raises:
        ValueError: if the text is not a number.
    """
    try:
        return parse_float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{short_repr(value)} is not a number such as 0.5 or 1e-3") from None


# Readers of options and arguments, by type.
READERS: dict[Any, Callable[[Any], float]] = {int: read_int, float: read_float}

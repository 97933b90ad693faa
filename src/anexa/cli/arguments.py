"""Arguments of a command before Typer parses them: which of them are values of options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from anexa.errors import UsageError
from anexa.names import flag

DEBUG = "--debug"  # option of all commands, which Typer does not know
TEXTS_WITH_PATHS = {"from_"}  # parameters that are paths, although their type is `str`


class Argument(NamedTuple):
    """An argument on the command line.

    Attributes:
        text: the argument.
        option: name of the option whose value it is; "--" after the argument `--`, which ends the
            options; "" for all others, such as the names of options and `--steps=5`.
        number: number of the value among those of the option, from 0.
    """

    text: str
    option: str = ""
    number: int = 0


def take_debug(
    commands: Mapping[str, Callable[..., Any]], arguments: Sequence[str]
) -> tuple[bool, list[str]]:
    """Remove the option `--debug` from the arguments of the program.

    `--debug` as the value of another option, or after `--`, stays.

    Args:
        commands: function of each command, by name.
        arguments: arguments of the program.

    Returns:
        Whether the option was there, and the other arguments.
    """
    first = next((i for i, text in enumerate(arguments) if not text.startswith("-")), None)
    before = [*arguments] if first is None else [*arguments[: first + 1]]
    rest: list[str] = []
    if first is not None:
        command = commands.get(arguments[first])
        values = _parameters(command)[0] if command else {}
        found = _arguments(values, arguments[first + 1 :])
        rest = [one.text for one in found if one.option or one.text != DEBUG]
    kept = [text for text in before if text != DEBUG] + rest
    return len(kept) < len(arguments), kept


def check_no_empty_paths(command: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Check that no path among the arguments of a command is empty.

    Python would take an empty path for the current folder.

    Args:
        command: function of the command, whose parameters are annotated for Typer.
        arguments: arguments after the name of the command.

    Raises:
        UsageError: if there is an empty path.
    """
    options, has_path = _parameters(command)
    for text, option, number in _arguments(options, arguments):
        name, equals, value = text.partition("=")
        if not option and equals and not value and options.get(name, ())[:1] == (True,):
            raise UsageError(f"{name} is empty: give a path, such as . for the current folder")
        if not text and option in options and options[option][number]:
            raise UsageError(f"{option} is empty: give a path, such as . for the current folder")
        if not text and option not in options and has_path:
            raise UsageError("a path is empty: give a path, such as . for the current folder")


def _arguments(
    options: Mapping[str, tuple[bool, ...]], arguments: Sequence[str]
) -> Iterator[Argument]:
    """Yield each argument with the option whose value it is.

    Args:
        options: an entry for each value of an option, by its name.
        arguments: arguments after the name of the command.
    """
    option, number = "", 0
    for text in arguments:
        if option == "--":
            yield Argument(text, option)
        elif number < len(options.get(option, ())):
            yield Argument(text, option, number)
            number += 1
        else:
            yield Argument(text)
            option, equals, _ = text.partition("=")
            option, number = (option, 1) if equals else (text, 0)


def _parameters(command: Callable[..., Any]) -> tuple[dict[str, tuple[bool, ...]], bool]:
    """Return which values of the options of a command are paths, and whether an argument is.

    Returns:
        For each name of an option, whether each of its values is a path (a flag has no values); and
        whether a positional argument is a path.
    """
    options, has_path = dict[str, tuple[bool, ...]](), False
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        hint, *infos = get_args(parameter.annotation) or (None,)
        kinds = _value_types(hint)
        paths = tuple(kind is Path or name in TEXTS_WITH_PATHS for kind in kinds)
        for info in infos:
            if isinstance(info, OptionInfo):
                options |= dict.fromkeys(info.param_decls or (flag(name.rstrip("_")),), paths)
            has_path = has_path or (isinstance(info, ArgumentInfo) and any(paths))
    return options, has_path


def _value_types(hint: Any) -> tuple[Any, ...]:
    """Return the type of each value of an option: none for a flag, two for a pair.

    Args:
        hint: type of the parameter, such as `bool`, `list[Path] | None` or `tuple[str, Path]`.
    """
    kinds = [kind for kind in get_args(hint) if kind not in (type(None), Ellipsis)]
    if get_origin(hint) is tuple:
        return tuple(kinds)
    if kinds and get_origin(hint) is not Literal:
        return _value_types(kinds[0])
    return () if hint is bool else (hint,)

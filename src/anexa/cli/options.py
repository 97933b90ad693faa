"""The options of `anexa train`, generated from the fields of `TrainConfig`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_origin

from typer import Argument, Option

from anexa.names import flag
from anexa.training.config import TrainConfig, preset_config
from anexa.training.option_table import CHOICES, OPTIONS, SECTIONS, TYPE_HINTS
from anexa.training.presets import DEFAULT_PRESET, FINETUNE_PRESET, PRESETS


def with_config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument CORPUS and an option for each field of `TrainConfig`.

    Args:
        command: function that receives the options that the user sets as `**overrides`; its other
            parameters follow the generated ones, with their own annotations.

    Returns:
        `command` itself, with a new `__signature__`: the generated parameters, then its own. A
        parameter of its own with the name of a generated one replaces that one.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    generated = [_parameter(name) for name in ("corpus", "preset", *OPTIONS)]
    unique = {parameter.name: parameter for parameter in (*generated, *own)}
    # Typer asks for the signature, as `inspect.signature` does.
    command.__signature__ = signature.replace(parameters=[*unique.values()])  # type: ignore[attr-defined]
    return command


def _parameter(name: str) -> inspect.Parameter:
    """Return the parameter of an option, which is None if the option is not given."""
    section, field = OPTIONS.get(name, ("", name))
    kind = SECTIONS.get(section, TrainConfig)
    hint = TYPE_HINTS.get(name, str)
    docs = attribute_docs(kind).get(field, "")  # `python -OO` removes docstrings
    text = f"{docs}{_choices(name, hint)}{_default(name)}".strip()
    info: Any = Option(_flags(name, hint), help=text)
    if name == "corpus":
        info = Argument(help=text)
    if get_origin(hint) is tuple:
        hint = list[str]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[hint | None, info]
    )


def _flags(name: str, hint: Any) -> str:
    boolean = bool in (hint, *getattr(hint, "__args__", ()))
    return f"{flag(name)}/{flag(f'no_{name}')}" if boolean else flag(name)


def _choices(name: str, hint: Any) -> str:
    """Return the sentence of a help text that lists the choices of a string.

    Typer itself lists the choices of a Literal.
    """
    choices = CHOICES.get(name, ())
    return f" One of {', '.join(choices)}." if choices and hint is str else ""


def _default(name: str) -> str:
    """Return the default value of an option in brackets, for the end of its help text."""
    if name == "preset":
        return (
            f" [default: {DEFAULT_PRESET}; with --from {FINETUNE_PRESET}; for conversations "
            "anexa-chat; for the corpus arithmetic anexa-think]"
        )
    section, field = OPTIONS[name]
    [value] = [f.default for f in fields(SECTIONS[section]) if f.name == field]
    adamw = preset_config(DEFAULT_PRESET, "adamw").options()[name]
    if value in (None, "", ()):
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple):
        text = " ".join(value)
    if isinstance(value, bool):
        text = flag(name if value else f"no_{name}")
    if name not in ("optimizer", "engine") and adamw != value:
        text += f", with adamw {adamw:g}"
    others = {value, *(changes.get(name, value) for changes in PRESETS.values())}
    return f" [default: {text}{'; depends on the preset' if len(others) > 1 else ''}]"


def attribute_docs(kind: type) -> dict[str, str]:
    """Parse the `Attributes` in the docstrings of a dataclass and of its bases.

    Args:
        kind: dataclass whose docstrings, and those of its bases, document every field.

    Returns:
        For each field a sentence that begins with a capital.
    """
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        _, _, section = (inspect.getdoc(base) or "").partition("\nAttributes:\n")
        section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
        for entry in re.split(r"\n(?=    \w)", section):
            name, _, text = entry.strip().partition(": ")
            docs[name] = " ".join(text.split())
    return {name: text[:1].upper() + text[1:] for name, text in docs.items()}

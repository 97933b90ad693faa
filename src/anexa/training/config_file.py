"""`TrainConfig` as a TOML file, with a table for each section."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, UsageError, short_repr
from anexa.names import json_key as key_of
from anexa.training.base_options import BASE_OPTIONS
from anexa.training.config import TrainConfig, decode_option_value
from anexa.training.option_table import OPTIONS, SECTIONS, check_values
from anexa.training.presets import LENGTH_OPTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_PATH = Path("training") / "config.toml"  # in a model folder


def encode_toml(config: TrainConfig, earlier_lengths: Sequence[float] = ()) -> bytes:
    """Return a configuration as a TOML file; keys whose value is None are left out.

    The sizes and the tokenizer of a run that starts from a model are left out as well, as that
    model has them. All values are strings, lists of them, numbers or booleans, which TOML writes
    nearly as JSON does; names of files are encoded by `anexa.names.encode_name`.

    Args:
        config: configuration of the run.
        earlier_lengths: lengths that the run had before it was lengthened, for a comment.
    """
    note = "`anexa train --config FILE` repeats it."
    if earlier_lengths:
        lengths = ", then ".join(f"{length}" for length in earlier_lengths)
        note = f"The run was lengthened: {config.length_option[0]} was {lengths}."
    lines = [
        f"# The configuration of this run. {note}",
        f"preset = {json.dumps(config.preset)}",
    ]
    fixed = BASE_OPTIONS if config.finetune.from_ is not None else ()
    for section, values in config.to_json().items():
        if section != "preset":
            lines += ["", f"[{section}]"]
            for key, value in values.items():
                if value is not None and key not in fixed:
                    lines.append(f"{key} = {_literal(value)}")
    return ("\n".join(lines) + "\n").encode()


def read_options(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read options from a TOML file; options in `overrides` take precedence.

    Args:
        path: path of the file; each of its keys is optional.
        overrides: values by option name; a length (one of `LENGTH_OPTIONS`) or a batch size
            replaces the file's, even if it has another unit.

    Returns:
        Values by option name, as `TrainConfig.from_options` takes them.

    Raises:
        AnexaError: if the file cannot be read.
        UsageError: if the file is not TOML, has a table, key or value that is unknown to
            `TrainConfig`, or has several lengths.
    """
    try:
        value = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise AnexaError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {short_repr(error)}") from error
    overrides = dict(overrides or {})
    options: dict[str, Any] = {}
    labels: dict[str, str] = {}  # of the options, for messages
    for name, table in value.items():
        if name == "preset":
            labels[name] = f"{path}: preset"
            options[name] = table
        elif name not in SECTIONS or not isinstance(table, dict):
            raise UsageError(
                f"{path}: {short_repr(name)} is not one of preset = … and the tables "
                f"{', '.join(f'[{section}]' for section in SECTIONS)}"
            )
        else:
            for key, content in table.items():
                option = _option(path, name, key)
                labels[option] = f"{path}: [{name}] {key}"
                options[option] = decode_option_value(content)
    if sum(option in options for option in LENGTH_OPTIONS) > 1:
        raise UsageError(f"{path}: [schedule] may have one of {', '.join(LENGTH_OPTIONS)}")
    check_values(options, labels.__getitem__)
    if any(option in overrides for option in LENGTH_OPTIONS):
        options = {name: option for name, option in options.items() if name not in LENGTH_OPTIONS}
    if "batch_tokens" in overrides:
        options.pop("batch_size", None)
    return options | overrides


def _option(path: Path, section: str, key: str) -> str:
    """Return the name of the option that a key of the file sets.

    Args:
        path: path of the file, for error messages.
        section: name of the table.
        key: key in the table.

    Raises:
        UsageError: if the section has no such key.
    """
    options = {
        key_of(field): option for option, (name, field) in OPTIONS.items() if name == section
    }
    if key in options:
        return options[key]
    keys = ", ".join(options)
    raise UsageError(f"{path}: [{section}] has no key {short_repr(key)}: choose one of {keys}")


def _literal(value: Any) -> str:
    """Convert a value to TOML, whose strings escape one more character than JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

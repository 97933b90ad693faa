"""Table of the options of `anexa train`, and their validation.

The options are the fields of the dataclasses in `SECTIONS`. The table has their types, choices and
ranges, and the configurations in which an option has no effect.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from anexa.engines import ENGINES
from anexa.engines.device import DTYPES
from anexa.errors import UsageError, short_repr
from anexa.model.architectures import ARCHITECTURES
from anexa.names import flag
from anexa.training.presets import PRESETS
from anexa.training.sections import (
    DataConfig,
    FinetuneConfig,
    ModelSpec,
    RunConfig,
    ScheduleConfig,
    TrainDeviceConfig,
    TrainOptimizerConfig,
)

# Sections of a `TrainConfig`, and the dataclass of each.
SECTIONS: dict[str, Any] = {
    "model": ModelSpec,
    "data": DataConfig,
    "finetune": FinetuneConfig,
    "optimizer": TrainOptimizerConfig,
    "schedule": ScheduleConfig,
    "device": TrainDeviceConfig,
    "run": RunConfig,
}
# Options whose name differs from that of their field: (section, field), and the option.
RENAMED_OPTIONS = {
    ("optimizer", "name"): "optimizer",
    ("optimizer", "max_grad_norm"): "grad_clip",
    ("schedule", "shape"): "schedule",
}
# Section and field of each option. The fields of a section come before those of its base class.
OPTIONS: dict[str, tuple[str, str]] = {
    RENAMED_OPTIONS.get((section, name), name): (section, name)
    for section, kind in SECTIONS.items()
    for name in dict.fromkeys([*vars(kind)["__annotations__"], *(f.name for f in fields(kind))])
}
# Type annotation of each option.
TYPE_HINTS: dict[str, Any] = {
    name: get_type_hints(SECTIONS[section])[field] for name, (section, field) in OPTIONS.items()
}
# Names of the types in error messages.
OPTION_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
# Allowed values of the options that have a fixed list of them.
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "model_type": tuple(ARCHITECTURES),
    "engine": (*ENGINES, "auto"),
    "dtype": ("auto", *DTYPES),
} | {name: get_args(hint) for name, hint in TYPE_HINTS.items() if get_origin(hint) is Literal}
# Ranges of numbers: the condition, its name in error messages, and the options it is for.
RANGES: tuple[tuple[Callable[[float], bool], str, str], ...] = (
    (lambda n: n >= 1, "at least 1", "n_layer n_head n_embd block_size steps evaluations"),
    (lambda n: n >= 1, "at least 1", "batch_size"),
    (lambda n: n <= 2**16, f"at most {2**16:,}", "batch_size micro_batch n_layer n_head n_embd"),
    (lambda n: n <= 2**20, f"at most {2**20:,}", "block_size"),
    (lambda n: n <= 10**9, f"at most {10**9:,}", "steps"),
    (lambda x: x <= 10**6, f"at most {10**6:,}", "epochs evaluations"),
    (lambda x: x > 0, "above 0", "epochs minutes until_loss learning_rate eps"),
    (lambda x: x >= 0, "0 or more", "n_inner lora micro_batch weight_decay grad_clip seed"),
    (lambda n: n < 2**64, f"below {2**64:,}", "seed"),
    (lambda x: 0 <= x < 1, "at least 0 and below 1", "beta1 beta2 momentum warmup dropout"),
    # Weights, gradients and moments are float32, in which other numbers are 0, 1 or infinite.
    (lambda x: x == 0 or x >= 2**-126, "at least 1.2e-38", "learning_rate eps grad_clip"),
    (lambda x: x < 2**128, "at most 3.4e+38", "learning_rate eps grad_clip weight_decay"),
    (lambda x: x <= 1 - 2**-24, "at most 0.9999999", "dropout"),
)
# Options that have no effect in some configurations, in which only their default value is accepted:
# the option, a function of all options that returns whether the option has an effect, and the
# reason for the error message if it has none.
EFFECTS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    (
        "layout",
        lambda options: options["corpus"] != ("arithmetic",),
        "the corpus arithmetic is generated as conversations, leave it out",
    ),
    *(
        (
            name,
            lambda options: DataConfig(options["corpus"]).reads_files,
            f"it {words}, leave it out",
        )
        for name, words in (
            ("field", "chooses the texts in files with rows, such as .jsonl, .csv and .parquet"),
            ("include", "chooses files of a folder or archive"),
            ("skip_bad", "is for rows and files that cannot be read"),
        )
    ),
    (
        "allow_unknown",
        lambda options: DataConfig(tokenizer=options["tokenizer"]).has_foreign_tokenizer,
        "the tokenizer is made from the corpus and knows all of its characters, leave it out",
    ),
    (
        "freeze",
        lambda options: options["from_"] is not None,
        "only a run that starts from a model (--from) has weights to keep, leave it out",
    ),
    (
        "lora",
        lambda options: options["from_"] is not None,
        "only a run that starts from a model (--from) has weights to adapt, leave it out",
    ),
    (
        "momentum",
        lambda options: options["optimizer"] == "muon",
        "{optimizer} has no momentum but --beta1, leave it out",
    ),
    (
        "dropout",
        lambda options: options["engine"] == "torch",
        "it needs the torch engine, not {engine}: give --dropout 0",
    ),
    (
        "micro_batch",
        lambda options: options["engine"] == "torch",
        "the {engine} engine does not split batches, leave it out",
    ),
    (
        "shard",
        lambda options: options["engine"] == "torch",
        "it needs the torch engine, not {engine}: leave it out",
    ),
)


def check_values(options: Mapping[str, Any], label: Callable[[str], str] = flag) -> None:
    """Validate option values: type, choices and range.

    Args:
        options: values by option name; not all options need to be there.
        label: function that returns the name of an option in error messages; default: `flag`, as on
            the command line (`--grad-clip`).

    Raises:
        UsageError: if a value has the wrong type, is not a choice, or is out of range.
    """
    for name, value in options.items():
        hint = TYPE_HINTS.get(name, str)
        if get_origin(hint) is tuple:
            texts = [value] if isinstance(value, str) else value
            is_list = isinstance(texts, list | tuple) and {*map(type, texts)} <= {str}
            if not is_list or (name == "corpus" and not texts):
                raise UsageError(
                    f"{label(name)} must be a text or a list of texts, not {short_repr(value)}"
                )
            continue
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next((kind for kind in kinds if kind in OPTION_TYPES), str)  # a Literal is a string
        # A float option also takes an int within the range of floats, but not a bool.
        is_integer = kind is float and type(value) is int and abs(value) < sys.float_info.max
        if not (is_integer or type(value) is kind or (value is None and NoneType in kinds)):
            raise UsageError(f"{label(name)} must be {OPTION_TYPES[kind]}, not {short_repr(value)}")
    for name, choices in CHOICES.items():
        if name in options and options[name] not in choices:
            raise UsageError(
                f"{label(name)} is one of {', '.join(choices)}, not {short_repr(options[name])}"
            )
    for holds, words, names in RANGES:
        for name in names.split():
            value = options.get(name)
            if value is not None and not (holds(value) and value != math.inf):
                raise UsageError(f"{label(name)} must be {words}, not {value}")


def check_effects(options: Mapping[str, Any]) -> None:
    """Check that each option whose value is not the default has an effect, given the other options.

    Args:
        options: values of all options by name, with the defaults of those that are not given.

    Raises:
        UsageError: if an option in `EFFECTS` has no effect, and its value is not the default.
    """
    for name, has_effect, reason in EFFECTS:
        section, field = OPTIONS[name]
        value = options[name]
        if value != getattr(SECTIONS[section], field) and not has_effect(options):
            argument = flag(name) if value is True else f"{flag(name)} {option_text(value)}"
            raise UsageError(f"{argument} has no effect: {reason.format(**options)}")


def option_text(value: Any) -> str:
    """Return the value of an option as it is typed: strings of a tuple are joined by spaces."""
    return " ".join(value) if isinstance(value, tuple) else str(value)

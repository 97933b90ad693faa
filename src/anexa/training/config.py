"""The configuration of a training run: nested dataclasses, and their fields as flat options.

The options of `anexa train` are generated from the fields, and their help texts from `Attributes`:
a new field is also an option, a key of `--config` files, and an entry of the checkpoint. The
sections are in `sections`; the types, choices and ranges of their fields are in `option_table`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from anexa.errors import UsageError
from anexa.model.architectures import ARCHITECTURES
from anexa.names import decode_name, encode_name, flag, json_key, shell_word
from anexa.training.base_options import BASE_OPTIONS, complete_base_options
from anexa.training.option_table import OPTIONS, SECTIONS, check_values, option_text
from anexa.training.presets import ADAMW_PRESETS, LENGTH_OPTIONS, PRESETS, choose_preset
from anexa.training.sections import (
    DataConfig,
    FinetuneConfig,
    ModelSpec,
    RunConfig,
    ScheduleConfig,
    TrainDeviceConfig,
    TrainOptimizerConfig,
    as_tuple,
)

# Options that may change when a run is resumed.
CHANGEABLE_OPTIONS = ("device", "micro_batch", "shard")


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run, which determines its results on a given corpus.

    Attributes:
        preset: name of the preset that the values come from; here it sets none of them.
        model: architecture and sizes.
        data: corpus, layout and tokenizer.
        finetune: model that the run starts from, and its frozen weights.
        optimizer: optimizer and learning rate.
        schedule: length of the run, learning rate schedule, evaluations.
        device: engine, device and precision.
        run: batch size and seed.

    Raises:
        UsageError: if a value is out of range or contradicts another one, or not exactly one of
            `LENGTH_OPTIONS` is given.
    """

    preset: str = "anexa"
    model: ModelSpec = field(default_factory=ModelSpec)
    data: DataConfig = field(default_factory=DataConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    optimizer: TrainOptimizerConfig = field(default_factory=TrainOptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    device: TrainDeviceConfig = field(default_factory=TrainDeviceConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        options = self.options()
        if sum(options[name] is not None for name in LENGTH_OPTIONS) != 1:
            raise UsageError(
                "a run ends after --steps, after --epochs or after --minutes: give one of them"
            )
        check_values(options)
        if self.optimizer.weight_decay * self.optimizer.learning_rate > 1:
            raise UsageError(
                f"--weight-decay {self.optimizer.weight_decay:g} times --learning-rate "
                f"{self.optimizer.learning_rate:g} must be at most 1: a step shrinks the weights "
                "by that fraction"
            )
        fixed = ARCHITECTURES[self.model.model_type].fixed
        if self.finetune.from_ is None and self.model.n_inner and "n_inner" in fixed:
            architectures = ARCHITECTURES.items()
            free = [name for name, each in architectures if "n_inner" not in each.fixed]
            raise UsageError(
                f"--n-inner {self.model.n_inner} is for {', '.join(free)} models: the MLP of a "
                f"{self.model.model_type} model is 4 times as wide as --n-embd: give --n-inner 0"
            )

    @classmethod
    def from_options(cls, **overrides: Any) -> TrainConfig:
        """Create a configuration from options; the other options have the preset's values.

        Args:
            overrides: values by option name (`OPTIONS`), and `preset` (default: the one that
                suits the corpus and `from_`); `batch_tokens`, the number of tokens in an optimizer
                step, may replace `batch_size`.

        Raises:
            AnexaError: if the model to start from (`from_`) is missing or damaged.
            UsageError: if there is no such option or preset, a value is out of range, or options
                contradict each other.
        """
        if "corpus" in overrides:
            check_values({"corpus": overrides["corpus"]})
            overrides["corpus"] = as_tuple(overrides["corpus"])
        overrides = complete_base_options(overrides)
        name = overrides.pop("preset", None) or choose_preset(
            overrides.get("corpus", ()),
            overrides.get("from_"),
            as_text=overrides.get("layout", "auto") != "auto" or bool(overrides.get("field")),
        )
        config = preset_config(name, overrides.get("optimizer"))
        if any(option in overrides for option in LENGTH_OPTIONS):
            overrides.setdefault("steps", None)
        overrides["engine"] = overrides.get("engine") or "auto"
        tokens = overrides.pop("batch_tokens", None)
        if tokens is not None:
            if "batch_size" in overrides:
                raise UsageError("--batch-size and --batch-tokens say the same: give one of them")
            length = overrides.get("block_size") or config.model.block_size
            if tokens < length:
                raise UsageError(
                    f"--batch-tokens must be at least {length}, the tokens of a sequence, "
                    f"not {tokens}"
                )
            overrides["batch_size"] = tokens // length
        return config.replace(**overrides)

    @property
    def length_option(self) -> tuple[str, float]:
        """The option that ends the run, one of `LENGTH_OPTIONS`, and its value."""
        options = self.options()
        return next((name, options[name]) for name in LENGTH_OPTIONS if options[name] is not None)

    def for_resume(self, overrides: Mapping[str, Any], *, lengthen: bool = False) -> TrainConfig:
        """Return the configuration of the resumed run, with new values of `CHANGEABLE_OPTIONS`.

        Args:
            overrides: options that the user has given again, by name; "auto" for an option that
                cannot change keeps the run's value.
            lengthen: whether the run is finished, so that `overrides` may have another value of
                its own `length_option`. The caller must check that it is greater.

        Raises:
            UsageError: if there is no such option, another option differs from the run's, or a new
                value is out of range.
        """
        options = self.options()
        changeable = (
            (*CHANGEABLE_OPTIONS, self.length_option[0]) if lengthen else CHANGEABLE_OPTIONS
        )
        for name, asked in overrides.items():
            option = "the corpus" if name == "corpus" else flag(name)
            if name == "batch_tokens":
                raise UsageError(f"a resumed run keeps its own --batch-size: leave {option} out")
            if name not in options:
                raise UsageError(f"there is no option {flag(name)}")
            ours = options[name]
            asked = tuple(asked) if isinstance(asked, list) else asked
            if name not in changeable and asked not in (ours, "auto"):
                was = "not given" if ours is None else ours
                raise UsageError(
                    f"this run was started with {option} {option_text(was)}, not "
                    f"{option_text(asked)}: leave it out to resume the run, or start a new one"
                )
        return self.replace(**{name: overrides[name] for name in changeable if name in overrides})

    def options(self) -> dict[str, Any]:
        """Return all values by option name, `preset` first."""
        return {"preset": self.preset} | {
            name: getattr(getattr(self, section), field)
            for name, (section, field) in OPTIONS.items()
        }

    def replace(self, **options: Any) -> TrainConfig:
        """Return a copy with new values of some options.

        Raises:
            UsageError: if there is no such option (`preset` is none), a value is out of range, or
                options contradict each other, as two lengths do.
        """
        changes: dict[str, dict[str, Any]] = {}
        for option, value in options.items():
            if option not in OPTIONS:
                raise UsageError(f"there is no option {flag(option)}")
            section, field = OPTIONS[option]
            changes.setdefault(section, {})[field] = value
        sections = {
            section: dataclasses.replace(getattr(self, section), **values)
            for section, values in changes.items()
        }
        return dataclasses.replace(self, **sections)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as nested dictionaries, for JSON.

        Texts such as file names are encoded by `anexa.names.encode_name`, as they may not be UTF-8.
        """
        return {"preset": self.preset} | {
            name: {
                json_key(field): _encode_option_value(v)
                for field, v in asdict(getattr(self, name)).items()
            }
            for name in SECTIONS
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainConfig:
        """Create a configuration from the nested dictionaries that `to_json` returned.

        Raises:
            AttributeError, KeyError, TypeError, UsageError: if `value` is not a configuration.
        """
        sections = {}
        for name, kind in SECTIONS.items():
            names = {json_key(field.name): field.name for field in fields(kind)}
            values = {names[k]: decode_option_value(v) for k, v in value[name].items()}
            sections[name] = kind(**values)
        return cls(value["preset"], **sections)

    def command_line(self) -> str:
        """Return the command line that repeats the run with its engine, on any device."""
        usual = preset_config(self.preset).options()
        always = [
            "preset",
            "engine",
            *LENGTH_OPTIONS,
            "batch_size",
            "optimizer",
            "learning_rate",
            "seed",
        ]
        left_out = ["corpus", "device"]
        if self.finetune.from_ is not None:
            always.append("block_size")
            left_out += BASE_OPTIONS
        words = ["anexa", "train", *map(shell_word, self.data.corpus)]
        for name, value in self.options().items():
            if value is None or name in left_out:
                continue
            if name in always or value != usual[name]:
                if isinstance(value, bool):
                    words.append(flag(name) if value else flag(f"no_{name}"))
                elif isinstance(value, tuple):
                    words += [word for text in value for word in (flag(name), shell_word(text))]
                else:
                    words += [flag(name), shell_word(str(value))]
        return " ".join(words)


def preset_config(name: str, optimizer: str | None = None) -> TrainConfig:
    """Return the configuration of a preset.

    Args:
        name: a key of `PRESETS`.
        optimizer: optimizer to use instead of the preset's own, with the options that suit it.

    Raises:
        UsageError: if there is no such preset or optimizer.
    """
    config = TrainConfig(preset=name)  # raises if there is no such preset
    config = config.replace(**PRESETS[name])
    if optimizer in (None, config.optimizer.name):
        return config
    changes = ADAMW_PRESETS.get(name, {}) if optimizer == "adamw" else {}
    return config.replace(optimizer=optimizer, **changes)


def _encode_option_value(value: Any) -> Any:
    """Convert the value of an option for JSON.

    A text is encoded by `anexa.names.encode_name`; several texts become a list.
    """
    if isinstance(value, tuple):
        texts = [encode_name(text) for text in value]
        return texts[0] if len(texts) == 1 else texts
    return encode_name(value) if isinstance(value, str) else value


def decode_option_value(value: Any) -> Any:
    """Convert an option from JSON: `decode_name` decodes a text, or each text of a list."""
    if isinstance(value, list):
        return [decode_name(each) if isinstance(each, str) else each for each in value]
    return decode_name(value) if isinstance(value, str) else value

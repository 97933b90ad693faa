"""The configuration of a training run: nested dataclasses, and their fields as flat options.

The options of `anexa train` are generated from the fields, and their help texts from `Attributes`:
a new field is also an option, a key of `--config` files, and an entry of the checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from anexa.data.registry import CORPORA
from anexa.engines import ENGINES, DeviceConfig, OptimizerConfig, best_engine
from anexa.engines.device import DTYPES
from anexa.errors import UsageError, short_repr
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.names import flag, key, native, portable, shell_word
from anexa.training.base_options import BASE_OPTIONS, base_options
from anexa.training.presets import ADAMW, PRESETS, STOPPING, usual_preset

CHANGEABLE = ("device", "micro_batch", "shard")  # options that may change when a run is resumed


def as_tuple(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return a text, or several, as a tuple."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


@dataclass(frozen=True)
class ModelSpec:
    """Architecture and sizes of the model; its vocabulary size comes from the tokenizer.

    Attributes:
        model_type: architecture of the model.
        n_layer: number of transformer blocks.
        n_head: number of attention heads; a divisor of --n-embd.
        n_embd: width of the residual stream.
        block_size: context length, in tokens.
        n_inner: width inside the MLP of a llama, mistral, qwen2 or qwen3 model; 0: 4 times
            --n-embd.
    """

    model_type: str = "gpt2"
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 128
    n_inner: int = 0

    def to_config(self, vocab_size: int) -> ModelConfig:
        """Return the model's configuration for a vocabulary of `vocab_size` tokens.

        Raises:
            AnexaError: if no model can have these sizes.
        """
        return ModelConfig(vocab_size=vocab_size, **asdict(self))


@dataclass(frozen=True)
class DataConfig:
    """Corpus and tokenizer of a run.

    Attributes:
        corpus: name of a corpus (`anexa corpora` lists them), path of a text file, or - for
            standard input. Several are mixed, each as often as its size or, after a colon, its
            weight says: a.txt:3 b.txt:1.
        layout: layout of the corpus: lines (each line is a document) or text (running text); auto:
            guessed from the text.
        tokenizer: tokenizer to train or to use: char, a token for each character; bpe:SIZE,
            byte-level BPE with at most SIZE tokens; or the path of a tokenizer.json or of a model
            folder.
        field: field or column with the texts in files with rows (.jsonl, .csv, .tsv, .parquet) and
            in datasets on the disk; by default text.
        include: pattern of the names of the files to read from a folder or an archive, such as
            '*.log', instead of the usual endings of texts; may be given several times.
        skip_bad: leave out rows and files that cannot be read, and count them, instead of refusing
            the first one.
        allow_unknown: train even if more than 1 % of the characters are not in the vocabulary of a
            tokenizer that was not made from the corpus.
    """

    corpus: tuple[str, ...] = ("python-docs",)
    layout: Literal["auto", "lines", "text"] = "auto"
    tokenizer: str = "char"
    field: str = ""
    include: tuple[str, ...] = ()
    skip_bad: bool = False
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        for name in ("corpus", "include"):
            if isinstance(getattr(self, name), str | list):
                object.__setattr__(self, name, as_tuple(getattr(self, name)))

    @property
    def reads_files(self) -> bool:
        """Whether a corpus has a path, and is neither a named one nor standard input."""
        return not all(spec == "-" or spec in CORPORA for spec in self.corpus)

    @property
    def has_foreign_tokenizer(self) -> bool:
        """Whether the tokenizer was not made from the corpus, so may lack some characters."""
        return self.tokenizer != "char" and not self.tokenizer.startswith("bpe:")


@dataclass(frozen=True)
class FinetuneConfig:
    """Model that a run starts from, and the weights that keep their values.

    Attributes:
        from_: model folder or JSON file to continue, with its weights, tokenizer, sizes and chat
            template; by default a new model is trained.
        freeze: groups of weights of that model to leave as they are, separated by commas:
            embeddings, positions, norms, head, and layers by number, from 0: embeddings,0-3.
        lora: rank of the adapters (LoRA, Hu et al., 2021) that are trained instead of the weights,
            and merged into them in the model folder; 0: all weights are trained.
    """

    from_: str | None = None
    freeze: str = ""
    lora: int = 0


@dataclass(frozen=True)
class TrainOptimizerConfig(OptimizerConfig):
    """Optimizer of a run, with its learning rate.

    Attributes:
        learning_rate: peak learning rate.
    """

    name: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 8e-3
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class ScheduleConfig:
    """Length of a run, learning rate schedule, and evaluations.

    Attributes:
        steps: end after this many optimizer steps.
        epochs: end after this many passes over the corpus.
        minutes: end after this many minutes, including evaluation and saving.
        until_loss: end early, at the first evaluation with at most this validation loss, in nats a
            token.
        shape: decay of the learning rate to 0 after the warmup: linear, cosine (half a wave), or
            wsd (warmup, stable, decay: constant, then linear over the last part of the run).
        warmup: fraction of the run, from 0 to below 1, in which the learning rate rises from 0.
        evaluations: number of evaluations over the run; after each, a checkpoint is saved.
    """

    steps: int | None = 2000
    epochs: float | None = None
    minutes: float | None = None
    until_loss: float | None = None
    shape: Literal["linear", "cosine", "wsd"] = "linear"
    warmup: float = 0.05
    evaluations: int = 10


@dataclass(frozen=True)
class TrainDeviceConfig(DeviceConfig):
    """Engine of a run, and its device.

    Attributes:
        engine: engine to train with; auto: the first of torch, numba and numpy that is installed.
        compile: compile the model with torch.compile; by default on CUDA, if there is a C compiler.
    """

    engine: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    compile: bool | None = None

    def __post_init__(self) -> None:
        if self.engine == "auto":
            object.__setattr__(self, "engine", best_engine())


@dataclass(frozen=True)
class RunConfig:
    """Options of the run itself: the batch size and the random seed.

    Attributes:
        batch_size: number of sequences in an optimizer step.
        seed: random seed of the initial weights, the order of the data and dropout.
    """

    batch_size: int = 8
    seed: int = 42


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run, which determines its results on a given corpus.

    Attributes:
        preset: preset with the defaults of the model and of all other options.
        model: architecture and sizes.
        data: corpus, layout and tokenizer.
        finetune: model that the run starts from, and its frozen weights.
        optimizer: optimizer and learning rate.
        schedule: length of the run, learning rate schedule, evaluations.
        device: engine, device and precision.
        run: batch size and seed.

    Raises:
        UsageError: if a value is out of range, or not exactly one of `STOPPING` is given.
    """

    preset: str = "anexa"
    model: ModelSpec = ModelSpec()
    data: DataConfig = DataConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    optimizer: TrainOptimizerConfig = TrainOptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    device: TrainDeviceConfig = TrainDeviceConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        options = self.options()
        if sum(options[name] is not None for name in STOPPING) != 1:
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
            free = [name for name, its in ARCHITECTURES.items() if "n_inner" not in its.fixed]
            raise UsageError(
                f"--n-inner {self.model.n_inner} is for {', '.join(free)} models: the MLP of a "
                f"{self.model.model_type} model is 4 times as wide as --n-embd: give --n-inner 0"
            )

    def check_effects(self) -> None:
        """Refuse options that have no effect together with the others.

        Raises:
            UsageError: if an option in `EFFECTS` has no effect, but not its default value.
        """
        options = self.options()
        for name, has_effect, reason in EFFECTS:
            section, field = OPTIONS[name]
            if options[name] != getattr(SECTIONS[section], field) and not has_effect(self):
                value = options[name]
                argument = flag(name) if value is True else f"{flag(name)} {option_text(value)}"
                raise UsageError(f"{argument} has no effect: {reason.format(**options)}")

    @classmethod
    def from_options(cls, **overrides: Any) -> TrainConfig:
        """Make a configuration from options; other options have the preset's values.

        Args:
            overrides: values by option name (`OPTIONS`), and `preset`; `batch_tokens`, the
                number of tokens in an optimizer step, may replace `batch_size`.

        Raises:
            AnexaError: if there is no model to start from (`from_`).
            UsageError: if there is no such option or preset, or a value is out of range.
        """
        if "corpus" in overrides:
            check_values({"corpus": overrides["corpus"]})
            overrides["corpus"] = as_tuple(overrides["corpus"])
        overrides = base_options(overrides)
        name = overrides.pop("preset", None) or usual_preset(
            overrides.get("corpus", ()),
            overrides.get("from_"),
            as_text=overrides.get("layout", "auto") != "auto" or bool(overrides.get("field")),
        )
        config = preset_config(name, overrides.get("optimizer"))
        if any(option in overrides for option in STOPPING):
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
    def length(self) -> tuple[str, float]:
        """The option that ends the run, one of `STOPPING`, and its value."""
        options = self.options()
        return next((name, options[name]) for name in STOPPING if options[name] is not None)

    def for_resume(self, overrides: Mapping[str, Any], *, lengthen: bool = False) -> TrainConfig:
        """Return the configuration of the resumed run: with new values of `CHANGEABLE` options.

        Args:
            overrides: options that the user has given again.
            lengthen: whether the run is finished, so that `overrides` may have a greater length.

        Raises:
            UsageError: if another option differs from the run's.
        """
        options = self.options()
        changeable = (*CHANGEABLE, self.length[0]) if lengthen else CHANGEABLE
        for name, asked in overrides.items():
            option = "the corpus" if name == "corpus" else flag(name)
            if name == "batch_tokens":
                raise UsageError(f"a resumed run keeps its own --batch-size: leave {option} out")
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
            UsageError: if there is no such option, or a value is out of range.
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
        """Return the configuration as nested dictionaries, for JSON; its texts are `portable`."""
        return {"preset": self.preset} | {
            name: {key(field): _stored(v) for field, v in asdict(getattr(self, name)).items()}
            for name in SECTIONS
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainConfig:
        """Make a configuration from the nested dictionaries that `to_json` returned.

        Raises:
            KeyError, TypeError, UsageError: if `value` is not a configuration.
        """
        sections = {}
        for name, kind in SECTIONS.items():
            names = {key(field.name): field.name for field in fields(kind)}
            values = {names[k]: native_value(v) for k, v in value[name].items()}
            sections[name] = kind(**values)
        return cls(value["preset"], **sections)

    def command(self) -> str:
        """Return the command line that repeats the run."""
        usual = preset_config(self.preset).options()
        always = ["preset", "engine", *STOPPING, "batch_size", "optimizer", "learning_rate", "seed"]
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
    changes = ADAMW.get(name, {}) if optimizer == "adamw" else {}
    return config.replace(optimizer=optimizer, **changes)


def option_text(value: Any) -> str:
    """Return the value of an option for a message: several texts with spaces between them."""
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _stored(value: Any) -> Any:
    """Return a value for JSON: a text as `portable`, and several texts as a list of them."""
    if isinstance(value, tuple):
        texts = [portable(text) for text in value]
        return texts[0] if len(texts) == 1 else texts
    return portable(value) if isinstance(value, str) else value


def native_value(value: Any) -> Any:
    """Return a stored value with its texts as `native`."""
    if isinstance(value, list):
        return [native(each) if isinstance(each, str) else each for each in value]
    return native(value) if isinstance(value, str) else value


def check_values(options: Mapping[str, Any], label: Callable[[str], str] = flag) -> None:
    """Validate option values: type, choices and range.

    Args:
        options: values by option name.
        label: maps an option to its name in error messages; default: `flag`.

    Raises:
        UsageError: if a value has the wrong type, is not a choice, or is out of range.
    """
    for name, value in options.items():
        hint = HINTS.get(name, str)
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


# Options without an effect in some configurations, where only their default is accepted: the
# option, whether it has an effect, and the reason if it has none.
EFFECTS: tuple[tuple[str, Callable[[TrainConfig], bool], str], ...] = (
    (
        "layout",
        lambda config: config.data.corpus != ("arithmetic",),
        "the corpus arithmetic is generated as conversations, leave it out",
    ),
    *(
        (name, lambda config: config.data.reads_files, f"it {words}, leave it out")
        for name, words in (
            ("field", "chooses the texts in files with rows, such as .jsonl, .csv and .parquet"),
            ("include", "chooses files of a folder or archive"),
            ("skip_bad", "is for rows and files that cannot be read"),
        )
    ),
    (
        "allow_unknown",
        lambda config: config.data.has_foreign_tokenizer,
        "the tokenizer is made from the corpus and knows all of its characters, leave it out",
    ),
    (
        "freeze",
        lambda config: config.finetune.from_ is not None,
        "only a run that starts from a model (--from) has weights to keep, leave it out",
    ),
    (
        "lora",
        lambda config: config.finetune.from_ is not None,
        "only a run that starts from a model (--from) has weights to adapt, leave it out",
    ),
    (
        "momentum",
        lambda config: config.optimizer.name == "muon",
        "{optimizer} has no momentum but --beta1, leave it out",
    ),
    (
        "dropout",
        lambda config: config.device.engine == "torch",
        "it needs the torch engine, not {engine}: give --dropout 0",
    ),
    (
        "micro_batch",
        lambda config: config.device.engine == "torch",
        "the {engine} engine does not split batches, leave it out",
    ),
    (
        "shard",
        lambda config: config.device.engine == "torch",
        "it needs the torch engine, not {engine}: leave it out",
    ),
)
SECTIONS: dict[str, Any] = {
    name: kind for name, kind in get_type_hints(TrainConfig).items() if name != "preset"
}
# Fields whose options have other names.
RENAMED = {
    ("optimizer", "name"): "optimizer",
    ("optimizer", "max_grad_norm"): "grad_clip",
    ("schedule", "shape"): "schedule",
}
# Each option's section and field: a section's own fields, then those of its base.
OPTIONS: dict[str, tuple[str, str]] = {
    RENAMED.get((section, name), name): (section, name)
    for section, kind in SECTIONS.items()
    for name in dict.fromkeys([*vars(kind)["__annotations__"], *(f.name for f in fields(kind))])
}
# Each option's type, as annotated.
HINTS: dict[str, Any] = {
    name: get_type_hints(SECTIONS[section])[field] for name, (section, field) in OPTIONS.items()
}
OPTION_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "model_type": tuple(ARCHITECTURES),
    "engine": (*ENGINES, "auto"),
    "dtype": ("auto", *DTYPES),
} | {name: get_args(hint) for name, hint in HINTS.items() if get_origin(hint) is Literal}
RANGES: tuple[tuple[Callable[[float], bool], str, str], ...] = (
    (lambda n: n >= 1, "at least 1", "n_layer n_head n_embd block_size steps evaluations"),
    (lambda n: n >= 1, "at least 1", "batch_size"),
    (lambda x: x > 0, "above 0", "epochs minutes until_loss learning_rate eps"),
    (lambda x: x >= 0, "0 or more", "n_inner micro_batch weight_decay grad_clip seed"),
    (lambda n: n < 2**64, f"below {2**64:,}", "seed"),
    (lambda x: 0 <= x < 1, "at least 0 and below 1", "beta1 beta2 momentum warmup dropout"),
    # Weights, gradients and moments are float32, in which other numbers are 0, 1 or infinite.
    (lambda x: x == 0 or x >= 2**-126, "at least 1.2e-38", "learning_rate eps grad_clip"),
    (lambda x: x < 2**128, "at most 3.4e+38", "learning_rate eps grad_clip weight_decay"),
    (lambda x: x <= 1 - 2**-24, "at most 0.9999999", "dropout"),
)

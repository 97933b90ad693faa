"""What a training run was asked to do."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from anexa.engines import ENGINES, OptimizerConfig, best_engine
from anexa.errors import UsageError
from anexa.training.presets import DEFAULTS, Preset, preset, usual_preset
from anexa.training.schedule import SCHEDULES

OPTIMIZERS = ("muon", "adamw")
ENDS = ("steps", "epochs", "minutes")
FREE = ("device", "micro_batch", "shard")  # settings that may change when a run goes on


@dataclass(frozen=True)
class TrainConfig:
    """The whole of a run's description: with the same corpus, the same numbers come out.

    Attributes:
        corpus: a registered name, a path, or "-".
        layout: how the corpus is cut into documents; "auto": as it looks.
        tokenizer: "char", "bpe:SIZE", or a tokenizer.json or a folder that has one.
        preset: architecture and sizes.
        n_layer: instead of the preset's; so are n_head, n_embd and block_size.
        engine: what computes it.
        device: on what; see `DeviceConfig`, here and for `dtype`, `compile` and `micro_batch`.
        dtype: in which precision.
        compile: whether PyTorch's compiler is used; None: where it helps.
        micro_batch: the most rows at once; 0: as many as fit.
        shard: whether each of several processes keeps only its part of the model.
        steps: how many steps end the run; or
        epochs: how many times it sees the corpus; or
        minutes: how long it takes, evaluation and saving included. Two of them are None.
        until_loss: a validation loss that ends it sooner, in nats a token, or None.
        batch_size: rows in a step.
        optimizer: "muon" (with AdamW for what is no matrix of a block) or "adamw".
        learning_rate: the highest.
        betas: of AdamW.
        schedule: how the learning rate falls; see `schedule.learning_rate`.
        warmup: the share of the run in which it rises.
        weight_decay: of the matrices.
        clip: the longest that all gradients together may be; 0: without bound.
        dropout: the share of activations that a step leaves out.
        evaluations: how many times the validation loss is taken; each is also a checkpoint.
        seed: of the first weights, the order of the data and dropout.

    Raises:
        UsageError: a value that means nothing.
    """

    corpus: str
    layout: Literal["auto", "lines", "text"]
    tokenizer: str
    preset: str
    n_layer: int | None
    n_head: int | None
    n_embd: int | None
    block_size: int | None
    engine: str
    device: str
    dtype: str
    compile: bool | None
    micro_batch: int
    shard: bool
    steps: int | None
    epochs: float | None
    minutes: float | None
    until_loss: float | None
    batch_size: int
    optimizer: str
    learning_rate: float
    betas: tuple[float, float]
    schedule: str
    warmup: float
    weight_decay: float
    max_grad_norm: float
    dropout: float
    evaluations: int
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON has lists only
        preset(self.preset)  # there is one
        if self.engine not in ENGINES:
            raise UsageError(
                f"there is no engine {self.engine!r}: choose one of {', '.join(ENGINES)}"
            )
        if sum(getattr(self, end) is not None for end in ENDS) != 1:
            raise UsageError(
                "a run ends after --steps, after --epochs or after --minutes: give one of them"
            )
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"--{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        for name in ("steps", "batch_size", "evaluations"):
            self._check(name, lambda value: value >= 1, "at least 1")
        for name in ("n_layer", "n_head", "n_embd", "block_size"):
            self._check(name, lambda value: value >= 1, "at least 1")
        for name in ("epochs", "minutes", "learning_rate", "until_loss"):
            self._check(name, lambda value: value > 0, "above 0")
        for name in ("micro_batch", "weight_decay", "max_grad_norm", "seed"):
            self._check(name, lambda value: value >= 0, "0 or more")
        for name in ("warmup", "dropout"):
            self._check(name, lambda value: 0 <= value < 1, "at least 0 and below 1")

    def _check(self, name: str, means: Any, words: str) -> None:
        value = getattr(self, name)
        if value is not None and not (math.isfinite(value) and means(value)):
            raise UsageError(f"--{name.replace('_', '-')} must be {words}, not {value}")

    @classmethod
    def from_options(cls, **given: Any) -> TrainConfig:
        """What was asked for, by these names, and the preset's word on the rest.

        `batch_tokens` may stand for `batch_size`: how many tokens a step reads.

        Raises:
            UsageError: a value that means nothing.
        """
        given.setdefault("preset", usual_preset(given.get("corpus", DEFAULTS["corpus"])))
        chosen = preset(given["preset"])
        settings = {**DEFAULTS, **chosen.training}
        if any(end in given for end in ENDS):
            settings["steps"] = None
        if given.get("engine") in (None, "auto"):
            given["engine"] = best_engine()
        tokens = given.pop("batch_tokens", None)
        if tokens is not None:
            if "batch_size" in given:
                raise UsageError("--batch-size and --batch-tokens say the same: give one of them")
            length = given.get("block_size") or chosen.sizes["block_size"]
            if tokens < length:
                raise UsageError(
                    f"--batch-tokens must be at least {length}, the tokens of a row, not {tokens}"
                )
            given["batch_size"] = tokens // length
        settings |= given
        for name, value in settings.items():
            if isinstance(value, dict):  # a preset has one for each optimizer
                settings[name] = value.get(settings["optimizer"], value["muon"])
        return cls(**settings)

    def for_resume(self, given: Mapping[str, Any]) -> TrainConfig:
        """These settings, for a run that goes on and is asked for in these words.

        Raises:
            UsageError: one of them would make it another run.
        """
        for name, asked in given.items():
            option = "the corpus" if name == "corpus" else f"--{name.replace('_', '-')}"
            if name == "batch_tokens":
                raise UsageError(f"a run goes on with its own --batch-size: leave {option} out")
            ours = getattr(self, name)
            if name not in FREE and asked not in (ours, "auto"):
                was = "not given" if ours is None else ours
                raise UsageError(
                    f"this training was begun with {option} {was}, not {asked}: leave it out to go "
                    "on, or start a new training"
                )
        return replace(self, **{name: given[name] for name in FREE if name in given})

    @property
    def model(self) -> Preset:
        """The preset that `preset` names."""
        return preset(self.preset)

    @property
    def sizes(self) -> dict[str, int]:
        """What is to go before the preset's sizes."""
        names = ("n_layer", "n_head", "n_embd", "block_size")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def optimizer_config(self) -> OptimizerConfig:
        """For the engine."""
        return OptimizerConfig(
            *self.betas,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            muon=self.optimizer == "muon",
            dropout=self.dropout,
            seed=self.seed,
        )

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    def command(self) -> str:
        """The command line that repeats the run."""
        usual = TrainConfig.from_options(preset=self.preset)
        always = ("preset", "engine", *ENDS, "batch_size", "optimizer", "learning_rate", "seed")
        words = ["anexa", "train", shlex.quote(self.corpus)]
        for name, value in asdict(self).items():
            if value is None or name in ("corpus", "betas", "device"):
                continue
            if name in always or value != getattr(usual, name):
                option = "--" + name.replace("_", "-")
                if isinstance(value, bool):
                    words.append(option if value else option.replace("--", "--no-"))
                else:
                    words += [option, shlex.quote(str(value))]
        return " ".join(words)

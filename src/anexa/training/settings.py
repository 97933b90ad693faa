"""What a training run was asked to do."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, dataclass
from typing import Any, Literal

from anexa.engines import ENGINES, best_engine
from anexa.errors import UsageError
from anexa.model.config import Preset, preset


@dataclass(frozen=True)
class Settings:
    """The whole of a run's description: with the same corpus, the same numbers come out.

    Attributes:
        corpus: a registered name, a path, or "-".
        layout: how the corpus is cut into documents; "auto": as it looks.
        preset: architecture and sizes.
        engine: what computes it.
        steps: how many steps, or None if `minutes` ends the run.
        minutes: how long, evaluation and saving included, or None if `steps` ends it.
        batch_size: rows in a step.
        learning_rate: the highest.
        seed: of the first weights and of the order of the data.

    Raises:
        UsageError: a value that means nothing.
    """

    corpus: str
    layout: Literal["auto", "lines", "text"]
    preset: str
    engine: str
    steps: int | None
    minutes: float | None
    batch_size: int
    learning_rate: float
    seed: int

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(
                f"there is no engine {self.engine!r}: choose one of {', '.join(ENGINES)}"
            )
        preset(self.preset)  # there is one
        if (self.steps is None) == (self.minutes is None):
            raise UsageError("a run ends after --steps or after --minutes: give one of them")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps must be at least 1, not {self.steps}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise UsageError(f"--minutes must be above 0, not {self.minutes}")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.seed < 0:  # Python's generator would take it for its opposite
            raise UsageError(f"--seed must be 0 or more, not {self.seed}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(f"--learning-rate must be above 0, not {self.learning_rate}")

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """What was asked for, by these names, and the preset's word on the rest.

        Raises:
            UsageError: a value that means nothing.
        """
        chosen = preset(given.get("preset", "anexa"))
        rest = {
            "corpus": "python-docs",
            "layout": "auto",
            "preset": "anexa",
            "engine": best_engine(),
            "steps": None if "minutes" in given else chosen.steps,
            "minutes": None,
            "batch_size": chosen.batch_size,
            "learning_rate": chosen.learning_rate,
            "seed": 42,
        }
        if given.get("engine") == "auto":
            del given["engine"]
        return cls(**rest | given)

    @property
    def model(self) -> Preset:
        """The preset that `preset` names."""
        return preset(self.preset)

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    def command(self) -> str:
        """The command line that repeats the run."""
        end = f"--steps {self.steps}" if self.steps else f"--minutes {self.minutes}"
        layout = f" --layout {self.layout}" if self.layout != "auto" else ""
        return (
            f"anexa train {shlex.quote(self.corpus)} --preset {self.preset} "
            f"--engine {self.engine} {end} --batch-size {self.batch_size} "
            f"--learning-rate {self.learning_rate} --seed {self.seed}{layout}"
        )

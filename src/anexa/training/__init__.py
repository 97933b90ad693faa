"""The training loop, its schedule, and checkpoints from which a run goes on exactly."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anexa.training.checkpoint import (
        CHECKPOINT,
        Evaluation,
        TrainerState,
        is_of_launch,
        read_config,
    )
    from anexa.training.config import TrainConfig
    from anexa.training.distributed import DistributedContext, join, leave
    from anexa.training.trainer import RunOptions, StepResult, Trainer

__all__ = [
    "CHECKPOINT",
    "DistributedContext",
    "Evaluation",
    "RunOptions",
    "StepResult",
    "TrainConfig",
    "Trainer",
    "TrainerState",
    "is_of_launch",
    "join",
    "leave",
    "read_config",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `anexa --help` needs the configuration alone."""
    if name in __all__:
        for module in ("config", "checkpoint", "distributed", "trainer"):
            found = import_module(f"{__name__}.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

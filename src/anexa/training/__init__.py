"""Training: configuration, the trainer and its callbacks, checkpoints and exact resume."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anexa.training.build import (
        RunOptions,
        build_from_corpus,
        build_trainer,
        default_folder,
    )
    from anexa.training.callbacks import LossPlotCallback, SampleCallback
    from anexa.training.checkpoint import (
        CHECKPOINT_PATH,
        Evaluation,
        TrainerState,
        read_train_config,
    )
    from anexa.training.config import TrainConfig
    from anexa.training.distributed import (
        DistributedContext,
        destroy_distributed,
        init_distributed,
        peer_errors,
    )
    from anexa.training.resume import build_or_restart, resume_trainer
    from anexa.training.trainer import Callback, StepResult, Trainer

__all__ = [
    "CHECKPOINT_PATH",
    "Callback",
    "DistributedContext",
    "Evaluation",
    "LossPlotCallback",
    "RunOptions",
    "SampleCallback",
    "StepResult",
    "TrainConfig",
    "Trainer",
    "TrainerState",
    "build_from_corpus",
    "build_or_restart",
    "build_trainer",
    "default_folder",
    "destroy_distributed",
    "init_distributed",
    "peer_errors",
    "read_train_config",
    "resume_trainer",
]

# Modules that define the public names, in the order in which they are searched.
MODULES = ("config", "checkpoint", "distributed", "trainer", "callbacks", "build", "resume")


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `anexa --help` needs only the configuration."""
    if name in __all__:
        for module in MODULES:
            found = import_module(f"{__name__}.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

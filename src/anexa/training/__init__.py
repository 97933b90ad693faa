"""The training loop, its schedule, and checkpoints from which a run goes on exactly."""

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

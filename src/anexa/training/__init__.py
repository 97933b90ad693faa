"""The training loop, its schedule, and checkpoints from which a run goes on exactly."""

from anexa.training.checkpoint import STATE, Evaluation, History, is_of_launch, read_settings
from anexa.training.run import Around, Run, Step
from anexa.training.settings import Settings
from anexa.training.world import World, join, leave

__all__ = [
    "STATE",
    "Around",
    "Evaluation",
    "History",
    "Run",
    "Settings",
    "Step",
    "World",
    "is_of_launch",
    "join",
    "leave",
    "read_settings",
]

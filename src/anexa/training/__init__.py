"""The training loop, its schedule, and checkpoints from which a run goes on exactly."""

from anexa.training.checkpoint import STATE, Evaluation, History
from anexa.training.run import Run, Step
from anexa.training.settings import Settings
from anexa.training.world import World, join, leave

__all__ = ["STATE", "Evaluation", "History", "Run", "Settings", "Step", "World", "join", "leave"]

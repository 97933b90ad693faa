"""The training loop, its schedule, and checkpoints from which a run goes on exactly."""

from anexa.training.checkpoint import Evaluation, History
from anexa.training.run import Run, Step
from anexa.training.settings import Settings

__all__ = ["Evaluation", "History", "Run", "Settings", "Step"]

"""Progress of a run by steps or by minutes, and the learning rate schedule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anexa.training.checkpoint import TrainerState

# Assumed fraction of a run in minutes that a step makes up, as long as no progress is measured.
FIRST_STEP_PROGRESS = 0.001
WSD_DECAY_START = 0.6  # progress at which the decay of "wsd" begins, unless the warmup is longer


def learning_rate(
    peak_learning_rate: float,
    progress: float,
    warmup: float,
    schedule: str = "linear",
    step_fraction: float = 0.0,
) -> float:
    """Return the learning rate of a step: linear warmup, then a decay to 0 at the end of the run.

    Args:
        peak_learning_rate: peak learning rate, at the end of the warmup.
        progress: fraction of the run that is done, before the step.
        warmup: fraction of the run in which the learning rate rises.
        schedule: shape of the decay, as `TrainConfig` has validated it: "linear"; "cosine", half a
            wave (Loshchilov and Hutter, 2017); or "wsd", warmup, stable, decay (Hu et al., 2024):
            constant, then linear.
        step_fraction: fraction of the run that one step makes up; default: 0. The warmup is
            computed at the end of the step: at its beginning, the first step would have the rate 0.
    """
    if progress < warmup:
        return peak_learning_rate * min(1.0, (progress + step_fraction) / warmup)
    if schedule == "wsd":
        begin = max(warmup, WSD_DECAY_START)
        return peak_learning_rate * min(1.0, (1 - progress) / (1 - begin))
    if schedule == "cosine":
        return peak_learning_rate * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return peak_learning_rate * (1 - progress) / (1 - warmup)


class Clock:
    """Clock of a run: measures its progress, as a fraction of the planned steps or minutes.

    Args:
        steps: planned number of steps; None for a run that is measured in minutes.
        minutes: planned time; None for a run that is measured in steps.
        seconds: time used before the run was resumed.
        final_eval_seconds: time reserved for the last evaluation, within the planned minutes.
        compile_seconds: the attribute's value when the run was stopped; 0 for a new run.
        compiles: whether the first step compiles the model, which does not count as progress of a
            run in minutes.
        timer: function that returns the time in seconds, from any origin.

    Attributes:
        steps: planned number of steps; None for a run that is measured in minutes.
        busy: seconds spent in steps since this clock was created.
        final_eval_seconds: time reserved for the last evaluation; updated by each evaluation.
        compile_seconds: time from the creation of the clock to the end of its first step, if that
            step compiles the model; summed over the resumed parts of the run.
    """

    def __init__(
        self,
        steps: int | None,
        minutes: float | None,
        seconds: float = 0.0,
        final_eval_seconds: float = 0.0,
        compile_seconds: float = 0.0,
        compiles: bool = False,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.steps, self._timer = steps, timer
        self._budget = minutes * 60 if minutes is not None else None
        self._made = self._last_step = timer()
        self._began = self._made - seconds
        self._step_seconds, self._count = 0.0, 0  # since this clock was created
        self._compiles = compiles
        self.busy = 0.0
        self.final_eval_seconds, self.compile_seconds = final_eval_seconds, compile_seconds

    @classmethod
    def from_state(
        cls,
        state: TrainerState,
        steps: int | None,
        minutes: float | None,
        compiles: bool,
        timer: Callable[[], float],
    ) -> Clock:
        """Create the clock of a new or resumed run, with the times that `copy_to` has stored.

        Args:
            state: state of the run.
            steps: planned number of steps; None for a run that is measured in minutes.
            minutes: planned time; None for a run that is measured in steps.
            compiles: whether the first step compiles the model.
            timer: function that returns the time in seconds, from any origin.
        """
        return cls(
            steps,
            minutes,
            state.seconds,
            state.final_eval_seconds,
            state.compile_seconds,
            compiles,
            timer,
        )

    def copy_to(self, state: TrainerState) -> None:
        """Copy the times of the clock to the state of the run, for the checkpoint."""
        state.seconds, state.compile_seconds = self.seconds, self.compile_seconds
        state.final_eval_seconds = self.final_eval_seconds

    @property
    def seconds(self) -> float:
        """Time of the run so far, in seconds: since the clock was created, and before a resume.

        It includes evaluations and all pauses.
        """
        return self._timer() - self._began

    def end_step(self) -> None:
        """Add the time since the last step or pause to `busy` and to the average time of a step.

        If the first step compiles the model, `compile_seconds` grows by the time up to its end.
        """
        now = self._timer()
        step_seconds = now - self._last_step
        self._last_step = now
        self.busy += step_seconds
        self._count += 1
        if self._count == 1 and self._compiles:
            self.compile_seconds += now - self._made
        # A moving average, as steps vary; without the first step, which is slower.
        weight = 0.1 if self._count > 2 else 1.0
        self._step_seconds += weight * (step_seconds - self._step_seconds)

    def exclude_pause(self) -> None:
        """Exclude the time since the last step from the time of the next step."""
        self._last_step = self._timer()

    def progress(self, step: int) -> float:
        """Return the fraction of the run that is done; 1 after the last step.

        In a run in minutes, it is the fraction of the time until now, without `compile_seconds` and
        `final_eval_seconds`. It is 1 as soon as a further step would end further from the planned
        end than the run does now, but never before the first step.

        Args:
            step: number of completed steps.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self._budget is not None
        end = self._budget - self.final_eval_seconds
        left = end - self.seconds
        known = self._count > 1 or not self._compiles
        next_step = self._step_seconds if known else 0.0
        if step and left < next_step / 2:
            return 1.0
        return min(1.0, max(0.0, 1 - left / max(end - self.compile_seconds, 1e-9)))

    def step_fraction(self, step: int, progress: float) -> float:
        """Return the fraction of the run that one step makes up; in minutes, the mean so far.

        Args:
            step: number of completed steps.
            progress: fraction of the run that is done after them.
        """
        if self.steps is not None:
            return 1 / self.steps
        return progress / step if step and progress else FIRST_STEP_PROGRESS

    def is_due(self, count: int, step: int, before: float, after: float) -> bool:
        """Return whether one of `count` events, evenly spread over the run, is due after a step.

        Args:
            count: number of events over the run; the last one is due at its end.
            step: number of the step, from 1.
            before: progress before the step.
            after: progress after the step.
        """
        if self.steps is not None:  # in integers, so that no event is lost by rounding
            return step * count // self.steps > (step - 1) * count // self.steps
        return int(after * count) > int(before * count)

    def seconds_left(self, step: int) -> float:
        """Estimate the time to the end of the run, in seconds.

        For a run in steps, of the evaluations only the final one is counted.

        Args:
            step: number of completed steps.
        """
        if self._budget is not None:
            return max(0.0, self._budget - self.seconds)
        assert self.steps is not None
        return (self.steps - step) * self._step_seconds + self.final_eval_seconds

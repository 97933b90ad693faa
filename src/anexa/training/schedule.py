"""How far a run is, and the learning rate that belongs there."""

from __future__ import annotations

import math
import time

SCHEDULES = ("linear", "cosine", "wsd")
FIRST = 0.001  # the share of a run that its first step is taken for, if only the clock ends it
STABLE = 0.6  # the share of a "wsd" run before which its rate does not fall


def learning_rate(
    highest: float, progress: float, warmup: float, schedule: str = "linear", step: float = 0.0
) -> float:
    """In a line up during the share `warmup` of a run, then down to 0 at its end.

    Args:
        highest: the rate at the end of the warm-up.
        progress: the share of the run that is done.
        warmup: the share in which the rate rises.
        schedule: how it falls: "linear"; "cosine", half a wave (Loshchilov and Hutter, 2017); or
            "wsd", warm-up, stable, decay (Hu et al., 2024): flat, then in a line.
        step: the share of the run that the step is. In the warm-up it has the rate that belongs to
            its end, or the first step would be one at rate 0.
    """
    if progress < warmup:
        return highest * min(1.0, (progress + step) / warmup)
    if schedule == "wsd":
        begin = max(warmup, STABLE)
        return highest * min(1.0, (1 - progress) / (1 - begin))
    if schedule == "cosine":
        return highest * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return highest * (1 - progress) / (1 - warmup)


class Clock:
    """How far a run is: the share of its steps, or of its minutes, that is behind it.

    Args:
        steps: the planned number of steps, or None.
        minutes: the planned time, or None.
        seconds: the time that was used before, if the run goes on after a stop.
        reserve: the seconds that the end of the run will need, within its minutes.
        lost: the seconds of those before that were no progress.
        compiles: whether the first step is that of a compiler: then the minutes' progress is
            measured over the time that remains after it.

    Attributes:
        busy: the seconds that went into steps, since this clock was made.
        reserve: as above; may be set.
        lost: as above, with those since this clock was made.
    """

    def __init__(
        self,
        steps: int | None,
        minutes: float | None,
        seconds: float = 0.0,
        final_eval_seconds: float = 0.0,
        compile_seconds: float = 0.0,
        compiles: bool = False,
    ) -> None:
        self._steps = steps
        self._budget = minutes * 60 if minutes is not None else None
        self._made = self._last_step = time.perf_counter()
        self._began = self._made - seconds
        self._step_seconds, self._count = 0.0, 0  # of the steps since this clock was made
        self._compiles = compiles
        self.busy = 0.0
        self.final_eval_seconds, self.compile_seconds = final_eval_seconds, compile_seconds

    @property
    def seconds(self) -> float:
        """Time used, that before a stop included."""
        return time.perf_counter() - self._began

    def end_step(self) -> None:
        """Tell that a step has been done."""
        now = time.perf_counter()
        step_seconds = now - self._last_step
        self._last_step = now
        self.busy += step_seconds
        self._count += 1
        if self._count == 1 and self._compiles:
            self.compile_seconds += now - self._made
        # A moving average: one slow step says little about the next; the first one nothing.
        weight = 0.1 if self._count > 2 else 1.0
        self._step_seconds += weight * (step_seconds - self._step_seconds)

    def exclude_pause(self) -> None:
        """Tell that the time since the last step was spent on something else."""
        self._last_step = time.perf_counter()

    def progress(self, step: int) -> float:
        """The share of the run that `step` steps are, from 0 to 1; 1 when there is no next step."""
        if self._steps is not None:
            return min(1.0, step / self._steps)
        assert self._budget is not None
        end = self._budget - self.final_eval_seconds
        left = end - self.seconds
        known = self._count > 1 or not self._compiles
        next_step = self._step_seconds if known else 0.0
        if step and left < next_step / 2:  # the next step would end further away than now
            return 1.0
        return min(1.0, max(0.0, 1 - left / max(end - self.compile_seconds, 1e-9)))

    def step_fraction(self, step: int, progress: float) -> float:
        """The share of the run that one step is, when `step` of them have made this progress."""
        if self._steps is not None:
            return 1 / self._steps
        return progress / step if step and progress else FIRST

    def crossed(self, marks: int, step: int, before: float, after: float) -> bool:
        """Whether a step went past one of so many marks along the run.

        Args:
            marks: their number; the last is the end.
            step: the step, counted from 1.
            before: the progress before it.
            after: the progress after it.
        """
        if self._steps is not None:  # whole numbers: no mark is lost to rounding
            return step * marks // self._steps > (step - 1) * marks // self._steps
        return int(after * marks) > int(before * marks)

    def seconds_left(self, step: int) -> float:
        """An estimate of the time to the end."""
        if self._budget is not None:
            return max(0.0, self._budget - self.seconds)
        assert self._steps is not None
        return (self._steps - step) * self._step_seconds + self.final_eval_seconds

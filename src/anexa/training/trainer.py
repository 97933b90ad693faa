"""The training loop, for all engines, in one process or several.

A step takes its sequences from the dataset and its learning rate from the schedule, lets the engine
compute gradients and update the weights, asks the clock for the progress of the run, in steps or in
minutes, and evaluates when an evaluation is due. Everything else is a callback: metrics, history,
checkpoint, sample, plot, display.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anexa.data.batches import Dataset
from anexa.engines import DeviceConfig, Engine
from anexa.errors import AnexaError, OutOfMemoryError
from anexa.files import remove_leftovers
from anexa.model.adapters import merge_adapters, with_lora_rank
from anexa.model.model import Model
from anexa.model.weights import Weights
from anexa.training.checkpoint import (
    CHECKPOINT_PATH,
    BaseModel,
    Checkpoint,
    Evaluation,
    TrainerState,
    check_checkpoint_unchanged,
)
from anexa.training.checks import hash_tokenizer
from anexa.training.config import TrainConfig
from anexa.training.corpus import Corpus
from anexa.training.distributed import DistributedContext
from anexa.training.evaluation import (
    MAX_EVALUATION_SEQUENCES,
    mean_loss,
    mean_losses,
    num_tokens,
    to_batch,
)
from anexa.training.freeze import run_optimizer_config
from anexa.training.general import GeneralText
from anexa.training.lock import TrainingLock
from anexa.training.metrics import MetricsLog
from anexa.training.schedule import Clock, learning_rate

MAX_METRICS_RECORDS = 500  # metrics records of a run, besides one for each evaluation


@dataclass
class StepResult:
    """Result of one training step, for callbacks.

    Attributes:
        step: number of the step, from 1.
        loss: loss of the batch before the step, in nats per token.
        gradient_norm: global gradient norm, before clipping.
        learning_rate: learning rate of the step.
        progress: fraction of the run that is done, from 0 to 1.
        tokens_per_second: mean speed of the run so far, including evaluations.
        seconds_left: estimated time to the end of the run.
        is_record_due: whether a metrics record is due after this step.
        evaluation: losses that were measured after this step; None if there was no evaluation.
        sample: text that `SampleCallback` generated after this step; "" if it could not; None if it
            did not try.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    progress: float
    tokens_per_second: float
    seconds_left: float
    is_record_due: bool
    evaluation: Evaluation | None
    sample: str | None = None


class Callback:
    """Observer of a training run; base class, whose methods do nothing.

    The callbacks of a run are called in order, in every process of the run. An error that a
    callback raises ends the run.
    """

    def on_start(self, trainer: Trainer) -> None:
        """Prepare for the run, before its first step."""

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """React to a finished training step."""

    def on_end(self, trainer: Trainer) -> None:
        """React to the end of the run: all steps are done, or it was stopped, without an error."""

    def close(self) -> None:
        """Release resources, also after an error; the last callback is closed first."""


class Trainer:
    """A training run. Iterating over it, or `fit`, executes the remaining training steps.

    Use `build_trainer` or `resume_trainer` to make one. All arguments are attributes, too.

    Args:
        config: resolved configuration of the run.
        folder: model folder of the run.
        corpus: corpus of the run.
        model: configuration, initial weights and tokenizer of the model.
        engine: engine with the current weights.
        device_config: device of the engine.
        training: training dataset.
        validation: validation dataset.
        base: model that the run started from; None: the run started from random weights.
        general: text on which forgetting is measured; None: none.
        notes: sentences for the user about parts of the corpus that are left out or replaced.
        state: progress and losses of the run so far.
        clock: clock of the run.
        context: rank, world size and device of this process.
        callbacks: callbacks of every execution of the run; `fit` takes additional ones.

    Attributes:
        model_config: configuration of the model.
        tokenizer: tokenizer of the model.
        resumed: whether the run was resumed from a checkpoint.
        lengthened: whether the run was finished, and then resumed with a greater length.
        metrics: metrics log; None unless the run is being executed with `MetricsCallback`.
        stopping: whether the run ends after the current step; set it to True to stop a run, which
            can be resumed.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        folder: Path,
        corpus: Corpus,
        model: Model,
        engine: Engine,
        device_config: DeviceConfig,
        training: Dataset,
        validation: Dataset,
        base: BaseModel | None = None,
        general: GeneralText | None = None,
        notes: tuple[str, ...],
        state: TrainerState,
        clock: Clock,
        context: DistributedContext,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.config, self.folder, self.corpus = config, folder, corpus
        self.model, self.model_config, self.tokenizer = model, model.config, model.tokenizer
        self.engine, self.device_config = engine, device_config
        self.training, self.validation, self.notes = training, validation, notes
        self.base, self.general = base, general
        self.state, self.clock, self.context = state, clock, context
        self.callbacks = callbacks
        self.metrics: MetricsLog | None = None
        self.resumed = self.lengthened = self.stopping = self._executed = False

    @property
    def done(self) -> bool:
        """Whether the run has reached its planned length, so that no step is left."""
        return self.state.progress >= 1

    @property
    def step_seconds(self) -> float:
        """Seconds per step; before the first step, estimated from the time of an evaluation."""
        if self.state.step:
            return self.clock.seconds / self.state.step
        datasets = [self.validation, *([self.general.dataset] if self.general else [])]
        evaluated = [x for data in datasets for x in data.eval_sequences(MAX_EVALUATION_SEQUENCES)]
        trained = self.training.batch(self.state.step, self.config.run.batch_size)
        forward = self.clock.final_eval_seconds / num_tokens(evaluated)  # of one token
        return 3 * forward * num_tokens(trained)  # backward takes twice as long as forward

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return learning_rate(
            self.config.optimizer.learning_rate,
            self.state.progress,
            self.config.schedule.warmup,
            self.config.schedule.shape,
            self.clock.step_fraction(self.state.step, self.state.progress),
        )

    def fit(self, callbacks: Sequence[Callback] = ()) -> None:
        """Execute the remaining training steps.

        Args:
            callbacks: callbacks in addition to the run's own, called after them.

        Raises:
            AnexaError: if the loss or the gradient becomes infinite or NaN, a file cannot be
                written, the memory is too small (`OutOfMemoryError`), or another process trains in
                the same folder.
        """
        for _ in self._execute([*self.callbacks, *callbacks]):
            pass

    def __iter__(self) -> Iterator[StepResult]:
        """Execute the remaining steps one by one, as `fit` does, and yield their results.

        If the iteration is abandoned, the callbacks are closed, but `on_end` is not called.
        """
        return self._execute(self.callbacks)

    def _execute(self, callbacks: Sequence[Callback]) -> Iterator[StepResult]:
        with ExitStack() as stack:
            stack.enter_context(_checkpoint_in_memory_errors())
            if self.context.is_main_process:
                stack.enter_context(TrainingLock(self.folder))
                if self.resumed and not self._executed:
                    check_checkpoint_unchanged(self.folder, self.state.step)
                for folder in (self.folder, (self.folder / CHECKPOINT_PATH).parent):
                    remove_leftovers(folder)
            self._executed = True
            for callback in callbacks:
                stack.callback(callback.close)
                callback.on_start(self)
            self.clock.exclude_pause()
            # All processes stop at the same step; a signal may reach them at different times.
            while not (self.done or self.context.broadcast(self.stopping)[0]):
                result = self._step()
                for callback in callbacks:
                    callback.on_step(self, result)
                yield result
                self.clock.exclude_pause()
            for callback in callbacks:
                callback.on_end(self)

    def _step(self) -> StepResult:
        config, clock, state = self.config, self.clock, self.state
        sequences = self.training.batch(state.step, config.run.batch_size)
        batch = to_batch(sequences)
        rate = self.learning_rate
        loss, gradient_norm = self.engine.train_step(batch, rate)
        clock.end_step()
        state.step += 1
        self.check_finite(loss)
        self.check_finite(gradient_norm, "gradient norm")
        state.add_loss(loss, batch.num_targets)
        # The progress is measured once a step, so all decisions of a step agree on it. It never
        # decreases, although a slow evaluation reserves more time for the final evaluation.
        before = state.progress
        state.progress = max(before, self.context.broadcast(clock.progress(state.step))[0])
        evaluation = None
        if clock.is_due(config.schedule.evaluations, state.step, before, state.progress):
            evaluation = self.evaluate()
            self.check_finite(evaluation.validation_loss)  # before a good checkpoint is replaced
            target = config.schedule.until_loss
            if target and evaluation.validation_loss <= target:
                state.progress = 1.0
        return StepResult(
            step=state.step,
            loss=loss,
            gradient_norm=gradient_norm,
            learning_rate=rate,
            progress=state.progress,
            tokens_per_second=state.tokens / clock.seconds,
            seconds_left=clock.seconds_left(state.step),
            is_record_due=evaluation is not None
            or clock.is_due(MAX_METRICS_RECORDS, state.step, before, state.progress),
            evaluation=evaluation,
        )

    def evaluate(self) -> Evaluation:
        """Measure the losses, add them to the state of the run, and return them.

        All processes must call this method. It also updates `clock.final_eval_seconds`.

        Raises:
            MemoryError: if the memory is too small, as in `Engine.loss`.
        """
        began = self.clock.seconds
        batch_size = self.config.run.batch_size
        loss, by_corpus = mean_losses(self.engine, self.validation, batch_size)
        general = None
        if self.general is not None:
            general = mean_loss(self.engine, self.general.dataset, batch_size)
            [general] = self.context.broadcast(general)
        [loss] = self.context.broadcast(loss)
        evaluation = self.state.add_evaluation(began, loss, general, by_corpus)
        # Time to reserve for the final evaluation and, as 20 % of it, the checkpoint.
        self.clock.final_eval_seconds = 1.2 * (self.clock.seconds - began)
        return evaluation

    def check_finite(self, value: float, name: str = "loss") -> None:
        """Check that a loss or gradient norm is finite.

        Args:
            value: number to check.
            name: name of the number, for the error message; default: "loss".

        Raises:
            AnexaError: if the value is infinite or NaN.
        """
        if not math.isfinite(value):
            raise AnexaError(
                f"the {name} is {value:g} at step {self.state.step}: try again with a "
                f"--learning-rate below {self.config.optimizer.learning_rate:g} (the weights in "
                f"{self.folder} are those of the last checkpoint)"
            )

    def merged(self, weights: Weights) -> Model:
        """Return the model as its folder has it: with the adapters merged into the weights.

        Args:
            weights: weights of the engine by name.
        """
        config = self.model.config
        return replace(
            self.model, config=with_lora_rank(config, 0), weights=merge_adapters(weights, config)
        )

    def checkpoint(self) -> Checkpoint:
        """Return the state of the run as a checkpoint, after adding the times of the clock to it.

        The state is not copied. All processes must call this method, as each may have a part of the
        weights.
        """
        self.clock.copy_to(self.state)
        weights = self.engine.weights()
        optimizer = run_optimizer_config(self.config, self.model_config)
        return Checkpoint(
            self.config,
            self.corpus.sha256,
            hash_tokenizer(self.tokenizer),
            self.context.launch,
            self.state,
            weights,
            self.engine.optimizer_state(),
            self.base,
            frozenset(weights).difference(optimizer.trainable(self.model_config)),
        )


@contextmanager
def _checkpoint_in_memory_errors() -> Iterator[None]:
    """Context manager that adds to an `OutOfMemoryError` that the run can be resumed.

    Every run has a checkpoint: the first one is written before its first step.
    """
    try:
        yield
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{error}; the last checkpoint is complete") from error

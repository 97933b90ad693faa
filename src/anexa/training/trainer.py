"""The training loop, for every engine, in one process or in several."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anexa.data import Progress, corpus_source
from anexa.engines import open_engine, select_device
from anexa.engines.peak import measure_peak_flops
from anexa.errors import AnexaError
from anexa.files import atomic_folder, remove_leftovers, write_atomic
from anexa.model.folder import CARD, write_model, write_weights
from anexa.model.loading import load_model
from anexa.model.model import Model, validate_weights
from anexa.model.weights import initial_weights
from anexa.training.card import model_card
from anexa.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    Evaluation,
    TrainerState,
    read_checkpoint,
    write_checkpoint,
)
from anexa.training.checks import (
    check_moments,
    check_possible,
    check_same_tokenizer,
    fingerprint,
)
from anexa.training.config import TrainConfig
from anexa.training.corpus import Corpus, check_tokenizer, check_unchanged, open_corpus
from anexa.training.distributed import DistributedContext
from anexa.training.evaluation import EVALUATION_ROWS, as_batch, mean_loss
from anexa.training.lock import Lock
from anexa.training.loss_plot import LossPicture
from anexa.training.metrics import Metrics
from anexa.training.records import MetricsAccumulator
from anexa.training.schedule import Clock, learning_rate

RECORDS = 500  # at most so many in a run, and one at each evaluation


@dataclass(frozen=True)
class StepResult:
    """What a step of a run has to show.

    Attributes:
        number: counted from 1.
        loss: of the batch, before the step, in nats a token.
        progress: the share of the run that is done, from 0 to 1.
        tokens_per_second: over all steps so far.
        seconds_left: an estimate.
        evaluation: if there was one after this step.
    """

    number: int
    loss: float
    progress: float
    tokens_per_second: float
    seconds_left: float
    evaluation: Evaluation | None


@dataclass(frozen=True)
class RunOptions:
    """What is around a run, and changes no number in it.

    Attributes:
        world: the processes that do it.
        tensorboard: whether events for TensorBoard are written.
        pictures: whether `training/loss.png` is drawn, if matplotlib is installed.
        download: is told how far a download of the corpus is.
        encoding: is told how much of it has been turned into tokens, in bytes.
    """

    world: DistributedContext = field(default_factory=DistributedContext)
    tensorboard: bool = False
    pictures: bool = False
    download: Progress | None = None
    encoding: Progress | None = None


class Trainer:
    """A training: iterate over it to have it done.

    Attributes:
        settings: what it was asked to do, and what was found to be best where it was not.
        folder: the model folder that it writes.
        world: the processes that do it.
        config: of the model.
        tokenizer: of the model.
        prompt: what samples begin with.
        engine: with the weights as they are now.
        history: what has happened so far.
        steps: how many are planned, or None if the clock ends the run.
        resumed: whether it goes on after a stop.
        stopping: set it to end the run after the step in progress, saved and ready to go on.
    """

    def __init__(
        self,
        settings: TrainConfig,
        folder: Path,
        corpus: Corpus,
        state: Checkpoint | None,
        around: RunOptions,
    ) -> None:
        world = around.world
        self.folder, self.world, self._around = folder, world, around
        self.corpus, self._corpus_sha256 = corpus.name, corpus.sha256
        self.prompt = corpus.prompt
        self._source = corpus_source(settings.data.corpus)
        self.stopping, self.resumed = False, state is not None
        if state:
            model = load_model(folder)
            self.config, self.tokenizer = model.config, model.tokenizer
            weights = validate_weights(state.weights, self.config, folder / CHECKPOINT)
            check_same_tokenizer(state, self.tokenizer, folder)
        else:
            self.tokenizer = corpus.tokenizer(settings.data.tokenizer)
            self.config = settings.model.to_config(self.tokenizer.vocab_size)
            weights = initial_weights(self.config, random.Random(settings.run.seed))
        asked = settings.device
        machine = select_device(
            asked.engine,
            self.config,
            world.device or asked.device,
            asked.dtype,
            asked.compile,
        )
        machine = replace(machine, micro_batch=asked.micro_batch, sharded=asked.shard)
        # As found here: the run goes on in the same precision wherever it goes on.
        settings = settings.replace(dtype=machine.dtype, compile=machine.compiled)
        self.settings = settings
        if (
            not world.is_main_process
        ):  # the main process writes what the others then find in the cache
            world.barrier()
        self._training, self._validation = corpus.rows(
            self.tokenizer, self.config.block_size, settings.run.seed, around.encoding
        )
        if world.is_main_process:
            world.barrier()
        self.steps = settings.schedule.steps
        if settings.schedule.epochs is not None:
            rows = settings.schedule.epochs * self._training.per_epoch
            self.steps = math.ceil(rows / settings.run.batch_size)
        self.history = history = state.history if state else TrainerState()
        self._clock = Clock(
            self.steps,
            settings.schedule.minutes,
            history.seconds,
            history.final_eval_seconds,
            history.compile_seconds,
            machine.compiled,
        )
        self.machine = machine
        self.engine = open_engine(
            asked.engine,
            self.config,
            weights,
            device_config=machine,
            optimizer=settings.optimizer,
            seed=settings.run.seed,
        )
        peak = measure_peak_flops(asked.engine, machine)
        self._records = MetricsAccumulator(self.config, history, self._clock, peak, world.size)
        if state is None:
            self._evaluate()
            state = self._state()
            if world.is_main_process:
                with atomic_folder(folder) as aside:
                    (aside / CHECKPOINT).parent.mkdir()
                    write_checkpoint(aside, state)
                    model = Model(
                        self.config,
                        weights,
                        self.tokenizer,
                        corpus.chat_template,
                        corpus.temperature,
                        corpus.max_new_tokens,
                    )
                    write_model(aside, model, self._card())
            world.barrier()
        elif history.step:  # before the first step there are no moments
            check_moments(state, settings.optimizer.state_shapes(self.config), folder)
            self.engine.resume(state.moments, history.step)

    @classmethod
    def start(
        cls, settings: TrainConfig, folder: Path, around: RunOptions = RunOptions()
    ) -> Trainer:
        """A new run, its folder made.

        Args:
            settings: what to do.
            folder: where to write; must not exist.
            around: see there.

        Raises:
            AnexaError: the corpus or the folder cannot be used.
        """
        if folder.exists():
            again = f", or go on with its run with --resume {folder}"
            raise AnexaError(
                f"{folder} exists already: choose another folder with --out"
                f"{again if (folder / CHECKPOINT).exists() else ''}"
            )
        check_possible(settings, around.world, around.tensorboard)
        check_tokenizer(settings.data.tokenizer)
        corpus = open_corpus(settings.data.corpus, settings.data.layout, around.download)
        return cls(settings, folder, corpus, None, around)

    @classmethod
    def resume(
        cls,
        folder: Path,
        given: Mapping[str, Any] | None = None,
        around: RunOptions = RunOptions(),
    ) -> Trainer:
        """A run as it was at its last checkpoint.

        Args:
            folder: the model folder.
            given: settings asked for again: they must be those of the run, but for `FREE`.
            around: see there.

        Raises:
            AnexaError: there is none, it is finished, or its corpus has changed.
            UsageError: a setting that has another value in the run.
        """
        state = read_checkpoint(folder)
        asked = dict(given or {})
        if corpus_source(str(asked.get("corpus"))) == state.corpus:
            del asked["corpus"]
        settings = state.settings.for_resume(asked)
        if state.history.progress >= 1:
            raise AnexaError(f"the training in {folder} is finished: there is nothing left to do")
        check_possible(settings, around.world, around.tensorboard)
        corpus = open_corpus(state.corpus, settings.data.layout, around.download)
        check_unchanged(corpus, state.corpus_sha256)
        return cls(settings, folder, corpus, state, around)

    @property
    def step_seconds(self) -> float:
        """The time of a step: before the first one, as the evaluation lets it be expected."""
        history = self.history
        if history.step:
            return history.seconds / history.step
        backward = 2  # times as long as forward
        return (
            (1 + backward)
            * self.settings.run.batch_size
            * history.final_eval_seconds
            / EVALUATION_ROWS
        )

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.history.progress >= 1

    def __iter__(self) -> Iterator[StepResult]:
        """Do the steps that are left."""
        if not self.world.is_main_process:
            yield from self._do_steps()
            return
        with Lock(self.folder):
            for place in (self.folder, (self.folder / CHECKPOINT).parent):
                remove_leftovers(place)
            self.metrics = Metrics(
                self.folder, self.history.step, tensorboard=self._around.tensorboard
            )
            with closing(self.metrics):
                if not self._around.pictures:
                    yield from self._do_steps()
                    return
                picture = LossPicture(self.folder)
                for step in self._do_steps():
                    yield step
                    if step.evaluation:  # by now, whoever is told of it may have noted a sample
                        picture.update()
                picture.update(last=True)

    def _do_steps(self) -> Iterator[StepResult]:
        self._clock.exclude_pause()
        # All processes leave together; a signal may come to each of them at another time.
        while not (self.done or self.world.broadcast(self.stopping)[0]):
            yield self._do_step()
            self._clock.exclude_pause()
        if not self.done:
            # The last step has changed the weights: what they are now has no loss yet.
            row = as_batch(self._validation, self._validation.sample(1))
            self._check(self.engine.loss(row))
            self._save(better=self.history.best is None)

    def _do_step(self) -> StepResult:
        settings, clock, history = self.settings, self._clock, self.history
        schedule = settings.schedule
        batch = as_batch(
            self._training, self._training.batch(history.step, settings.run.batch_size)
        )
        rate = learning_rate(
            settings.optimizer.learning_rate,
            history.progress,
            schedule.warmup,
            schedule.shape,
            clock.step_fraction(history.step, history.progress),
        )
        loss, gradient_norm = self.engine.train_step(batch, rate)
        clock.end_step()
        history.step += 1
        self._check(loss)
        self._check(gradient_norm, "gradient")
        history.tokens += batch.num_targets
        history.losses.append(loss)
        history.unrecorded.append(loss)
        # Asked once a step, so that the last step is known as such; and never back, though an
        # evaluation that took long makes more of the time the end's.
        before = history.progress
        history.progress = max(before, self.world.broadcast(clock.progress(history.step))[0])
        evaluation = None
        if clock.crossed(schedule.evaluations, history.step, before, history.progress):
            evaluation = self._evaluate()
            self._check(evaluation.validation_loss)  # before it replaces a good checkpoint
            if schedule.until_loss and evaluation.validation_loss <= schedule.until_loss:
                history.progress = 1.0
        if evaluation or clock.crossed(RECORDS, history.step, before, history.progress):
            record = self._records.next(rate, gradient_norm, evaluation)
            if self.world.is_main_process:
                self.metrics.add(record)
        if evaluation:  # after the record: a run that goes on takes back what is too much
            self._save(better=evaluation is history.best)
        return StepResult(
            number=history.step,
            loss=loss,
            progress=history.progress,
            tokens_per_second=history.tokens / clock.seconds,
            seconds_left=clock.seconds_left(history.step),
            evaluation=evaluation,
        )

    def _save(self, better: bool) -> None:
        """Write a checkpoint; and the model as it is now, if it is better than the one there.

        The model goes first: whoever is killed between the two repeats the steps before it.

        Raises:
            AnexaError: they cannot be written; the old ones stay.
        """
        self.history.seconds, self.history.compile_seconds = (
            self._clock.seconds,
            self._clock.compile_seconds,
        )
        state = self._state()
        if not self.world.is_main_process:
            return
        if better:
            write_weights(self.folder, state.weights)
        write_atomic(self.folder / CARD, self._card().encode())
        write_checkpoint(self.folder, state)

    def _state(self) -> Checkpoint:
        return Checkpoint(
            self.settings,
            self._source,
            self._corpus_sha256,
            fingerprint(self.tokenizer),
            self.world.launch,
            self.history,
            self.engine.weights(),
            self.engine.optimizer_state(),
        )

    def _evaluate(self) -> Evaluation:
        """Measure the losses."""
        began = self._clock.seconds
        losses = self.history.losses
        loss = mean_loss(self.engine, self._validation, self.settings.run.batch_size)
        evaluation = Evaluation(
            step=self.history.step,
            seconds=began,
            train_loss=sum(losses) / len(losses) if losses else None,
            validation_loss=self.world.broadcast(loss)[0],
        )
        self.history.evaluations.append(evaluation)
        self.history.losses = []
        # The run ends with one more evaluation, and with a checkpoint, which takes less.
        self._clock.final_eval_seconds = self.history.final_eval_seconds = 1.2 * (
            self._clock.seconds - began
        )
        return evaluation

    def _check(self, number: float, name: str = "loss") -> None:
        if not math.isfinite(number):
            raise AnexaError(
                f"the {name} is no number any more at step {self.history.step}: try again with "
                f"a --learning-rate below {self.settings.optimizer.learning_rate:g} (the weights "
                f"in {self.folder} are those of the last checkpoint)"
            )

    def _card(self) -> str:
        sha256 = self._corpus_sha256
        return model_card(self.config, self.settings, self.corpus, sha256, self.history)

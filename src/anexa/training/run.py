"""The training loop, for every engine."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anexa.data import Documents, Progress, corpus_source, read_corpus
from anexa.data.batches import Rows
from anexa.engines import Adam, Batch, Engine, open_engine
from anexa.errors import AnexaError
from anexa.model.files import remove_parts, write_atomic
from anexa.model.folder import (
    Model,
    check_weights,
    load_model,
    new_folder,
    write_model,
    write_weights,
)
from anexa.model.weights import Weights, initial_weights
from anexa.training.card import model_card
from anexa.training.checkpoint import STATE, Evaluation, History, State, read_state, write_state
from anexa.training.corpus import check_unchanged, prepare, tokenizer_for
from anexa.training.schedule import Clock, learning_rate
from anexa.training.settings import Settings

EVALUATIONS = 10  # in a run; each is also a checkpoint
EVALUATION_ROWS = 128


@dataclass(frozen=True)
class Step:
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


class Run:
    """A training: iterate over it to have it done.

    Attributes:
        settings: what it was asked to do.
        folder: the model folder that it writes.
        engine: with the weights as they are now.
        tokenizer: of the model.
        history: what has happened so far.
        resumed: whether it goes on after a stop.
        stopping: set it to end the run after the step in progress, saved and ready to go on.
    """

    def __init__(
        self, settings: Settings, folder: Path, documents: Documents, state: State | None
    ) -> None:
        self.history = history = state.history if state else History()
        self._clock = Clock(settings.steps, settings.minutes, history.seconds, history.reserve)
        self.settings = settings
        self.folder = folder
        self.corpus = documents.name
        self.stopping = False
        self.resumed = state is not None
        self._source = corpus_source(settings.corpus)
        self._corpus_sha256 = documents.sha256
        if state:
            model = load_model(folder)
            self.config, self.tokenizer, weights = model.config, model.tokenizer, state.weights
            check_weights(weights, self.config, folder / STATE)
        else:
            self.tokenizer = tokenizer_for("char", documents)
            self.config = settings.model.config(self.tokenizer.vocab_size)
            weights = initial_weights(self.config, random.Random(settings.seed))
        data = prepare(documents, self.tokenizer, self.config.block_size, settings.seed)
        self._training, self._validation = data.training, data.validation
        self.engine = self._open_engine(weights)
        if state is None:
            self._evaluate()
            with new_folder(folder) as aside:
                (aside / STATE).parent.mkdir()
                self._write_state(aside)
                write_model(aside, Model(self.config, weights, self.tokenizer), self._card())
        elif state.history.step:  # before the first step there are no moments
            self.engine.resume(state.moments, state.history.step)

    @classmethod
    def start(cls, settings: Settings, folder: Path, progress: Progress | None = None) -> Run:
        """A new run, its folder made.

        Args:
            settings: what to do.
            folder: where to write; must not exist.
            progress: is told how far a download of the corpus is.

        Raises:
            AnexaError: the corpus or the folder cannot be used.
        """
        if folder.exists():
            again = f", or go on with its run with --resume {folder}"
            raise AnexaError(
                f"{folder} exists already: choose another folder with --out"
                f"{again if (folder / STATE).exists() else ''}"
            )
        return cls(
            settings, folder, read_corpus(settings.corpus, settings.layout, progress=progress), None
        )

    @classmethod
    def resume(cls, folder: Path, progress: Progress | None = None) -> Run:
        """A run as it was at its last checkpoint.

        Raises:
            AnexaError: there is none, it is finished, or its corpus has changed.
        """
        state = read_state(folder)
        for place in (folder, (folder / STATE).parent):
            remove_parts(place)
        settings = state.settings
        documents = read_corpus(state.corpus, settings.layout, progress=progress)
        check_unchanged(documents, state.corpus_sha256)
        run = cls(settings, folder, documents, state)
        if run.done:
            run._write_model()  # a kill after the last checkpoint may have left an older one
            raise AnexaError(f"the training in {folder} is finished: there is nothing left to do")
        return run

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.history.progress >= 1

    def __iter__(self) -> Iterator[Step]:
        """Do the steps that are left."""
        clock, history, preset = self._clock, self.history, self.settings.model
        clock.paused()
        while not (self.done or self.stopping):
            rows = self._training.batch(history.step, self.settings.batch_size)
            batch = Batch.from_rows(rows)
            rate = learning_rate(self.settings.learning_rate, history.progress, preset.warmup)
            loss = self.engine.train_step(batch, rate)
            clock.stepped()
            history.step += 1
            self._check(loss)
            history.tokens += batch.count
            history.losses.append(loss)
            # Asked once a step, so that the last step is known as such; and never back, though an
            # evaluation that took long makes more of the time the end's.
            before = history.progress
            history.progress = max(before, clock.progress(history.step))
            evaluation = None
            if int(history.progress * EVALUATIONS) > int(before * EVALUATIONS):
                evaluation = self._evaluate()
                self._check(evaluation.validation_loss)  # before it replaces a good checkpoint
                self.save()
            yield Step(
                number=history.step,
                loss=loss,
                progress=history.progress,
                tokens_per_second=history.tokens / clock.seconds,
                seconds_left=clock.seconds_left(history.step),
                evaluation=evaluation,
            )
            clock.paused()
        if not self.done:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, and the model as it is now.

        Raises:
            AnexaError: they cannot be written; the old ones stay.
        """
        self._write_state(self.folder)
        self._write_model()

    def _write_state(self, folder: Path) -> None:
        self.history.seconds = self._clock.seconds
        corpus = (self._source, self._corpus_sha256)
        write_state(folder, self.settings, corpus, self.history, self.engine)

    def _write_model(self) -> None:
        write_weights(self.folder, self.engine.weights())
        write_atomic(self.folder / "README.md", self._card().encode())

    def _evaluate(self) -> Evaluation:
        """Measure the losses."""
        began = self._clock.seconds
        losses = self.history.losses
        evaluation = Evaluation(
            step=self.history.step,
            seconds=began,
            train_loss=sum(losses) / len(losses) if losses else None,
            validation_loss=mean_loss(self.engine, self._validation, self.settings.batch_size),
        )
        self.history.evaluations.append(evaluation)
        self.history.losses = []
        # The run ends with one more evaluation, and with a checkpoint, which takes less.
        self._clock.reserve = self.history.reserve = 1.2 * (self._clock.seconds - began)
        return evaluation

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise AnexaError(
                f"the loss is no number any more at step {self.history.step}: try again with "
                f"a --learning-rate below {self.settings.learning_rate:g} (the weights in "
                f"{self.folder} are those of the last checkpoint)"
            )

    def _open_engine(self, weights: Weights) -> Engine:
        beta1, beta2 = self.settings.model.betas
        adam = Adam(beta1, beta2)
        return open_engine(self.settings.engine, self.config, weights, adam=adam)

    def _card(self) -> str:
        return model_card(self.config, self.settings, self.corpus, self.history)


def mean_loss(engine: Engine, rows: Rows, batch_size: int) -> float:
    """The loss in nats a token over rows that are spread evenly over a text."""
    sample = rows.sample(EVALUATION_ROWS)
    total, count = 0.0, 0
    for start in range(0, len(sample), batch_size):
        batch = Batch.from_rows(sample[start : start + batch_size])
        total += engine.loss(batch) * batch.count
        count += batch.count
    return total / count

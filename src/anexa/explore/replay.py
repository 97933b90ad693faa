"""Replay of the steps of a run: weights and moments after any step, equal to the last bit.

A step is repeated from the nearest key frame before it. The hash in its record proves that the
repeated step gives the same weights as the original one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

from anexa.data.batches import LabeledSequence
from anexa.engines import Batch, Engine, select_device
from anexa.errors import AnexaError, one_line, short_repr
from anexa.explore.rule import Array, Index
from anexa.explore.updates import WeightUpdate
from anexa.model.architectures import get_architecture
from anexa.model.folder import ModelFolder
from anexa.model.model import validate_weights
from anexa.model.weights import Weight, Weights, hash_weights
from anexa.training.build import open_run_engine
from anexa.training.checkpoint import read_checkpoint
from anexa.training.checks import check_same_tokenizer
from anexa.training.evaluation import to_batch
from anexa.training.freeze import run_optimizer_config
from anexa.training.history import (
    HISTORY_FOLDER,
    KeyFrame,
    StepRecord,
    frame_path,
    frame_steps,
    read_frame,
    read_history,
)
from anexa.training.opening import reopen_corpus

REPLAY_CACHE_BYTES = 256_000_000  # default limit on the repeated steps that are kept in memory
# Number of steps from one that is kept to the next: a copy of a small model takes a fifth of a
# step's time.
CACHE_INTERVAL_STEPS = 8

Result = TypeVar("Result")
# A job: yields its progress, from 0 to 1, and returns its result as the generator's return value.
# Its errors are raised while it is iterated over; closing the generator cancels the job.
JobGenerator = Generator[float, None, Result]


@dataclass(frozen=True)
class LifePoint:
    """One element of a weight after a step of a run.

    Attributes:
        step: number of completed steps.
        value: the element after the step.
        gradient: dL/d(element) that the step used, before clipping; None for `Replay.first_step`,
            and in a run with dropout.
        m: optimizer's mean of the gradients after the step; None after 0 steps.
        v: optimizer's mean of the squared gradients after the step; None after 0 steps, and if Muon
            updates the weight.
    """

    step: int
    value: float
    gradient: float | None
    m: float | None
    v: float | None


class Replay:
    """Replay of a training run: repeats its steps by the engine of the run, to the last bit.

    Several threads may share an instance.

    Args:
        folder: model folder with a history; nothing is written to it.
        cache_bytes: maximum size of the repeated steps that are kept in memory, in bytes.

    Attributes:
        folder: path of the model folder.
        config: configuration of the run.
        model_config: configuration of the model.
        optimizer: optimizer of the run, with its frozen weights.
        tokenizer: tokenizer of the model.
        records: records of all steps, in order: losses, learning rates and hashes of the weights.
        first_step: first step whose state can be computed: that of the first key frame.
        last_step: last step whose state can be computed.
        incremental: whether the engine updates means as m + (1−β) (g − m), or as β m + (1−β) g; see
            `WeightUpdate.tensors`.
        dtype: precision of the weights and moments, "float32" or "float64".

    Raises:
        AnexaError: if the folder has no training or no history, a file is damaged, or the corpus
            is gone or has changed.
    """

    def __init__(self, folder: Path, cache_bytes: int = REPLAY_CACHE_BYTES) -> None:
        self.folder = folder
        self.records, self.first_step = read_history(folder)
        self.last_step = self.records[-1].step if self.records else self.first_step
        checkpoint, model = read_checkpoint(folder), ModelFolder(folder)
        self.config, self.model_config = checkpoint.config, model.config
        self.tokenizer = model.tokenizer
        self.optimizer = run_optimizer_config(self.config, self.model_config)
        check_same_tokenizer(checkpoint, self.tokenizer, folder)
        engine = self.config.device.engine
        self.incremental = engine in ("numpy", "numba", "torch")
        self._device_config = select_device(engine, self.model_config, self.config.device)
        self.dtype = "float64" if self._device_config.dtype == "float64" else "float32"
        corpus = reopen_corpus(self.config.data, None, checkpoint.corpus_sha256, folder)
        if checkpoint.base is not None:
            corpus = corpus.for_model(self.tokenizer, model.chat_template)
        self._training, _ = corpus.make_datasets(
            self.tokenizer, self.config.model.block_size, self.config.run.seed
        )
        self._cache: OrderedDict[int, KeyFrame] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0  # bytes in the cache
        self._lock = Lock()  # of the cache and of the dataset, which remembers its last epoch

    def record(self, step: int) -> StepRecord:
        """Return the record of a step: loss, learning rate, and hash of the weights after it.

        Raises:
            AnexaError: if there is no such step in the history.
        """
        self._check(step, self.first_step + 1)
        return self.records[step - self.records[0].step]

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step, from 1.

        Raises:
            AnexaError: if the step is below 1 or the run has not reached it.
        """
        return to_batch(self._sequences(step))

    def documents(self, step: int) -> list[str]:
        """Return the texts of the sequences of a step, without special tokens.

        Raises:
            AnexaError: if the step is below 1 or the run has not reached it.
        """
        return [self.tokenizer.decode(sequence.ids) for sequence in self._sequences(step)]

    def state(self, step: int) -> JobGenerator[KeyFrame]:
        """Compute the weights and moments after a step; after step 0, the initial weights.

        Some of the steps repeated on the way are kept in memory, up to `cache_bytes`.

        Raises:
            AnexaError: if there is no such step in the history, a key frame is damaged, or this
                machine computes other weights than the run.
        """
        frame = self._nearest(step)
        if frame.step == step:
            return frame
        engine, start = self.open_engine(frame), frame.step
        for number in range(start + 1, step + 1):
            self.advance(engine, number)
            if number == step or number % CACHE_INTERVAL_STEPS == 0:
                frame = self._remember(number, engine)
            yield (number - start) / (step - start)
        return frame

    def engine(self, step: int) -> JobGenerator[Engine]:
        """Open a new engine with the weights and moments after a step.

        Raises:
            AnexaError: if there is no such step, or the repeated steps are not those of the run.
        """
        return self.open_engine((yield from self.state(step)))

    def open_engine(self, frame: KeyFrame) -> Engine:
        """Open a new engine, configured as in the run, with any weights and moments.

        Args:
            frame: weights and moments; no moments before the first step.

        Raises:
            AnexaError: if the library of the run's engine is not installed.
            MemoryError: if the memory is too small.
        """
        engine = open_run_engine(self.config, self.model_config, frame.weights, self._device_config)
        if frame.moments:
            engine.load_optimizer_state(frame.moments, frame.step)
        return engine

    def advance(self, engine: Engine, step: int) -> None:
        """Take a step of the run with its batch and learning rate, and verify the weights after it.

        Args:
            engine: engine with the weights and moments before the step; its state is updated.
            step: number of the step.

        Raises:
            AnexaError: if there is no such step in the history, or the weights after it are not
                those of the run.
        """
        record = self.record(step)
        engine.train_step(self.batch(step), record.learning_rate)
        if hash_weights(engine.weights()) != record.weights_hash:
            raise AnexaError(
                f"step {step} of the run in {self.folder} cannot be repeated: from this step on, "
                "this machine or this version of a package computes other bits than the run did"
            )

    def gradients(self, step: int) -> JobGenerator[Weights]:
        """Compute the gradients of a step after `first_step`, before clipping.

        Raises:
            AnexaError: if the run has dropout, there is no such step, or the repeated steps are not
                those of the run.
        """
        engine = yield from self._engine_before(step)
        return engine.gradients(self.batch(step))[1]

    def update(self, step: int, name: str) -> JobGenerator[WeightUpdate]:
        """Compute the update of one weight by a step: its state before the step, and the gradient.

        Pass its methods `incremental=replay.incremental`. With AdamW and the engines scalar, lists,
        numpy and numba they give the weight after the step to the last bit. With PyTorch, which
        fuses a multiplication and an addition, and with Muon, the last bits may differ.

        Raises:
            AnexaError: if there is no such weight or step, the run has dropout, or the repeated
                steps are not those of the run.
        """
        self._check_name(name)
        engine = yield from self._engine_before(step)
        record, moments = self.record(step), engine.optimizer_state()
        m, v = (moments.get(f"{moment}.{name}") for moment in "mv")
        return WeightUpdate(
            name,
            self.optimizer,
            step,
            record.learning_rate,
            record.gradient_norm,
            as_array(engine.weights()[name]),
            as_array(engine.gradients(self.batch(step))[1][name]),
            None if m is None else as_array(m),
            None if v is None else as_array(v),
        )

    def life(self, name: str, index: Index, first: int, last: int) -> JobGenerator[list[LifePoint]]:
        """Compute the value, gradient and moments of one element of a weight after several steps.

        Args:
            name: name of the weight.
            index: index of the element.
            first: first step, at least `first_step`.
            last: last step.

        Returns:
            A point for each step from `first` to `last`, as the return value of the job.

        Raises:
            AnexaError: if there is no such weight, element or step, or the repeated steps are not
                those of the run.
        """
        self._check_name(name)
        self._check(first)
        self._check(last, first)
        frame = yield from scale_progress(self.state(max(first - 1, self.first_step)), 0.1)
        _check_index(name, frame.weights[name].shape, index)
        points = [] if frame.step < first else [_life_point(frame, name, index, None)]
        engine, start = self.open_engine(frame), frame.step
        for step in range(start + 1, last + 1):
            gradient = None
            if not self.config.optimizer.dropout:
                gradients = engine.gradients(self.batch(step))[1]
                gradient = float(as_array(gradients[name])[index])
            self.advance(engine, step)
            frame = self._remember(step, engine)
            points.append(_life_point(frame, name, index, gradient))
            yield 1 - 0.9 * (last - step) / (last - start)
        return points

    def _engine_before(self, step: int) -> JobGenerator[Engine]:
        """Return an engine that can compute the gradients that a step used."""
        self._check(step, self.first_step + 1)
        if self.config.optimizer.dropout:
            raise AnexaError(
                f"the gradients of step {step} cannot be shown: the run has dropout, which "
                "dropped some activations from them"
            )
        return (yield from self.engine(step - 1))

    def _sequences(self, step: int) -> list[LabeledSequence]:
        self._check(step, 1)
        with self._lock:
            return self._training.batch(step - 1, self.config.run.batch_size)

    def _check(self, step: int, lowest: int | None = None) -> None:
        lowest = self.first_step if lowest is None else lowest
        if not lowest <= step <= self.last_step:
            raise AnexaError(
                f"there is no step {step} to show: the history in {self.folder} has the steps "
                f"{lowest} to {self.last_step}"
            )

    def _check_name(self, name: str) -> None:
        if name in self.optimizer.trainable(self.model_config):
            return
        if name in get_architecture(self.model_config).parameters(self.model_config):
            raise AnexaError(
                f"{name} is frozen in the run in {self.folder}: it has no gradient, and its value "
                "is that before the first step"
            )
        raise AnexaError(f"the model in {self.folder} has no weight {one_line(name)}")

    def _nearest(self, step: int) -> KeyFrame:
        """Return the latest state, at most at a step, that is in the cache or on the disk."""
        self._check(step)
        on_disk = max((n for n in frame_steps(self.folder) if n <= step), default=-1)
        with self._lock:
            cached = max((number for number in self._cache if number <= step), default=-1)
            if cached >= max(on_disk, 0):
                self._cache.move_to_end(cached)
                return self._cache[cached]
        if on_disk < self.first_step:
            raise AnexaError(
                f"the key frames up to step {step} in {self.folder / HISTORY_FOLDER} are gone: "
                "restore them, and open the folder again"
            )
        frame = read_frame(self.folder, on_disk)
        path = frame_path(self.folder, on_disk)
        weights = validate_weights(frame.weights, self.model_config, path)
        shapes = self.optimizer.state_shapes(self.model_config) if on_disk else {}
        proven = on_disk <= self.first_step or (
            self.record(on_disk).weights_hash == hash_weights(weights)
        )
        if not proven or {key: m.shape for key, m in frame.moments.items()} != shapes:
            raise AnexaError(f"the key frame {path} is damaged: it does not fit the run")
        frame = KeyFrame(on_disk, weights, frame.moments)
        self._add_to_cache(frame)
        return frame

    def _remember(self, step: int, engine: Engine) -> KeyFrame:
        frame = KeyFrame(step, engine.weights(), engine.optimizer_state())
        self._add_to_cache(frame)
        return frame

    def _add_to_cache(self, frame: KeyFrame) -> None:
        with self._lock:
            if frame.step not in self._cache:
                self._cached += frame.size
            self._cache[frame.step] = frame
            self._cache.move_to_end(frame.step)
            while self._cached > self._cache_bytes:
                self._cached -= self._cache.popitem(last=False)[1].size


def as_array(weight: Weight) -> Array:
    """View a weight as an array of its shape and precision, without a copy."""
    return np.asarray(weight.data).reshape(weight.shape)


def scale_progress(job: JobGenerator[Result], fraction: float) -> JobGenerator[Result]:
    """Run a job as the first part of a longer job: scale its progress to 0 … `fraction`.

    Returns:
        The result of the job.
    """
    try:
        while True:
            yield fraction * next(job)
    except StopIteration as end:
        result: Result = end.value
        return result


def _check_index(name: str, shape: tuple[int, ...], index: Index) -> None:
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape)):
        element = short_repr(list(index))
        sizes = " x ".join(map(str, shape))
        raise AnexaError(f"{one_line(name)} has no element {element}: its shape is {sizes}")


def _life_point(frame: KeyFrame, name: str, index: Index, gradient: float | None) -> LifePoint:
    def number(tensors: Weights, key: str) -> float | None:
        return float(as_array(tensors[key])[index]) if key in tensors else None

    value = float(as_array(frame.weights[name])[index])
    m, v = (number(frame.moments, f"{moment}.{name}") for moment in "mv")
    return LifePoint(frame.step, value, gradient, m, v)

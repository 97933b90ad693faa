"""Session of the glass box: the open model folders, and a cache of what was computed last."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from anexa.engines import Batch, open_engine
from anexa.engines.batch import IGNORE_INDEX
from anexa.errors import AnexaError, OutOfMemoryError, UsageError
from anexa.explore.replay import Replay
from anexa.explore.rule import Array
from anexa.explore.scene import Scene, chat_batch, text_batch
from anexa.explore.switches import apply_edits, parse_edit
from anexa.explore.trace import Trace, trace_batch
from anexa.generation import LanguageModel
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.loading import load_model, model_name
from anexa.model.weights import Weights

# Limit on the kept traces, in bytes; one of 512 tokens of the bundled model has 200 MB.
TRACE_CACHE_BYTES = 300_000_000
# `OpenFolder.no_steps_reason` of the bundled model.
NO_BUNDLED_STEPS = "the steps of the bundled model were not kept: train a model to see its steps"
MAX_WAIT_SECONDS = 0.5  # that a request waits for the replay of steps

Value = TypeVar("Value")
Result = TypeVar("Result")


class ReplayNeeded(AnexaError):
    """Raised when repeating a step takes longer than a request should wait.

    The steps repeated so far are kept, so that the next attempt continues from them.
    """


class LRUCache(Generic[Value]):
    """Cache of the most recently used values, limited in bytes.

    Args:
        max_bytes: maximum size of all values together; the latest value is kept at any size.
        size: function that returns the size of a value in bytes, called once per value.
    """

    def __init__(self, max_bytes: int, size: Callable[[Value], int]) -> None:
        self._max_bytes, self._size = max_bytes, size
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()  # with their sizes

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computing it if it is not in the cache.

        Values that do not fit any longer are dropped, the least recently used first.
        """
        if key not in self._values:
            value = compute()
            self._values[key] = value, self._size(value)
        self._values.move_to_end(key)
        while (
            len(self._values) > 1
            and sum(size for _, size in self._values.values()) > self._max_bytes
        ):
            self._values.popitem(last=False)
        return self._values[key][0]


class OpenFolder:
    """An open model folder, and the steps of its training run if they can be repeated.

    Args:
        path: model folder, or JSON or GGUF file; None means the bundled model.

    Attributes:
        path: path of the folder or file.
        name: name of the model.
        model: configuration, weights and tokenizer.
        config: architecture and sizes of the model.
        tokenizer: tokenizer of the model.
        replay: replay of the run; None if the steps cannot be repeated.
        no_steps_reason: a sentence that says why the steps cannot be repeated; empty if they can.

    Raises:
        AnexaError: if the folder contains no model.
        MemoryError: if the memory is too small.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = BUNDLED_FOLDER if path is None else path
        self.name = "anexa" if path is None else model_name(path)
        self.model = load_model(self.path)
        self.config, self.tokenizer = self.model.config, self.model.tokenizer
        self.replay: Replay | None = None
        self.no_steps_reason = ""
        try:
            self.replay = Replay(self.path)
        except OutOfMemoryError:
            raise
        except AnexaError as error:
            self.no_steps_reason = NO_BUNDLED_STEPS if path is None else str(error)

    def require_replay(self) -> Replay:
        """Return `replay`, the replay of the folder's training run.

        Raises:
            AnexaError: if the steps of the run cannot be repeated.
        """
        if self.replay is None:
            raise AnexaError(self.no_steps_reason)
        return self.replay

    def weights(self, step: int | None) -> Weights:
        """Return the weights after a step of the run.

        Args:
            step: number of completed steps; None means the weights in the folder.

        Raises:
            AnexaError: if the run has no such step, or its steps cannot be repeated.
            ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
        """
        if step is None:
            return self.model.weights
        return run_with_timeout(self.require_replay().state(step)).weights

    def language_model(self, weights: Weights) -> LanguageModel:
        """Create a model that generates text with these weights, with a new engine `numpy`."""
        return LanguageModel(self.name, self.model, open_engine("numpy", self.config, weights))

    def batch(self, scene: Scene, weights: Weights) -> Batch:
        """Create the batch that is the input of a scene.

        Args:
            scene: scene with this folder.
            weights: weights of the scene, with which the answer to a question is generated.

        Raises:
            AnexaError: if the model cannot read the text, the scene has a training batch but no
                step, or the run has no such batch.
        """
        if scene.kind == "batch":
            if scene.step is None:
                raise UsageError("a training batch belongs to a step: choose one on the loss curve")
            return self.require_replay().batch(scene.step + 1)
        if scene.kind == "chat":
            return chat_batch(self.language_model(weights), scene.text)
        return text_batch(self.tokenizer, scene.text, self.config.block_size)


class Session:
    """The open model folders, with a cache of the latest computations.

    Args:
        paths: model folders; None stands for the bundled model.
        scratch: existing folder for models that are trained on the page.

    Attributes:
        folders: open folders; the index of a folder is its id.
        lock: lock to hold during computations: sessions are not safe for concurrent use by threads.
        closing: event that is set when the server shuts down, and ends all jobs.

    Raises:
        AnexaError: if a folder contains no model.
    """

    def __init__(self, paths: Sequence[Path | None], scratch: Path) -> None:
        self.folders = [OpenFolder(path) for path in paths]
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._scratch = scratch
        self._numbers = itertools.count(1)  # of the models that are trained on the page
        self._traces: LRUCache[Trace] = LRUCache(TRACE_CACHE_BYTES, trace_bytes)

    @property
    def idle(self) -> bool:
        """Whether the server may shut down without waiting, as in `StoppableWorker`: always.

        Running jobs are canceled, not waited for.
        """
        return True

    def shut_down(self) -> None:
        """Ask all jobs to end after what they are computing, as the server shuts down."""
        self.closing.set()

    def new_path(self) -> Path:
        """Return a new path for a model folder in `scratch`; nothing is created yet."""
        return self._scratch / f"names-{next(self._numbers)}"

    def open(self, path: Path) -> int:
        """Open another folder, and return its id.

        Raises:
            AnexaError: if the folder contains no model.
        """
        self.folders.append(OpenFolder(path))
        return len(self.folders) - 1

    def folder(self, folder_id: int) -> OpenFolder:
        """Return the open folder with an id.

        Raises:
            UsageError: if no open folder has this id.
        """
        if not 0 <= folder_id < len(self.folders):
            raise UsageError(f"there is no folder {folder_id}: {len(self.folders)} are open")
        return self.folders[folder_id]

    def weights(self, scene: Scene) -> Weights:
        """Return the weights of a scene by name, with its switches applied.

        Raises:
            AnexaError: if there is no such folder, step or switch.
            ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
        """
        folder = self.folder(scene.folder)
        edits = [parse_edit(edit) for edit in scene.edits]
        return apply_edits(folder.config, folder.weights(scene.step), edits)

    def trace(self, scene: Scene) -> Trace:
        """Return the trace of a scene, computing it if it is not in the cache.

        Raises:
            AnexaError: if the weights or the input of the scene cannot be made: see `weights`, and
                `OpenFolder.batch`.
            ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
        """

        def compute() -> Trace:
            folder, weights = self.folder(scene.folder), self.weights(scene)
            return trace_batch(folder.config, weights, folder.batch(scene, weights))

        return self._traces.get(scene, compute)


def trace_bytes(trace: Trace) -> int:
    """Return the size of all tensors and gradients of a trace, in bytes."""
    arrays: list[Array] = [*trace.values.values(), *trace.grads.values()]
    return sum(array.nbytes for array in arrays)


def run_with_timeout(job: Generator[Any, None, Result]) -> Result:
    """Run a job and return its result; cancel it if it takes longer than `MAX_WAIT_SECONDS`.

    Args:
        job: generator that returns the result; the time is checked after each value that it yields.

    Raises:
        ReplayNeeded: if the job takes longer.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    try:
        while True:
            next(job)
            if time.monotonic() > deadline:
                job.close()
                raise ReplayNeeded("the steps up to this one have to be repeated first")
    except StopIteration as end:
        result: Result = end.value
        return result


def token_ids(batch: Batch) -> list[list[int]]:
    """Return the token ids of each sequence of a batch, without padding.

    They are the inputs up to the last position that has a target, and that target; none for a
    sequence without targets.
    """
    inputs = np.reshape(batch.inputs, batch.shape)
    targets = np.reshape(batch.targets, batch.shape)
    found = []
    for row, target in zip(inputs.tolist(), targets.tolist()):
        length = max((t + 1 for t, token in enumerate(target) if token != IGNORE_INDEX), default=0)
        found.append([*row[:length], *target[length - 1 : length]])
    return found

"""The model folders that are open in the glass box, and what was computed of them last."""

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
from anexa.engines.protocol import IGNORE_INDEX
from anexa.errors import AnexaError, UsageError
from anexa.explore.replay import Replay
from anexa.explore.rule import Array
from anexa.explore.scene import Scene, chat_batch, text_batch
from anexa.explore.switches import apply_edits, parse_edit
from anexa.explore.trace import Trace, trace_batch
from anexa.generation import LanguageModel
from anexa.generation.language_model import BUNDLED
from anexa.model.loading import load_model, model_name
from anexa.model.weights import Weights

CACHE_BYTES = 300_000_000  # of traces; one of 512 tokens of the bundled model has 200 MB
NOT_KEPT = "the steps of the bundled model were not kept: train a model to see its steps"
MAX_WAIT = 0.5  # seconds of replay that a request waits for

Value = TypeVar("Value")
Result = TypeVar("Result")


class ReplayNeeded(AnexaError):
    """Raised when a step takes longer to repeat than a request should wait.

    What was repeated so far is kept, so another attempt goes on from there.
    """


class Cache(Generic[Value]):
    """The most recently used values, up to a number of bytes.

    Args:
        max_bytes: bytes of all values together; the last one stays, however large it is.
        size: computes the bytes of a value.
    """

    def __init__(self, max_bytes: int, size: Callable[[Value], int]) -> None:
        self._max_bytes, self._size = max_bytes, size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computing it if it is not in the cache."""
        if key not in self._values:
            self._values[key] = compute()
        self._values.move_to_end(key)
        while (
            len(self._values) > 1 and sum(map(self._size, self._values.values())) > self._max_bytes
        ):
            self._values.popitem(last=False)
        return self._values[key]


class OpenFolder:
    """A model folder, and the steps of its run if it keeps them.

    Args:
        path: model folder, or JSON file; None: the bundled model.

    Attributes:
        path: the folder.
        name: its name.
        model: its model.
        replay: its run; None if it keeps no steps.
        no_steps: why it keeps no steps, as a sentence; empty if it does.

    Raises:
        AnexaError: if there is no model.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = BUNDLED if path is None else path
        self.name = "anexa" if path is None else model_name(path)
        self.model = load_model(self.path)
        self.config, self.tokenizer = self.model.config, self.model.tokenizer
        self.replay: Replay | None = None
        self.no_steps = ""
        try:
            self.replay = Replay(self.path)
        except AnexaError as error:
            self.no_steps = NOT_KEPT if path is None else str(error)

    @property
    def run(self) -> Replay:
        """The run of the folder.

        Raises:
            AnexaError: if it keeps no steps.
        """
        if self.replay is None:
            raise AnexaError(self.no_steps)
        return self.replay

    def weights(self, step: int | None) -> Weights:
        """Return the weights of a moment.

        Raises:
            AnexaError: if there is no such step.
            ReplayNeeded: if repeating it takes longer than `MAX_WAIT`.
        """
        return self.model.weights if step is None else hurry(self.run.state(step)).weights

    def language_model(self, weights: Weights) -> LanguageModel:
        """Make a model that generates text with these weights."""
        return LanguageModel(self.name, self.model, open_engine("numpy", self.config, weights))

    def batch(self, scene: Scene, weights: Weights) -> Batch:
        """Make the batch of a scene.

        Raises:
            AnexaError: if the model cannot see this text, or there is no such training batch.
        """
        if scene.kind == "batch":
            if scene.step is None:
                raise UsageError("a training batch belongs to a step: choose one on the loss curve")
            return self.run.batch(scene.step + 1)
        if scene.kind == "chat":
            return chat_batch(self.language_model(weights), scene.text)
        return text_batch(self.tokenizer, scene.text, self.config.block_size)


class Session:
    """All open folders, with a cache of traces.

    Args:
        paths: model folders; None stands for the bundled model.
        scratch: folder for models that are trained on the page.

    Attributes:
        folders: the open folders; their index is their id.
        lock: held while something is computed; the parts of a session are not safe for threads.
        closing: set when the server shuts down; jobs end then.
    """

    def __init__(self, paths: Sequence[Path | None], scratch: Path) -> None:
        self.folders = [OpenFolder(path) for path in paths]
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._scratch = scratch
        self._numbers = itertools.count(1)  # of the models that are trained on the page
        self._traces: Cache[Trace] = Cache(CACHE_BYTES, trace_bytes)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to wait for at the end: jobs are canceled."""
        return True

    def shut_down(self) -> None:
        """End the jobs."""
        self.closing.set()

    def new_path(self) -> Path:
        """Return the path of a model folder that can be written, and is removed at the end."""
        return self._scratch / f"names-{next(self._numbers)}"

    def open(self, path: Path) -> int:
        """Open another folder, and return its id.

        Raises:
            AnexaError: if there is no model.
        """
        self.folders.append(OpenFolder(path))
        return len(self.folders) - 1

    def folder(self, number: int) -> OpenFolder:
        """Return an open folder.

        Raises:
            UsageError: if there is none of this number.
        """
        if not 0 <= number < len(self.folders):
            raise UsageError(f"there is no folder {number}: {len(self.folders)} are open")
        return self.folders[number]

    def weights(self, scene: Scene) -> Weights:
        """Return the weights of a scene, edits included."""
        folder = self.folder(scene.folder)
        edits = [parse_edit(edit) for edit in scene.edits]
        return apply_edits(folder.config, folder.weights(scene.step), edits)

    def trace(self, scene: Scene) -> Trace:
        """Compute a scene, or take it from the cache."""

        def compute() -> Trace:
            folder, weights = self.folder(scene.folder), self.weights(scene)
            return trace_batch(folder.config, weights, folder.batch(scene, weights))

        return self._traces.get(scene, compute)


def trace_bytes(trace: Trace) -> int:
    """Return the bytes of all tensors and gradients of a trace."""
    arrays: list[Array] = [*trace.values.values(), *trace.grads.values()]
    return sum(array.nbytes for array in arrays)


def hurry(job: Generator[Any, None, Result]) -> Result:
    """Run a job to its end, unless it takes long.

    Raises:
        ReplayNeeded: if it takes longer than `MAX_WAIT`.
    """
    deadline = time.monotonic() + MAX_WAIT
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
    """Return the tokens of each sequence of a batch: its inputs, and last the final target."""
    inputs = np.reshape(batch.inputs, batch.shape)
    targets = np.reshape(batch.targets, batch.shape)
    found = []
    for row, target in zip(inputs.tolist(), targets.tolist()):
        length = max((t + 1 for t, token in enumerate(target) if token != IGNORE_INDEX), default=0)
        found.append([*row[:length], *target[length - 1 : length]])
    return found

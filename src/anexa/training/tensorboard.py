"""Writer of TensorBoard's event files, by tensorboardX."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError


def check_tensorboardx() -> None:
    """Check that tensorboardX is installed.

    Raises:
        AnexaError: if tensorboardX is not installed.
    """
    if not find_spec("tensorboardX"):
        raise AnexaError("TensorBoard's events need tensorboardX: pip install 'anexa[plot]'")


class EventFile:
    """A new event file, which supersedes all earlier event files of the run.

    The caller writes all earlier records of the run to it, too, so that TensorBoard shows each step
    once, and also the steps before `--tensorboard` was given. Earlier files are not removed: a
    running TensorBoard would wait forever for an open one to grow.

    Args:
        folder: folder of the event files.
        began: wall-clock time of step 0, in seconds since 1970: the time now minus the training
            time.

    Raises:
        AnexaError: if the file cannot be written, or tensorboardX is not installed. Every method
            raises it too, if the file cannot be written.
    """

    def __init__(self, folder: Path, began: float) -> None:
        check_tensorboardx()
        # Not SummaryWriter: on a full disk its thread ends, and training would wait forever.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._folder = folder
        self._summary, self._proto = summary, event_pb2
        self._began = self._now = began
        with self._errors():
            # TensorBoard reads files in the order of their names, which only have whole seconds.
            later = f".{time.time_ns()}"
            self._writer = event_file_writer.EventsWriter(str(folder / "events"), later)
        # This makes TensorBoard discard all steps that it has read from earlier files.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(0, session_log=start)

    def scalars(self, values: Mapping[str, float | None], step: int, seconds: float) -> None:
        """Write the finite values of a step, and set the time of the texts that follow.

        Args:
            values: values by name; None is left out.
            step: number of completed steps.
            seconds: training time so far, of which the events get their wall-clock time.
        """
        self._now = self._began + seconds
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self._write(step, summary=self._summary.scalar(name, value))

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text, indented so that Markdown shows it verbatim."""
        literal = textwrap.indent(text, "    ", lambda _line: True)
        self._write(step, summary=self._summary.text(name, literal))

    def flush(self) -> None:
        """Flush the file, so that TensorBoard sees the events."""
        with self._errors():
            self._writer.flush()

    def close(self) -> None:
        """Write all events to the file, and close it."""
        with self._errors():
            self._writer.close()

    def _write(self, step: int, **what: Any) -> None:
        with self._errors():
            self._writer.write_event(self._proto.Event(wall_time=self._now, step=step, **what))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AnexaError(
                f"cannot write TensorBoard's events in {self._folder}: {error.strerror}"
            ) from error

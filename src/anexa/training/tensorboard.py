"""The events that TensorBoard draws."""

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


def check_installed() -> None:
    """Make sure that the library that writes events is there.

    Raises:
        AnexaError: it is not.
    """
    if not find_spec("tensorboardX"):
        raise AnexaError("TensorBoard's events need tensorboardX: pip install 'anexa[plot]'")


class Events:
    """A file of events, which takes the place of those that are there before it.

    Whoever makes it writes into it all that the run has recorded. So TensorBoard shows each step
    once, and those before `--tensorboard` was asked for too. The old files stay: a TensorBoard that
    reads one of them would wait for more of it for ever.

    Args:
        folder: where it is to be.
        began: the time, in seconds of the epoch, at which the run would have begun, had it never
            stopped.

    Raises:
        AnexaError: it cannot be written, or tensorboardX is not installed.
    """

    def __init__(self, folder: Path, began: float) -> None:
        check_installed()
        # Not SummaryWriter, whose thread dies of a full disk and leaves the training waiting.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._folder = folder
        self._summary, self._proto = summary, event_pb2
        self._began = self._now = began
        with self._errors():
            # TensorBoard reads files in the order of their names, which say no more than seconds.
            later = f".{time.time_ns()}"
            self._writer = event_file_writer.EventsWriter(str(folder / "events"), later)
        # At this, TensorBoard forgets what it has read of steps from 0 on.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(0, session_log=start)

    def scalars(self, values: Mapping[str, float | None], step: int, seconds: float) -> None:
        """Write the numbers that are there, after so many steps and seconds of the run."""
        self._now = self._began + seconds
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self._write(step, summary=self._summary.scalar(name, value))

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text, to be shown as it is: indented, Markdown leaves it alone."""
        literal = textwrap.indent(text, "    ", lambda _line: True)
        self._write(step, summary=self._summary.text(name, literal))

    def flush(self) -> None:
        """Let TensorBoard see what was written."""
        with self._errors():
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
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

"""This process: the signals that end it, its terminal, and what it waits for."""

from __future__ import annotations

import os
import select
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from anexa.errors import AnexaWarning

NOTICE_DELAY = 3.0  # seconds after which a user is told what a program waits for


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask a process to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP.

    Windows has no SIGHUP.
    A signal that the parent process has chosen to ignore is not in the list: `nohup` ignores
    SIGHUP, and a shell SIGINT for its background jobs.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def discard_lost_output() -> None:
    """Discard further output to a terminal that is closed, or to a pipe without a reader.

    Standard output and standard error are redirected to the null device, each only if a write to it
    would fail, as it does if the file is closed. On Windows a pipe without a reader is not
    recognized.
    """
    for descriptor in (1, 2):
        if _is_lost(descriptor):
            null = os.open(os.devnull, os.O_WRONLY)
            if null != descriptor:  # equal if the descriptor was closed: the lowest one is free
                os.dup2(null, descriptor)
                os.close(null)


def _is_lost(descriptor: int) -> bool:
    """Return whether a write to an open file would fail."""
    try:
        os.write(descriptor, b"")
    except OSError:
        return True
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()  # an empty write to a pipe succeeds even if nobody reads it
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


@contextmanager
def announce_if_slow(sentence: str) -> Iterator[None]:
    """Context manager that shows a warning if its block takes more than `NOTICE_DELAY`, 3 seconds.

    Args:
        sentence: text of the `AnexaWarning`: what the program is waiting for.
    """
    timer = threading.Timer(NOTICE_DELAY, warnings.warn, (sentence, AnexaWarning))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

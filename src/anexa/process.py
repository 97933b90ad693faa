"""This process: the signals that end it, its terminal, and what it waits for."""

from __future__ import annotations

import os
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
    """Discard further output to a terminal that is closed.

    Standard output and standard error are redirected to the null device, each only if an empty
    write to it fails. On Linux an empty write to a pipe without a reader does not fail.
    """
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)


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

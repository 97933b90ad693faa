"""Lock on a model folder, so that only one process at a time trains in it.

Not the package filelock, which cannot check a lock without write access to the folder.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import BinaryIO

from anexa.errors import AnexaError

LOCK_PATH = Path("training") / "lock"  # in a model folder; the file is empty, and is never removed
MAX_ATTEMPTS = (
    10  # maximum number of attempts to acquire the lock, which `is_training` holds for a moment
)
RETRY_INTERVAL = 0.01  # time between two attempts, in seconds

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, shared: bool) -> None:  # noqa: ARG001  # there is one kind
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    # Errors of an attempt to lock a file that another process has locked.
    LOCK_ERRORS = (PermissionError,)
else:
    import fcntl

    def _lock(file: BinaryIO, shared: bool) -> None:
        # Not lockf, whose lock a process loses when it closes any other handle of the file.
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    LOCK_ERRORS = (BlockingIOError,)


class TrainingLock:
    """Lock on a model folder, held by the process that trains in it.

    Use it as a context manager, or call `acquire` and `release`. The operating system releases it
    when the process ends. On a file system without locks, several processes can acquire it.

    Args:
        folder: model folder, with the folder `training` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def acquire(self) -> None:
        """Acquire the lock, which marks the training as running; if it is held, it stays held.

        Raises:
            AnexaError: if another process or another `TrainingLock` holds it, or the file cannot be
                written.
        """
        if self._file:
            return
        path = self._folder / LOCK_PATH
        try:
            file = path.open("ab")
        except OSError as error:
            raise AnexaError(f"cannot write {path}: {error.strerror}") from error
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(RETRY_INTERVAL)
            if _free(file, shared=False):
                self._file = file
                return
        file.close()
        raise _running(self._folder)

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._file:
            self._file.close()
            self._file = None

    def __enter__(self) -> TrainingLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_training(folder: Path) -> bool:
    """Return whether a training in a model folder is running now, on this machine.

    It is False if the file of the lock cannot be opened, or the file system has no locks.
    """
    try:
        with (folder / LOCK_PATH).open("rb") as file:
            return not _free(file, shared=True)
    except OSError:  # there is no lock file, or it cannot be opened
        return False


def check_not_training(folder: Path) -> None:
    """Check that no training is running in a folder.

    It is called before the corpus is read, which may take minutes, and before the lock is acquired.

    Raises:
        AnexaError: if a training is running there.
    """
    if is_training(folder):
        raise _running(folder)


def _running(folder: Path) -> AnexaError:
    return AnexaError(
        f"the training in {folder} is already running: wait for its end, or stop it first"
    )


def _free(file: BinaryIO, shared: bool) -> bool:
    """Try to lock a file; on success the lock is held until the file is closed."""
    try:
        _lock(file, shared)
    except LOCK_ERRORS:
        return False
    except OSError:
        # The file system has no locks: train there without one.
        return True
    return True

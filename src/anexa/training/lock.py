"""Who trains a model: one process at a time."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import BinaryIO

from anexa.errors import AnexaError

LOCK = Path("training") / "lock"
TRIES = 10  # `is_running` holds the lock for a moment, too short to be met twice in a row
PAUSE = 0.01  # seconds between them

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, shared: bool) -> None:  # noqa: ARG001  # there is one kind
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    HELD = (PermissionError,)
else:
    import fcntl

    def _lock(file: BinaryIO, shared: bool) -> None:
        # Not fcntl's other kind, which a process loses by closing any file that it has open there.
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    HELD = (BlockingIOError,)


class Lock:
    """Held by a running training; the system frees it however the process ends.

    Use it as a context, or call `acquire` and `release`.

    Args:
        folder: the model folder; has the folder `training`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AnexaError: another training has it, or it cannot be written.
        """
        path = self._folder / LOCK
        try:
            file = path.open("ab")
        except OSError as error:
            raise AnexaError(f"cannot write {path}: {error.strerror}") from error
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE)
            if _free(file, shared=False):
                self._file = file
                return
        file.close()
        raise AnexaError(
            f"the training in {self._folder} is running already: wait for its end, or stop it first"
        )

    def release(self) -> None:
        """Give it back, if it is held."""
        if self._file:
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_running(folder: Path) -> bool:
    """Whether a training of a model is running now, on this machine."""
    try:
        with (folder / LOCK).open("rb") as file:
            return not _free(file, shared=True)
    except OSError:  # there is none, or it is not ours to open
        return False


def _free(file: BinaryIO, shared: bool) -> bool:
    """Whether nobody else holds the lock; if so it is held now, until the file is closed."""
    try:
        _lock(file, shared)
    except HELD:
        return False
    except OSError:
        # There are file systems without locks: train there all the same.
        return True
    return True

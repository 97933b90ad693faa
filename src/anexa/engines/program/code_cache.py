"""The cache of machine code: a file for each kernel, with a checksum."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from anexa.cache import cache_folder
from anexa.files import remove_leftovers, write_atomic

MAX_FILES = 512  # maximum number of files in the cache, of some 10 kB each
MIN_FREE_BYTES = 1_000_000  # bytes that must be free: more than the files of a model take
LEFTOVER_AGE = 3600.0  # seconds after which a temporary file belongs to a process that was killed


def path(key: str) -> Path:
    """Return the path of the machine code with a cache key; the file need not exist.

    Args:
        key: hash that `Unit.key` has computed.
    """
    return cache_folder() / "programs" / f"{key}.code"


def read(path: Path) -> bytes | None:
    """Read machine code from the cache, and set the file's modification time to now: its last use.

    Args:
        path: path of the file.

    Returns:
        The code; None if there is no such file, or it cannot be read, is damaged, or belongs to
        another key.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None  # it is compiled anew
    checksum, code = content[:32], content[32:]
    if checksum != _checksum(path, code):
        return None
    with suppress(OSError):  # the folder may be read-only
        os.utime(path)
    return code


def write(path: Path, code: bytes) -> None:
    """Write machine code to the cache, and remove the least recently used files over `MAX_FILES`.

    It also removes temporary files that are older than `LEFTOVER_AGE`.

    Args:
        path: path of the file, in a folder that exists.
        code: content of an object file.

    Raises:
        AnexaError: if the file cannot be written.
    """
    write_atomic(path, _checksum(path, code) + code)
    remove_leftovers(path.parent, LEFTOVER_AGE)
    used = {}
    for file in path.parent.glob("*.code"):
        with suppress(OSError):  # another process has removed it
            used[file] = file.stat().st_mtime
    for file in sorted(used, key=used.__getitem__)[:-MAX_FILES]:
        with suppress(OSError):  # another process reads it, or has removed it
            file.unlink()


def check_writable(folder: Path) -> None:
    """Create a folder if it is missing, and check that `MIN_FREE_BYTES` are free.

    The check writes a temporary file of this size.

    Raises:
        OSError: if the folder or the file cannot be written, as on a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(MIN_FREE_BYTES))


def _checksum(path: Path, code: bytes) -> bytes:
    """Hash machine code together with its key, so that a file that was renamed is not used."""
    return sha256(path.stem.encode() + b"\0" + code).digest()

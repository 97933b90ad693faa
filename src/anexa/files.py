"""Reading files with clear errors, and writing files and folders whole or not at all.

A writer writes beside the target, flushes to the disk, and renames. So a reader sees the old
content or the new one, and a crash leaves the old one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from anexa.errors import AnexaError, short_repr

TEMPORARY_PREFIX = ".anexa-"  # of the names of files and folders that are being written

_UMASK = os.umask(0)  # reading the umask means setting it
os.umask(_UMASK)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file, or leave the old one.

    Raises:
        AnexaError: if it cannot be written; no temporary file is left behind.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which is then renamed to `path`.

    Raises:
        AnexaError: if it cannot be written; no temporary file is left behind.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX)
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "rb+") as file:
            yield temporary
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except OSError as error:
        # An error of NumPy has no strerror, only the number of elements that were not written.
        reason = error.strerror or "there is not enough space"
        raise AnexaError(f"cannot write {path}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a temporary folder in `parent`, which is removed at the end unless it was renamed.

    Raises:
        OSError: if it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=TEMPORARY_PREFIX))
    try:
        folder.chmod(0o777 & ~_UMASK)  # mkdtemp makes folders that only their owner can enter
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to write into, which is then renamed to `path`.

    Raises:
        AnexaError: if `path` exists already, or cannot be written.
    """
    check_free(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path.parent) as temporary:
            yield temporary
            temporary.replace(path)
    except AnexaError as error:  # its message names a file in the temporary folder
        raise AnexaError(str(error).replace(str(temporary), str(path))) from error
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error


def check_free(folder: Path) -> None:
    """Refuse the path of a new folder before any work is done for it.

    Raises:
        AnexaError: if it exists already, or is inside a file.
    """
    if folder.exists():
        raise AnexaError(f"{folder} exists already: choose another folder")
    for parent in folder.parents:
        if parent.exists() and not parent.is_dir():
            raise AnexaError(f"cannot write {folder}: {parent} is a file")


def remove_leftovers(folder: Path, min_age: float = 0.0) -> None:
    """Remove the temporary files and folders of writers that were killed.

    Args:
        folder: folder that they wrote into.
        min_age: seconds since the last change; younger ones may still be written.
    """
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if min_age and path.stat().st_mtime > time.time() - min_age:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented by two spaces as in Hugging Face's files.

    Raises:
        AnexaError: if it cannot be written.
    """
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def check_inside(path: Path) -> None:
    """Refuse a link out of its folder, before the content of the file is given to others.

    The author of the link may be another person than the one who shares the folder. Links in the
    cache of the Hugging Face Hub are allowed: they lead to the blobs of their repository.

    Raises:
        AnexaError: if `path` is a link that leads out of its folder.
    """
    folder, target = (Path(os.path.realpath(p)) for p in (path.parent, path))
    snapshots, repository = folder.parent, folder.parent.parent
    cached = snapshots.name == "snapshots" and repository.name.startswith("models--")
    if target.is_relative_to(folder) or (cached and target.parent == repository / "blobs"):
        return
    raise AnexaError(
        f"{path} is a link to {target}, out of its folder: put a copy there if others may have it"
    )


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Raises:
        AnexaError: if it does not exist or cannot be read, also while it is being read.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would never end
            raise AnexaError(f"cannot read {path}: it is not a file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise AnexaError(f"there is no file {path}") from None
    except OSError as error:
        raise AnexaError(f"cannot read {path}: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        AnexaError: if it does not exist or cannot be read.
    """
    with open_binary(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Read a file as UTF-8; other bytes become U+FFFD.

    Raises:
        AnexaError: if it does not exist or cannot be read.
    """
    return read_bytes(path).decode("utf-8", errors="replace")


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file.

    Raises:
        AnexaError: if it cannot be read, is not JSON, or not an object.
    """
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise AnexaError(f"{path} is damaged: it is not JSON ({short_repr(error)})") from error
    if not isinstance(value, dict):
        raise AnexaError(f"{path} is damaged: it is not a JSON object")
    return value

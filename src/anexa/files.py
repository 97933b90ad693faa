"""Files that are there whole or not at all, and that say what is wrong with them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from anexa.errors import AnexaError, short_repr

PART = ".anexa-"  # how the name of a file begins while it is being written

_UMASK = os.umask(0)  # which can only be asked for by setting it
os.umask(_UMASK)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file beside `path`, flush it to the disk, and give it its name.

    A reader sees the old file or the new one, and a crash leaves the old one.

    Raises:
        AnexaError: it cannot be written; nothing is left behind.
    """
    with atomic_path(path) as aside:
        aside.write_bytes(data)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """The same for a writer that needs a place: what it wrote there is then given its name.

    Raises:
        AnexaError: as `write_atomic`.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART)
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error
    aside = Path(name)
    try:
        with os.fdopen(handle, "rb+") as file:
            yield aside
            os.fsync(file.fileno())
        aside.chmod(allowed(0o666))  # mkstemp makes files that only their owner can read
        aside.replace(path)
    except OSError as error:
        # NumPy says only how much of an array could not be written.
        reason = error.strerror or "not all of it fits there"
        raise AnexaError(f"cannot write {path}: {reason}") from error
    finally:
        aside.unlink(missing_ok=True)


def allowed(mode: int) -> int:
    """The permissions that this user gives to what is new."""
    return mode & ~_UMASK


def remove_leftovers(folder: Path) -> None:
    """Remove what a writer that was killed has left in a folder."""
    for part in folder.glob(f"{PART}*"):
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with two spaces of indent, as Hugging Face's files have it.

    Raises:
        AnexaError: as `write_atomic`.
    """
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def check_inside(path: Path) -> None:
    """Find out whether a file of a folder is in it, before what it says is given to others.

    A link leads anywhere, and who made it need not be who gives the folder away. Those in the cache
    of the Hugging Face Hub lead to what was downloaded with them.

    Raises:
        AnexaError: it is a link that leads out of the folder.
    """
    folder, place = (Path(os.path.realpath(one)) for one in (path.parent, path))
    snapshots, repository = folder.parent, folder.parent.parent
    cached = snapshots.name == "snapshots" and repository.name.startswith("models--")
    if place.is_relative_to(folder) or (cached and place.parent == repository / "blobs"):
        return
    raise AnexaError(
        f"{path} is a link to {place}, out of its folder: put a copy there if others may have it"
    )


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """A file, open for reading.

    Raises:
        AnexaError: it is not there, or cannot be read, also later on.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise AnexaError(f"cannot read {path}: it is no file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise AnexaError(f"{path.parent} is not a model folder: it has no {path.name}") from None
    except OSError as error:
        raise AnexaError(f"cannot read {path}: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        AnexaError: it is not there, or cannot be read.
    """
    with open_binary(path) as file:
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        AnexaError: there is none.
    """
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise AnexaError(f"{path} is damaged: it is not JSON ({short_repr(error)})") from error
    if not isinstance(value, dict):
        raise AnexaError(f"{path} is damaged: it holds no JSON object")
    return value

"""Reading of files with clear errors, and atomic writing of files and folders.

A file is written to a temporary file beside it, flushed to the disk, and renamed. So a reader sees
the old content or the new one, never a part, and a crash leaves the old one.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.output_paths import (
    TEMPORARY_PREFIX,
    check_output,
    file_descriptor,
    is_stdout,
    numbered_path,
    output_status,
)

_UMASK = os.umask(0)  # the umask can only be read by setting it
os.umask(_UMASK)


def write_atomic(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write bytes to a file atomically.

    Args:
        path: file, device, named pipe, or "-" for the standard output.
        data: content of the file.
        replace: whether an existing file may be replaced.

    Raises:
        AnexaError: if the file cannot be written, or exists and `replace` is False.
        BrokenPipeError: if the reader of the standard output has closed the pipe.
    """
    with atomic_path(path, replace=replace) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_path(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Context manager that writes a file atomically.

    The body of the `with` statement writes to a temporary file, which is renamed to `path` at the
    end; after an exception in the body, the temporary file is deleted and `path` is unchanged.

    A replaced file keeps its mode, and its other hard links keep the old content. Symbolic links
    are followed. Devices, named pipes and the standard output are written at the end, when all of
    the content is in the temporary file.

    Args:
        path: file, device, named pipe, or "-" for the standard output.
        replace: whether an existing file may be replaced.

    Yields:
        Path of the temporary file, which is empty.

    Raises:
        AnexaError: if `check_output` refuses the path, writing fails, or an `OSError` occurs in the
            body of the `with` statement.
        BrokenPipeError: if the reader of the standard output has closed the pipe.
    """
    check_output(path, replace=replace)
    status = None if is_stdout(path) else output_status(path)
    is_stream = (
        is_stdout(path)
        or file_descriptor(path) is not None
        or (status is not None and not stat.S_ISREG(status.st_mode))
    )
    target = Path(os.path.realpath(path))
    try:
        folder = None if is_stream else target.parent
        handle, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY_PREFIX)
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "rb+") as file:
            yield temporary
            os.fsync(file.fileno())
        if is_stream:
            _copy_to_stream(temporary, path)
            return
        # mkstemp makes files that only their owner can read
        temporary.chmod(stat.S_IMODE(status.st_mode) if status else 0o666 & ~_UMASK)
        check_output(path, replace=replace)  # another program may have made a file meanwhile
        temporary.replace(target)
    except OSError as error:
        if is_stdout(path) and isinstance(error, BrokenPipeError):
            raise
        # An error of NumPy has no strerror, only the number of elements that were not written.
        reason = error.strerror or "there is not enough space"
        what = "to the standard output" if is_stdout(path) else path
        raise AnexaError(f"cannot write {what}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy_to_stream(source: Path, path: Path) -> None:
    """Copy a file to the standard output, an open file, a device or a named pipe."""
    with source.open("rb") as data:
        if is_stdout(path):
            sys.stdout.flush()
            shutil.copyfileobj(data, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            number = file_descriptor(path)
            opened = os.open(path, os.O_WRONLY) if number is None else os.dup(number)
            with os.fdopen(opened, "wb") as stream:
                shutil.copyfileobj(data, stream)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Context manager that creates a temporary folder and removes it at the end unless renamed.

    Args:
        parent: folder in which the temporary folder is created.

    Yields:
        Path of the temporary folder.

    Raises:
        OSError: if the folder cannot be created.
    """
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=TEMPORARY_PREFIX))
    try:
        folder.chmod(0o777 & ~_UMASK)  # mkdtemp makes folders that only their owner can enter
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_folder(path: Path, write: Callable[[Path], None], *, numbered: bool = False) -> int:
    """Create a folder with its files atomically: either all files are written, or no folder.

    The files are written to a temporary folder, which is then renamed. If several processes create
    the same folder at once, one succeeds, and the others behave as if the folder had existed.
    Missing parent folders are created.

    Args:
        path: path of the new folder.
        write: function that writes the files; its argument is the temporary folder.
        numbered: whether to append "-2", "-3" and so on to the name if `path` exists already.

    Returns:
        Number of the new folder, as in `numbered_path`; 1 if it is `path` itself.

    Raises:
        AnexaError: if `path` exists already and `numbered` is False, or the folder cannot be
            written.
    """
    if not numbered:
        check_output(path, folder=True)
    temporary, target = None, path if numbered else Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent) as temporary:
            write(temporary)
            number = 1
            while not rename_unless_exists(temporary, numbered_path(target, number)):
                if not numbered:
                    raise AnexaError(f"{path} exists already: choose another folder")
                number += 1
            return number
    except AnexaError as error:  # its message names a file in the temporary folder
        raise AnexaError(str(error).replace(str(temporary), str(path))) from error
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error


def rename_unless_exists(folder: Path, path: Path) -> bool:
    """Rename a folder, unless the new path exists already.

    Args:
        folder: folder to rename; not empty.
        path: new path.

    Returns:
        True if the folder was renamed, False if `path` exists.

    Raises:
        OSError: if the folder cannot be renamed.
    """
    if os.path.lexists(path):  # an empty folder would be replaced
        return False
    try:
        folder.rename(path)
    except OSError:
        if not os.path.lexists(path):
            raise
        return False  # another process has just taken the name
    return True


def remove_leftovers(folder: Path, min_age: float = 0.0) -> None:
    """Remove temporary files and folders that killed processes have left in a folder.

    Args:
        folder: folder in which to look, without its subfolders.
        min_age: minimum age in seconds; a younger temporary file is kept, since it may belong to a
            running process. 0 means that all are removed.

    Raises:
        OSError: if a file cannot be removed; a folder that cannot be removed is left.
    """
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):  # its writer has just renamed it
            if min_age and path.stat().st_mtime > time.time() - min_age:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write a value to a JSON file atomically, indented by two spaces as in Hugging Face's files.

    Args:
        path: path of the file; an existing file is replaced.
        value: value that `json.dumps` accepts.

    Raises:
        AnexaError: if the file cannot be written.
    """
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def check_inside(path: Path) -> None:
    """Check that a file to be shared is not a symbolic link to a file outside its folder.

    Otherwise, a downloaded model folder with a link to a private file of the user would leak that
    file when the user publishes the folder. Links within the cache of the Hugging Face Hub, from a
    snapshot to the blobs of its repository, are allowed.

    Raises:
        AnexaError: if `path` is a link to a file outside its folder.
    """
    folder, target = (Path(os.path.realpath(p)) for p in (path.parent, path))
    snapshots, repository = folder.parent, folder.parent.parent
    cached = snapshots.name == "snapshots" and repository.name.startswith("models--")
    if target.is_relative_to(folder) or (cached and target.parent == repository / "blobs"):
        return
    raise AnexaError(
        f"{path} is a link to {target}, outside its folder: replace it by a copy to share the file"
    )


@contextmanager
def open_binary(path: Path) -> Iterator[BufferedReader]:
    """Context manager that opens a file for reading.

    Yields:
        The file, opened in binary mode.

    Raises:
        AnexaError: if the file does not exist, is not a regular file, or an `OSError` occurs in the
            body of the `with` statement.
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
    """Return the content of a file as bytes.

    Raises:
        AnexaError: if the file does not exist or cannot be read.
    """
    with open_binary(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file; each invalid byte sequence becomes U+FFFD.

    Raises:
        AnexaError: if the file does not exist or cannot be read.
    """
    return read_bytes(path).decode("utf-8", errors="replace")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file as a dict.

    Raises:
        AnexaError: if the file cannot be read, or its content is not a JSON object.
    """
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise AnexaError(f"{path} is damaged: it is not JSON ({short_repr(error)})") from error
    if not isinstance(value, dict):
        raise AnexaError(f"{path} is damaged: it is not a JSON object")
    return value

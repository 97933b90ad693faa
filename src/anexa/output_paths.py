"""Paths that a user names for an output: whether they can be written, and free names for folders.

An output is checked before any work is done for it. `files.py` writes it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import tempfile
from pathlib import Path

from anexa.errors import AnexaError, UsageError

TEMPORARY_PREFIX = ".anexa-"  # prefix of the names of temporary files and folders
STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")  # names of the standard output
DESCRIPTOR_PATTERN = re.compile("/(?:dev|proc/self)/fd/([0-9]+)")  # an open file, such as /dev/fd/3


def check_output(
    path: Path, *, folder: bool = False, replace: bool = False, binary: bool = False
) -> None:
    """Check that an output path from the user can be written, before any work is done.

    The output itself is neither created nor changed. A temporary file is created, and removed, in
    the folder of a regular file, or in the nearest existing parent of a new folder; the permissions
    of devices and pipes are looked up.

    Args:
        path: new file or folder; existing file, device or named pipe, or a link to one of these; an
            open file, such as /dev/fd/3; or "-" for the standard output.
        folder: whether the output is a folder, which never replaces anything; its parents may be
            missing.
        replace: whether an existing file or block device may be overwritten; other devices, pipes
            and open files always may.
        binary: whether the content is binary, which is not written to a terminal.

    Raises:
        AnexaError: if the path exists and may not be replaced, is a folder where a file is to be
            written, or is not writable; or if it is the standard output, which is closed.
        UsageError: if `path` is the standard output, and the output is a folder, or is binary and
            the standard output is a terminal.
    """
    if is_stdout(path):
        _check_stdout(folder, binary)
        return
    status = output_status(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if status is None:
        _check_free(path, target, folder)
    elif folder:
        raise AnexaError(f"{path} exists already: choose another folder")
    elif stat.S_ISDIR(status.st_mode):
        raise AnexaError(f"cannot write {path}, which is a folder: name the file to write")
    elif file_descriptor(path) is not None:  # an open file: writing to it replaces no other one
        return
    elif not replace and (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise AnexaError(f"{path} exists already: choose another name, or replace it with --force")
    elif not os.access(path, os.W_OK):
        raise AnexaError(f"cannot write {path}: {os.strerror(errno.EACCES)}")
    elif stat.S_ISREG(status.st_mode):
        _check_writable(path, target.parent)


def _check_stdout(folder: bool, binary: bool) -> None:
    if folder:
        raise UsageError("a folder is not written to the standard output: name a folder with --out")
    if sys.stdout is None:
        raise AnexaError("the standard output is closed: name a file to write")
    if binary and sys.stdout.isatty():
        raise UsageError(
            "this is not text for a terminal: name a file with --out, or pipe the output into "
            "another program"
        )


def _check_free(path: Path, target: Path, folder: bool) -> None:
    """Check that a new path can be created: its parent is an existing, writable folder.

    The parents of a new folder may be missing; they will be created.

    Raises:
        AnexaError: if a parent is a file, is not writable, or is missing for a new file.
    """
    parent = next(parent for parent in target.parents if parent.exists())
    if not parent.is_dir():
        raise AnexaError(f"cannot write {path}: {parent} is a file")
    if parent != target.parent and not folder:
        raise AnexaError(f"cannot write {path}: there is no folder {target.parent}")
    _check_writable(path, parent)


def _check_writable(path: Path, folder: Path) -> None:
    """Check that a file can be created in a folder, by creating and removing one."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=TEMPORARY_PREFIX):
            pass
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error


def is_stdout(path: Path) -> bool:
    """Return whether a path names the standard output, such as "-" or "/dev/stdout"."""
    return path.as_posix() in STDOUT


def file_descriptor(path: Path) -> int | None:
    """Return the file descriptor that a path names: 3 for /dev/fd/3, 2 for /dev/stderr.

    The descriptor may be closed. All other paths give None: also /dev/stdout, for which `is_stdout`
    is true, and /dev/stdin, which is no output.
    """
    name = "/dev/fd/2" if path.as_posix() == "/dev/stderr" else path.as_posix()
    found = DESCRIPTOR_PATTERN.fullmatch(name)
    return int(found[1]) if found else None


def output_status(path: Path) -> os.stat_result | None:
    """Return the `stat` result of an output path, following links; None if it does not exist.

    Raises:
        AnexaError: if the path cannot be followed, such as links in a loop or a parent that may
            not be entered.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AnexaError(f"cannot write {path}: {error.strerror}") from error


def numbered_path(path: Path, number: int) -> Path:
    """Append a number to the name of a folder: PATH for 1, PATH-2 for 2, and so on."""
    return path if number == 1 else path.with_name(f"{path.name}-{number}")


def free_path(path: Path) -> Path:
    """Return the first of PATH, PATH-2, PATH-3, … that does not exist.

    Another process may create it before the caller does.
    """
    number = 1
    while os.path.lexists(numbered_path(path, number)):
        number += 1
    return numbered_path(path, number)

"""Files of a folder and of the folders in it, in an order that is the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from anexa.data.sources.entries import (
    PROSE_ENDINGS,
    ROW_FORMATS,
    SOURCE_CODE_ENDINGS,
    Entry,
    file_entry,
    name_ending,
)
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError, UsageError
from anexa.names import quoted, shown

# Folders of installed packages and of programs, which nobody wrote by hand.
SKIPPED_FOLDERS = ("__MACOSX", "__pycache__", "node_modules", "site-packages")

Accept = Callable[[str], bool]
"""Function that returns whether a file is read, given its path inside its folder or archive."""


def folder_entries(root: Path, accept: Accept, tally: Tally) -> Iterator[Entry]:
    """Yield the files of a folder whose paths are accepted, sorted by the parts of their paths.

    Hidden files and folders, `SKIPPED_FOLDERS`, virtual environments and symbolic links are left
    out. In memory are only the names in one folder, and in those above it.

    Args:
        root: path of the folder.
        accept: function that returns whether a file is read, given its path inside the folder.
        tally: counter of the files that are left out. With its `skip_bad`, a folder that cannot be
            read is counted too; without, it raises an error.
    """
    yield from _walk(root, "", root.name, accept, tally)


def _walk(folder: Path, prefix: str, root: str, accept: Accept, tally: Tally) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as scan:
            found = sorted((f.name, f.is_symlink(), f.is_dir(follow_symlinks=False)) for f in scan)
    except OSError as error:
        reason = error.strerror or error
        tally.count_bad_file(AnexaError(f"cannot read the folder {shown(str(folder))}: {reason}"))
        return
    if any(name == "pyvenv.cfg" for name, _, _ in found):
        tally.count_left_out("virtual environment")
        return
    for name, is_link, is_folder in found:
        path = prefix + name
        if is_skipped(name):
            continue
        if is_link:
            tally.count_left_out("symbolic link")
        elif is_folder:
            yield from _walk(folder / name, f"{path}/", root, accept, tally)
        elif not accept(path):
            tally.count_unread_ending(name_ending(name))
        elif (folder / name).is_file():
            yield file_entry(folder / name, path, shown(f"{root}/{path}"))
        else:
            tally.count_left_out("device or pipe")


def is_skipped(name: str) -> bool:
    """Return whether a file or folder is left out: hidden as ".git", or in `SKIPPED_FOLDERS`."""
    return name.startswith(".") or name in SKIPPED_FOLDERS


def include_filter(include: Sequence[str]) -> Accept:
    """Return the function that decides by patterns which files of a folder are read.

    Args:
        include: patterns of `--include` with `*`, `?` and `[…]`, which match the name of a file in
            any folder; or its path inside the folder, if the pattern has a "/", where `**` stands
            for any number of folders.

    Returns:
        Function that returns whether a file is read, given its path inside the folder. Without
        patterns, it accepts files whose names end as those of prose or source code do
        (`PROSE_ENDINGS`, `SOURCE_CODE_ENDINGS`).

    Raises:
        UsageError: if a pattern matches no path inside a folder.
    """
    if not include:
        endings = frozenset(PROSE_ENDINGS + SOURCE_CODE_ENDINGS)
        return lambda path: name_ending(path) in endings
    patterns = [_pattern(pattern) for pattern in include]
    return lambda path: any(_matches(path.split("/"), pattern) for pattern in patterns)


def is_row_file(path: str) -> bool:
    """Return whether a file has rows (a table, JSON Lines or Parquet), by its name's ending."""
    return name_ending(path) in ROW_FORMATS


def is_text_or_row_file(path: str) -> bool:
    """Return whether a file is prose or source code or has rows, by the ending of its name."""
    return include_filter(())(path) or is_row_file(path)


def _pattern(pattern: str) -> Sequence[str]:
    """Split a pattern of `include_filter` into its parts.

    Raises:
        UsageError: if the pattern matches no path inside a folder.
    """
    parts = [part for part in pattern.replace(os.sep, "/").split("/") if part != "."]
    if not all(parts) or ".." in parts:
        raise UsageError(
            f"--include {quoted(pattern)} matches no file: give a pattern such as '*.md' or "
            "'notes/**/*.md'"
        )
    return parts if len(parts) > 1 else ["**", *parts]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])

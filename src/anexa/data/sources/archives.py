"""Reader of the members of archives: `.zip`, `.tar` and compressed `.tar`.

Members are read from the archive, not extracted; only a large member of a `.tar` has a temporary
copy on the disk while it is read.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from anexa.data.reading import Reader
from anexa.data.sources.compression import check_ratio, decompressed, unpacking_errors
from anexa.data.sources.entries import Entry, file_entry, name_ending, seekable
from anexa.data.sources.folders import Accept, is_skipped
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError, short_repr
from anexa.names import quoted, shown

ENCRYPTED = 1  # bit in `ZipInfo.flag_bits` of an encrypted member


def archive_entries(path: Path, accept: Accept, tally: Tally) -> Iterator[Entry]:
    """Yield the members of an archive whose paths are accepted.

    The members of a ZIP archive are sorted by the parts of their paths, like the files of a folder;
    those of a tar archive come in the order of the archive. An entry can be opened until the next
    entry is taken from the iterator. Hidden members, links and devices are left out.

    Args:
        path: path of the archive; its ending decides whether it is a ZIP or a tar archive.
        accept: function that returns whether a member is read, given its path inside the archive.
        tally: counter of the members that are left out, except the hidden ones.

    Raises:
        AnexaError: if the archive is damaged or encrypted, the path of a member points outside the
            archive, the archive unpacks to much more than its size (see `check_ratio`), or it is
            compressed with Zstandard and `pyarrow` is not installed.
    """
    is_zip = name_ending(path.name) == ".zip"
    yield from (_zip_entries if is_zip else _tar_entries)(path, accept, tally)


def _zip_entries(path: Path, accept: Accept, tally: Tally) -> Iterator[Entry]:
    where = shown(str(path))
    with _zip_errors(where):
        archive = zipfile.ZipFile(path)
    with archive:
        infos = {_inside(info.filename, where): info for info in archive.infolist()}
        check_ratio(sum(info.file_size for info in infos.values()), path.stat().st_size, where)
        for name in sorted(infos, key=lambda name: name.split("/")):
            info = infos[name]
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            if info.is_dir() or not _is_wanted(name, is_link, accept, tally):
                continue
            if info.flag_bits & ENCRYPTED:
                raise AnexaError(
                    f"{where} is encrypted (its member {quoted(name)}): unpack it with its "
                    "password, and give the folder"
                )
            yield Entry(name, f"{shown(path.name)}: {shown(name)}", _zip_opener(archive, info))


def _zip_opener(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> Callable[[], AbstractContextManager[Reader]]:
    """Return the function that opens a member of a ZIP archive."""
    where = shown(f"{archive.filename}: {info.filename}")

    @contextmanager
    def opened() -> Iterator[Reader]:
        with _zip_errors(where):
            member = archive.open(info)
        with member:
            yield _MemberReader(member, where)

    return opened


def _tar_entries(path: Path, accept: Accept, tally: Tally) -> Iterator[Entry]:
    where = shown(str(path))
    with decompressed(file_entry(path)).open() as stream:
        with _tar_errors(where):
            # "r|": read once from the start to the end, without going back
            archive = tarfile.TarFile.open(fileobj=stream, mode="r|")  # type: ignore[call-overload]
        while True:
            with _tar_errors(where):
                info = archive.next()
            if info is None:
                return
            name = _inside(info.name, where)
            if info.isdir() or not _is_wanted(name, info.issym() or info.islnk(), accept, tally):
                continue
            member = archive.extractfile(info) if info.isfile() else None
            if member is None:
                tally.count_left_out("device or pipe")
                continue
            member_name = f"{shown(path.name)}: {shown(name)}"
            with seekable(_MemberReader(member, member_name)) as file:
                yield Entry(name, member_name, _rewinder(file))


def _rewinder(file: IO[bytes]) -> Callable[[], AbstractContextManager[Reader]]:
    """Return a function that opens a member of a tar archive, from its start at each call.

    Args:
        file: seekable file with the content of the member.
    """

    def opened() -> AbstractContextManager[Reader]:
        file.seek(0)
        return nullcontext(file)

    return opened


class _MemberReader:
    """Reader of a member of an archive that raises AnexaError if the member is damaged."""

    def __init__(self, stream: Reader, where: str) -> None:
        self._stream, self._where = stream, where

    def read(self, size: int, /) -> bytes:
        with _zip_errors(self._where), _tar_errors(self._where):
            return self._stream.read(size)


@contextmanager
def _zip_errors(where: str) -> Iterator[None]:
    try:
        with unpacking_errors(where):
            yield
    except (zipfile.BadZipFile, zlib.error) as error:
        raise AnexaError(
            f"{where} is damaged or incomplete ({short_repr(error)}): get the file again"
        ) from error
    except NotImplementedError as error:  # a compression that Python lacks
        raise AnexaError(
            f"{where} cannot be unpacked ({short_repr(error)}): unpack it with another program, "
            "and give the folder"
        ) from error


@contextmanager
def _tar_errors(where: str) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise AnexaError(
            f"{where} is damaged or incomplete ({short_repr(error)}): get the file again"
        ) from error


def _inside(name: str, where: str) -> str:
    """Return the normalized path of a member, with "/" between its parts.

    Args:
        name: name of the member in the archive.
        where: name of the archive, for error messages.

    Raises:
        AnexaError: if the path is absolute or has a part "..".
    """
    path = name.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/") or path[1:2] == ":":
        raise AnexaError(
            f"{where} has a member whose path leaves the archive, {quoted(name)}: make the archive "
            "anew, or unpack it where that does no harm, and give the folder"
        )
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _is_wanted(name: str, is_link: bool, accept: Accept, tally: Tally) -> bool:
    """Return whether a member is read; count it in the tally if not, unless it is hidden."""
    if any(map(is_skipped, name.split("/"))):
        return False
    if is_link:
        tally.count_left_out("symbolic link")
    elif not accept(name):
        tally.count_unread_ending(name_ending(name))
    else:
        return True
    return False

"""Corpora from the network into the cache, through pooch."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anexa.data.registry import CorpusInfo, without_network
from anexa.errors import AnexaError

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes that have come so far and, where the server said it, their total."""

PAUSES = (0.5, 1.0)  # seconds before the second and the third try
TIMEOUT = (10, 30)  # seconds to connect, and between one piece and the next
CHUNK = 16 * 1024  # bytes


class _DownloadError(Exception):
    """Why a download failed, in words, and whether it is worth another try."""

    def __init__(self, reason: str, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class _Meter:
    """The part of tqdm's interface that pooch uses, in front of a callback."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.total = 0  # set by pooch; stays 0 where the server does not say
        self.done = 0

    def update(self, n: int) -> None:
        # pooch counts whole chunks and at the end the total once more.
        self.done = min(self.done + n, self.total) if self.total else self.done + n
        if self.progress is not None:
            self.progress(self.done, self.total or None)

    def reset(self) -> None:
        """Called by pooch just before the end; here the count only ever rises."""

    def close(self) -> None:
        """Nothing to close."""


def cache_folder() -> Path:
    """For downloads and tokens: $ANEXA_CACHE, or else a folder where the system has its caches."""
    if chosen := os.environ.get("ANEXA_CACHE"):
        return Path(chosen).absolute()
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("anexa")).absolute()


def fetch(corpus: CorpusInfo, progress: Progress | None = None) -> Path:
    """The file of a corpus in the cache, downloaded if it is not there yet.

    A file that was put there by hand is as good as a downloaded one. A download is tried three
    times where another try can help. It is written aside, checked and renamed, so that what is
    in the cache is whole.

    Raises `AnexaError` when the download fails, when the cache cannot be written to, or when
    the file in the cache is not the one expected; `ValueError` for a corpus without a source.
    """
    if corpus.source is None:
        raise ValueError(f"corpus {corpus.name} has no source to download from")
    path = cache_folder() / corpus.filename
    try:
        if path.exists():
            _check(path, corpus)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for pause in (*PAUSES, None):
            try:
                _download(corpus.source, path, corpus.sha256, progress)
                break
            except _DownloadError as failure:
                if pause is None or not failure.again:
                    raise AnexaError(
                        f"corpus {corpus.name} could not be downloaded from {corpus.source}: "
                        f"{failure}; save that file as {path} yourself, or use "
                        f"{without_network()}, which need no network"
                    ) from failure
                time.sleep(pause)
    except OSError as error:
        raise AnexaError(
            f"cannot use the cache folder {path.parent}: {error.strerror or error}; "
            "set the environment variable ANEXA_CACHE to a folder that you can write to"
        ) from error
    return path


def _check(path: Path, corpus: CorpusInfo) -> None:
    """Raise `AnexaError` if the file in the cache has a checksum other than the fixed one."""
    if corpus.sha256 is None:
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != corpus.sha256:
        raise AnexaError(
            f"{path} is not the file that corpus {corpus.name} is made of (its SHA-256 is "
            f"{found[:12]}…, not {corpus.sha256[:12]}…): delete it to have it downloaded again"
        )


def _download(url: str, path: Path, sha256: str | None, progress: Progress | None) -> None:
    """One try. Raises `_DownloadError`, or `OSError` where the file cannot be written."""
    import pooch
    from requests import exceptions  # what pooch downloads with, and lets through

    meter = _Meter(progress)
    # Uncompressed, so that the bytes written can be held against the length announced.
    http = pooch.HTTPDownloader(
        progressbar=meter,
        chunk_size=CHUNK,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
    )

    def download(url: str, output_file: str, caller: Any) -> None:
        http(url, output_file, caller)
        with Path(output_file).open("r+b") as file:
            head = file.read(100).lstrip().lower()
            size = file.seek(0, os.SEEK_END)
            os.fsync(file.fileno())  # pooch renames it next: on the disk before that
        if size < meter.total:  # urllib3 notices since version 2 only
            raise _DownloadError(f"it was cut off after {size} of {meter.total} bytes", again=True)
        if head.startswith((b"<!doctype html", b"<html")):
            raise _DownloadError("a web page came instead of the text", again=False)

    host = urlsplit(url).netloc
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        pooch.retrieve(
            url,
            known_hash=None if sha256 is None else f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=download,
        )
    except exceptions.HTTPError as error:
        status = getattr(error.response, "status_code", 0)
        again = status == 429 or status >= 500  # busy or broken: may pass
        raise _DownloadError(f"{host} answered with HTTP status {status}", again) from error
    except exceptions.Timeout as error:
        raise _DownloadError(f"{host} did not answer in time", again=True) from error
    except exceptions.ChunkedEncodingError as error:
        raise _DownloadError("it was cut off before its end", again=True) from error
    except exceptions.ConnectionError as error:
        raise _DownloadError(f"there is no connection to {host}", again=True) from error
    except exceptions.RequestException as error:
        raise _DownloadError(" ".join(str(error).split()), again=False) from error
    except ValueError as error:  # pooch's word for a checksum that does not match
        raise _DownloadError("what came is not the expected file (wrong SHA-256)", False) from error
    finally:
        logger.setLevel(level)

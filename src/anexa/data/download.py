"""Download of corpora into the cache folder, with the library pooch."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anexa.cache import cache_folder
from anexa.data.registry import CorpusInfo, offline_corpora
from anexa.errors import AnexaError, one_line

Progress = Callable[[int, "int | None"], None]
"""Progress callback: `(bytes_done, bytes_total)`; the total is None if unknown."""

# Not pooch's own retries: they need a fixed registry, and also retry permanent errors.
RETRY_DELAYS = (0.5, 1.0)  # seconds before the second and the third attempt
TIMEOUT = (10, 30)  # seconds to connect, and to wait for data
CHUNK_SIZE = 16 * 1024  # bytes of a download that are received and written at once


class _DownloadError(Exception):
    """A failed download, with its reason, and whether another attempt may succeed."""

    def __init__(self, reason: str, is_transient: bool) -> None:
        super().__init__(reason)
        self.is_transient = is_transient


class _Meter:
    """Progress bar for pooch, which expects tqdm's interface: calls a progress callback."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.total = 0  # set by pooch; 0 if the server does not send a length
        self.done = 0

    def update(self, n: int) -> None:
        # pooch counts whole chunks, and adds the total once more at the end.
        self.done = min(self.done + n, self.total) if self.total else self.done + n
        if self.progress is not None:
            self.progress(self.done, self.total or None)

    def reset(self) -> None:
        """Do nothing: pooch resets its progress bar at the end of a download."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def download_corpus(corpus: CorpusInfo, progress: Progress | None = None) -> Path:
    """Download a corpus into the cache folder, unless the file is there already.

    A file that the user has put there is used like a downloaded one. Transient errors are retried
    twice. A download is written to a temporary file, verified if the registry has a checksum, and
    renamed, so the cache never contains a partial file.

    Args:
        corpus: corpus to download, a value of `CORPORA`.
        progress: progress callback: `(bytes_done, bytes_total)`; the total is None if unknown.

    Returns:
        Path of the file in the cache folder.

    Raises:
        AnexaError: if the download fails, the cache cannot be read or written, or the cached file
            has the wrong checksum.
        ValueError: if the corpus has no URL to download from.
    """
    if corpus.source is None:
        raise ValueError(f"corpus {corpus.name} has no source to download from")
    path = cache_folder() / corpus.filename
    try:
        if path.exists():
            _check(path, corpus)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for delay in (*RETRY_DELAYS, None):
            try:
                _download(corpus.source, path, corpus.sha256, progress)
                break
            except _DownloadError as failure:
                if delay is None or not failure.is_transient:
                    raise AnexaError(
                        f"corpus {corpus.name} could not be downloaded from {corpus.source}: "
                        f"{failure}; save the file as {path} yourself, or train on "
                        f"{offline_corpora()}, which need no network"
                    ) from failure
                time.sleep(delay)
    except OSError as error:
        raise AnexaError(
            f"cannot use the cache folder {path.parent}: {error.strerror or error}; "
            "set the environment variable ANEXA_CACHE to a folder that you may read and write"
        ) from error
    return path


def _check(path: Path, corpus: CorpusInfo) -> None:
    """Verify the checksum of a cached file, if the registry has one.

    Raises:
        AnexaError: if the checksum differs.
    """
    if corpus.sha256 is None:
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != corpus.sha256:
        raise AnexaError(
            f"{path} is not the file of the corpus {corpus.name} (its SHA-256 is {found[:12]}…, "
            f"not {corpus.sha256[:12]}…): delete it, and it is downloaded again"
        )


def _download(url: str, path: Path, sha256: str | None, progress: Progress | None) -> None:
    """Download a file once, without another attempt after an error.

    Args:
        url: address of the file.
        path: path that the complete file gets.
        sha256: expected SHA-256; None: not checked.
        progress: progress callback: `(bytes_done, bytes_total)`, total None if unknown.

    Raises:
        _DownloadError: if the server cannot be reached or refuses, or the checksum is wrong.
        OSError: if the file cannot be written.
    """
    import pooch  # type: ignore[import-untyped]
    from requests import exceptions  # what pooch downloads with, and lets through

    meter = _Meter(progress)
    # Uncompressed, so that the number of written bytes must equal the announced length.
    http = pooch.HTTPDownloader(
        progressbar=meter,
        chunk_size=CHUNK_SIZE,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
    )

    def download(url: str, output_file: str, caller: Any) -> None:
        http(url, output_file, caller)
        with Path(output_file).open("r+b") as file:
            head = file.read(100).lstrip().lower()
            size = file.seek(0, os.SEEK_END)
            os.fsync(file.fileno())  # flushed to the disk before pooch renames it
        if size < meter.total:  # urllib3 checks this only since version 2
            raise _DownloadError(
                f"it was cut off after {size} of {meter.total} bytes", is_transient=True
            )
        if head.startswith((b"<!doctype html", b"<html")):
            raise _DownloadError(
                "the server sent a web page instead of the text", is_transient=False
            )

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
        is_transient = status == 429 or status >= 500  # too many requests, or a server error
        raise _DownloadError(f"{host} answered with HTTP status {status}", is_transient) from error
    except exceptions.Timeout as error:
        raise _DownloadError(f"{host} did not answer in time", is_transient=True) from error
    except exceptions.ChunkedEncodingError as error:
        raise _DownloadError("it was cut off before its end", is_transient=True) from error
    except exceptions.ProxyError as error:
        reason = f"cannot connect to {host} through the proxy in the environment (HTTPS_PROXY)"
        raise _DownloadError(reason, is_transient=True) from error
    except exceptions.SSLError as error:
        raise _DownloadError(
            f"the certificate of {host} is not trusted", is_transient=False
        ) from error
    except exceptions.ConnectionError as error:
        raise _DownloadError(f"cannot connect to {host}", is_transient=True) from error
    except exceptions.RequestException as error:
        raise _DownloadError(" ".join(str(error).split()), is_transient=False) from error
    except OSError as error:
        if error.errno is not None:  # an error of the disk
            raise
        raise _DownloadError(
            one_line(str(error)), is_transient=False
        ) from error  # certificates missing
    except ValueError as error:  # pooch raises it for a wrong checksum
        raise _DownloadError("the file has the wrong SHA-256", is_transient=False) from error
    finally:
        logger.setLevel(level)

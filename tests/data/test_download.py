"""Downloads from a real server on this machine."""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from anexa.data import CORPORA, CorpusInfo, cache_folder, download_corpus, read_corpus
from anexa.data import download as download_module
from anexa.errors import AnexaError
from tests.data.helpers import texts

BODY = b"".join(b"line %d of a made-up corpus\n" % i for i in range(3000))
SHA256 = hashlib.sha256(BODY).hexdigest()

Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(BODY)))
    request.end_headers()
    request.wfile.write(BODY)


def cut_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(BODY)))
    request.end_headers()
    request.wfile.write(BODY[:-1000])


def without_length(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(BODY)


def web_page(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"\n<!DOCTYPE html><p>Please sign in to this network.")


def silent(request: BaseHTTPRequestHandler) -> None:
    request.rfile.read()  # until the client gives up


def status(code: int) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_error(code)

    return answer


class Server(ThreadingHTTPServer):
    """HTTP server that sends `answers` one after the other, and repeats the last one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [whole]
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/corpus.txt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("ANEXA_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (0.01, 0.01))
    return folder


def corpus(url: str, sha256: str | None = SHA256) -> CorpusInfo:
    return CorpusInfo("made-up", "for tests", "lines", len(BODY), url, sha256)


def failure(corpus: CorpusInfo) -> str:
    """Return the message of a download that fails and leaves no file."""
    with pytest.raises(AnexaError) as caught:
        download_corpus(corpus)
    assert list(cache_folder().iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    assert str(cache_folder() / "made-up.txt") in message
    assert "firstnames or python-docs" in message
    return message


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_complete_download_is_cached(server: Server, cache: Path, sha256: str | None) -> None:
    path = download_corpus(corpus(server.url, sha256))
    assert path == cache / "made-up.txt"
    assert path.read_bytes() == BODY
    assert list(cache.iterdir()) == [path]
    assert server.requests == ["/corpus.txt"]


def test_cache_hit_makes_no_request(server: Server) -> None:
    first = download_corpus(corpus(server.url))
    assert download_corpus(corpus(server.url)) == first
    assert len(server.requests) == 1


def test_file_put_in_the_cache_by_hand_is_used(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "made-up.txt").write_bytes(BODY)
    download_corpus(corpus(server.url))
    (cache / "made-up.txt").write_bytes(b"another revision")
    assert download_corpus(corpus(server.url, None)).read_bytes() == b"another revision"
    with pytest.raises(AnexaError, match=r"made-up\.txt is not the file .* delete it"):
        download_corpus(corpus(server.url))
    assert (cache / "made-up.txt").read_bytes() == b"another revision"  # the user's, left alone
    assert server.requests == []


def test_progress_rises_to_the_whole(server: Server) -> None:
    seen: list[tuple[int, int | None]] = []
    download_corpus(corpus(server.url), lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {len(BODY)}
    assert 0 < seen[0][0] < len(BODY)
    assert seen[-1] == (len(BODY), len(BODY))


def test_progress_without_a_known_length(server: Server) -> None:
    server.answers = [without_length]
    seen: list[tuple[int, int | None]] = []
    download_corpus(corpus(server.url), lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {None}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] >= len(BODY)


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_cut_off_download_is_an_error(server: Server, sha256: str | None) -> None:
    server.answers = [cut_off]
    assert "it was cut off" in failure(corpus(server.url, sha256))
    assert len(server.requests) == 3


def test_cut_off_download_is_detected_without_the_http_library(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib3

    original = urllib3.response.HTTPResponse.__init__

    # As urllib3 1.26 is, which requests still accepts.
    def lenient(self: object, *args: object, **kwargs: object) -> None:
        original(self, *args, **(kwargs | {"enforce_content_length": False}))  # type: ignore[arg-type]

    monkeypatch.setattr(urllib3.response.HTTPResponse, "__init__", lenient)
    server.answers = [cut_off]
    reason = f"it was cut off after {len(BODY) - 1000} of {len(BODY)} bytes"
    assert reason in failure(corpus(server.url, None))


def test_wrong_checksum_is_an_error(server: Server) -> None:
    assert "wrong SHA-256" in failure(corpus(server.url, "0" * 64))
    assert len(server.requests) == 1  # the same would come again


def test_web_page_instead_of_the_text_is_an_error(server: Server) -> None:
    server.answers = [web_page]
    assert "sent a web page" in failure(corpus(server.url, None))


def test_missing_file_is_an_error(server: Server) -> None:
    server.answers = [status(404)]
    assert "127.0.0.1" in (message := failure(corpus(server.url)))
    assert "HTTP status 404" in message
    assert len(server.requests) == 1


def test_busy_server_is_tried_three_times(server: Server) -> None:
    server.answers = [status(503)]
    assert "HTTP status 503" in failure(corpus(server.url))
    assert len(server.requests) == 3


@pytest.mark.parametrize("first", [cut_off, status(500), status(429)])
def test_retry_after_a_failure_succeeds(server: Server, first: Answer) -> None:
    server.answers = [first, whole]
    assert download_corpus(corpus(server.url)).read_bytes() == BODY
    assert len(server.requests) == 2


def test_unresponsive_server_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT", (5, 0.1))
    server.answers = [silent]
    start = time.monotonic()
    assert "did not answer in time" in failure(corpus(server.url))
    assert time.monotonic() - start < 60, "it is silent for ever"


def test_unreachable_server_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and not listening
        port = unused.getsockname()[1]
        message = failure(corpus(f"http://127.0.0.1:{port}/corpus.txt"))
    assert f"cannot connect to 127.0.0.1:{port}" in message


@pytest.mark.parametrize(
    ("name", "value", "fragment"),
    [
        ("REQUESTS_CA_BUNDLE", "/gone", "certificate bundle, invalid path: /gone"),
        ("HTTPS_PROXY", "http://127.0.0.1:1", "through the proxy in the environment (HTTPS_PROXY)"),
    ],
)
def test_the_environment_is_blamed_for_what_it_says(
    name: str, value: str, fragment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert fragment in failure(corpus("https://example.invalid/corpus.txt"))


def test_unusable_cache_folder_is_an_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "file"))
    with pytest.raises(AnexaError, match=r"cannot use the cache folder .*file.*ANEXA_CACHE"):
        download_corpus(corpus(server.url))
    assert server.requests == []


def test_cache_folder_is_configurable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANEXA_CACHE", "here")
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("ANEXA_CACHE", "")
    assert cache_folder().is_absolute()
    assert "anexa" in cache_folder().parts
    monkeypatch.delenv("ANEXA_CACHE")
    assert "anexa" in cache_folder().parts


def test_corpus_without_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match="no source"):
        download_corpus(CORPORA["firstnames"])


def test_registered_corpus_is_downloaded_when_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CORPORA, "made-up", corpus(server.url))
    seen: list[int] = []
    made_up = read_corpus("made-up", progress=lambda done, _: seen.append(done))
    assert texts(made_up) == BODY.decode().splitlines()
    assert seen[-1] == len(BODY)


def test_pooch_prints_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    import pooch  # type: ignore[import-untyped]

    logger = pooch.get_logger()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        download_corpus(corpus(server.url, None))
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.name for record in caplog.records if record.name == logger.name] == []
    assert logger.level == logging.DEBUG  # as it was


def test_import_needs_the_standard_library_only() -> None:
    code = (
        "import sys; import anexa.data.corpora, anexa.data.download; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} "
        "- sys.stdlib_module_names - {'__main__', 'anexa'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(download_module.__file__).parents[2])},
        check=True,
    )
    assert done.stdout.split() == []

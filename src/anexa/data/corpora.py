"""Documents to train on: read from a known corpus, a file or standard input."""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import io
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anexa.data.download import Progress, fetch
from anexa.data.gutenberg import strip_gutenberg
from anexa.data.reading import decoded, grouped
from anexa.data.registry import CORPORA, CorpusInfo, Layout
from anexa.errors import AnexaError, UsageError

__all__ = [
    "CORPORA",
    "CorpusInfo",
    "Documents",
    "corpus_source",
    "guess_layout",
    "read_corpus",
]

HEAD = 2**20  # characters that show a text's layout

# Unicode's classes of the marks that lines of verse and prose often end with and entries of a
# list seldom do: full stops and the like in all scripts, dashes, closing quotes; not brackets.
_LINE_END_CLASSES = ("Po", "Pd", "Pf")

Source = Callable[[], Iterator[str]]
"""Reads a text from its beginning, each time it is called, in chunks of any length."""


@dataclass(frozen=True)
class Documents:
    """A corpus, which can be read again and again, and is never held whole."""

    name: str
    """The name of the corpus or of the file, or "standard input"."""
    layout: Layout
    """Either "lines", one document a line, or "text", running text."""
    size: int
    """Bytes of all documents in UTF-8."""
    sha256: str
    """Of the documents, in hexadecimal, so that it shows whether a corpus has changed."""
    source: Source = field(repr=False, compare=False)

    @classmethod
    def survey(cls, name: str, layout: Layout | Literal["auto"], source: Source) -> Documents:
        """Read a text once, to check all of it and to know its size and its hash.

        Raises `AnexaError` if there is nothing in it.
        """
        if layout == "auto":
            layout = guess_layout(_head(source))
        fingerprint = _Fingerprint(layout)
        is_blank = True
        for texts in grouped(source(), layout):
            fingerprint.update(texts)
            is_blank = is_blank and all(map(str.isspace, texts))
        if is_blank:
            raise AnexaError(
                f"{name} holds no text: give a corpus with at least one document in it"
            )
        return cls(name, layout, fingerprint.size, fingerprint.sha256, source)

    def groups(self, progress: Progress | None = None) -> Iterator[list[str]]:
        """The documents of "lines", or the pieces of running text, some at a time: see `grouped`.

        `progress` is told how far it is: bytes so far, and in all.

        Raises `AnexaError` at the end if the text is not what it was at first.
        """
        fingerprint = _Fingerprint(self.layout)
        for texts in grouped(self.source(), self.layout):
            fingerprint.update(texts)
            yield texts
            if progress is not None:
                progress(fingerprint.size, self.size)
        if fingerprint.sha256 != self.sha256:
            raise AnexaError(
                f"{self.name} changed while it was being read: start again when it is complete"
            )


class _Fingerprint:
    """The size and the hash of documents that are seen one after another."""

    def __init__(self, layout: Layout) -> None:
        self._digest = hashlib.sha256(layout.encode())
        self._of_lines = layout == "lines"
        self.size = 0

    def update(self, texts: list[str]) -> None:
        data = [text.encode("utf-8") for text in texts]
        self.size += sum(map(len, data))
        if self._of_lines:  # so that "ab", "c" is not "a", "bc"
            data = [len(document).to_bytes(8, "big") + document for document in data]
        self._digest.update(b"".join(data))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _head(source: Source) -> str:
    """The first lines of a text: those within its first million characters, about."""
    head = ""
    for chunk in source():
        head += chunk
        if len(head) >= HEAD:
            return head[: head.rfind("\n") + 1] or head
    return head


def read_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"] = "auto",
    *,
    progress: Progress | None = None,
) -> Documents:
    """The corpus that `spec` means, read once from beginning to end.

    `spec` is a name from `CORPORA`, the path of a UTF-8 text file, or "-" for standard input.
    A registered name wins over a file of that name; write ./names to mean the file.
    `layout` says whether each line is a document or all of it is running text; "auto" takes
    what the registry says, and for other texts what `guess_layout` finds in the first lines.
    `progress` is told how far a download is: bytes so far, and in all where that is known.

    Line ends become "\\n" and a byte order mark goes. With "lines", each line is stripped and
    empty ones are left out. A file may have any size; what comes through a pipe is held in memory.

    Raises `UsageError` for an unknown layout, and `AnexaError` when there is no such corpus or
    file, when it cannot be read or downloaded, and when it holds no text or something other
    than UTF-8 text.
    """
    if layout not in ("auto", "lines", "text"):
        raise UsageError(f"unknown layout {layout!r}: it is one of auto, lines and text")
    corpus = CORPORA.get(spec)  # no such name has a path separator in it
    assert corpus is None or not corpus.generated, "no text"
    if corpus is not None:
        source = _registered(corpus, progress)
        return Documents.survey(corpus.name, corpus.layout if layout == "auto" else layout, source)
    if spec == "-":
        return Documents.survey(
            "standard input", layout, _held(_read_standard_input(), "standard input")
        )
    return Documents.survey(Path(spec).name, layout, _file(spec))


def corpus_source(spec: str) -> str:
    """What means the same corpus as `spec` from any folder: a file's path is made absolute."""
    return spec if spec in CORPORA or spec == "-" else str(Path(spec).absolute())


def guess_layout(text: str) -> Layout:
    """Whether `text` looks like one document a line ("lines") or running text ("text").

    It is a list when it has two lines or more that are, on average, of at most four words and
    forty characters; when fewer than one line in ten is indented or ends in punctuation, as
    lines of verse, prose and code do; and when at most one line in a hundred is blank, not
    counting those at either end.
    """
    lines = text.strip().split("\n")
    entries = [line.rstrip() for line in lines if line.strip()]
    n = len(entries)
    n_prosaic = sum(
        line[0].isspace() or unicodedata.category(line[-1]) in _LINE_END_CLASSES for line in entries
    )
    is_list = (
        n >= 2
        and sum(len(line.split()) for line in entries) <= 4 * n
        and sum(len(line) for line in entries) <= 40 * n
        and 10 * n_prosaic < n
        and 100 * (len(lines) - n) <= len(lines)
    )
    return "lines" if is_list else "text"


def _registered(corpus: CorpusInfo, progress: Progress | None) -> Source:
    if corpus.source is None:
        return _held(_AT_HAND[corpus.name](), corpus.name)
    source = _file(str(fetch(corpus, progress)))
    if not corpus.gutenberg:
        return source
    return _held(strip_gutenberg("".join(source())).encode("utf-8"), corpus.name)


def _first_names() -> bytes:
    return (importlib.resources.files("anexa.data") / "firstnames.txt").read_bytes()


def _python_docs() -> bytes:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise AnexaError(
            "this Python was installed without its documentation, the module pydoc_data: "
            "choose another corpus, such as firstnames"
        ) from error
    text = "\n\n".join(topics[topic].strip() for topic in sorted(topics)) + "\n"
    return text.encode("utf-8")


_AT_HAND: dict[str, Callable[[], bytes]] = {
    "firstnames": _first_names,
    "python-docs": _python_docs,
}


def _read_standard_input() -> bytes:
    if sys.stdin is None:  # closed by whoever started this process
        raise AnexaError("standard input is closed: pipe a text into it, or give a file")
    return sys.stdin.buffer.read()


def _held(data: bytes, where: str) -> Source:
    return lambda: decoded(io.BytesIO(data), where)


def _file(spec: str) -> Source:
    path = Path(spec)

    def source() -> Iterator[str]:
        with _file_errors(spec), path.open("rb") as file:
            yield from decoded(file, spec)

    with _file_errors(spec):
        if not spec:
            raise _not_found(spec)
        if path.is_dir():
            raise AnexaError(f"{spec} is a folder: give the path of a text file in it")
        # A pipe has a path too, and can be read only once.
        return source if path.is_file() else _held(path.read_bytes(), spec)


@contextmanager
def _file_errors(spec: str) -> Iterator[None]:
    """What the system says about a file, as one sentence."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:  # ValueError: no path at all, as "\0"
        raise _not_found(spec) from error
    except OSError as error:
        raise AnexaError(
            f"cannot read {spec}: {error.strerror or error}; give a file that you may read"
        ) from error


def _not_found(spec: str) -> AnexaError:
    close = difflib.get_close_matches(Path(spec).stem.lower(), CORPORA, n=1)
    suggestion = f", perhaps you meant {close[0]}" if close else ""
    return AnexaError(
        f"there is no corpus and no file named {spec!r}{suggestion}: give the path of a text "
        f"file, or one of {', '.join(CORPORA)}"
    )

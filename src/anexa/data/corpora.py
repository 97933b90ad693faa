"""Documents to train on: read from a known corpus, a file or standard input, and split."""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import random
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anexa.data.download import Progress, fetch
from anexa.data.gutenberg import strip_gutenberg
from anexa.data.registry import CORPORA, Corpus, Layout
from anexa.errors import AnexaError, UsageError

__all__ = [
    "CORPORA",
    "Corpus",
    "Documents",
    "corpus_source",
    "guess_layout",
    "read_corpus",
    "split",
]

# Unicode's classes of the marks that lines of verse and prose often end with and entries of a
# list seldom do: full stops and the like in all scripts, dashes, closing quotes; not brackets.
_LINE_END_CLASSES = ("Po", "Pd", "Pf")


@dataclass(frozen=True)
class Documents:
    """A corpus as it was read."""

    name: str
    """The name of the corpus or of the file, or "standard input"."""
    layout: Layout
    """Either "lines", one document a line, or "text", running text."""
    texts: list[str]
    """One string a document; "text" has a single one."""

    @property
    def sha256(self) -> str:
        """Of the content in hexadecimal, so that it shows whether a corpus has changed."""
        digest = hashlib.sha256(self.layout.encode())
        for text in self.texts:
            data = text.encode("utf-8")
            digest.update(len(data).to_bytes(8, "big"))  # so that "ab", "c" is not "a", "bc"
            digest.update(data)
        return digest.hexdigest()


def read_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"] = "auto",
    *,
    progress: Progress | None = None,
) -> Documents:
    """Read the corpus that `spec` means.

    `spec` is a name from `CORPORA`, the path of a UTF-8 text file, or "-" for standard input.
    A registered name wins over a file of that name; write ./names to mean the file.
    `layout` says whether each line is a document or all of it is running text; "auto" takes
    what the registry says, and for other texts what `guess_layout` finds.
    `progress` is told how far a download is: bytes so far, and in all where that is known.

    Line ends become "\\n" and a byte order mark goes. With "lines", each line is stripped and
    empty ones are left out.

    Raises `UsageError` for an unknown layout, and `AnexaError` when there is no such corpus or
    file, when it cannot be read or downloaded, and when it holds no text or something other
    than UTF-8 text.
    """
    if layout not in ("auto", "lines", "text"):
        raise UsageError(f"unknown layout {layout!r}: it is one of auto, lines and text")
    corpus = CORPORA.get(spec)  # no such name has a path separator in it
    if corpus is not None:
        name, text = corpus.name, _read_registered(corpus, progress)
    elif spec == "-":
        name = "standard input"
        text = _decode(_read_standard_input(), name)
    else:
        name = Path(spec).name
        text = _decode(_read_file(spec), spec)
    if not text.strip():
        raise AnexaError(f"{name} holds no text: give a corpus with at least one document in it")
    if layout == "auto":
        layout = guess_layout(text) if corpus is None else corpus.layout
    if layout == "text":
        return Documents(name, layout, [text])
    return Documents(name, layout, [line.strip() for line in text.split("\n") if line.strip()])


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


def split(
    documents: Documents, fraction: float = 0.1, seed: int = 42
) -> tuple[Documents, Documents]:
    """Split documents into a part to train on and a part to validate with, losing nothing.

    Of "lines", `fraction` of the documents, drawn by `seed`, are for validation: at least one,
    and never all. Of "text", it is that fraction of the characters at the end, cut where a line
    starts if one starts near there.

    Raises `UsageError` if `fraction` is not between 0 and 1, and `AnexaError` if there is too
    little to have both parts.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"the fraction for validation is {fraction}: choose one between 0 and 1, such as 0.1"
        )
    [train, validation] = (
        _split_lines(documents, fraction, seed)
        if documents.layout == "lines"
        else _split_text(documents, fraction)
    )
    return (
        Documents(documents.name, documents.layout, train),
        Documents(documents.name, documents.layout, validation),
    )


def _split_lines(documents: Documents, fraction: float, seed: int) -> tuple[list[str], list[str]]:
    n = len(documents.texts)
    if n < 2:
        raise AnexaError(
            f"{documents.name} has a single document, and training and validation need one "
            "each: add a second line, or read it as running text"
        )
    shuffled = list(documents.texts)
    random.Random(seed).shuffle(shuffled)
    cut = n - min(n - 1, max(1, round(n * fraction)))
    return shuffled[:cut], shuffled[cut:]


def _split_text(documents: Documents, fraction: float) -> tuple[list[str], list[str]]:
    [text] = documents.texts
    n = len(text)
    if n < 2:
        raise AnexaError(
            f"{documents.name} has a single character, and training and validation need one "
            "each: give a longer text"
        )
    cut = n - min(n - 1, max(1, round(n * fraction)))
    # Half of the smaller part at most, so that a short text is still split about as asked.
    near = min(500, cut // 2, (n - cut) // 2)
    before = text.rfind("\n", cut - near, cut) + 1  # 0 where there is none
    after = text.find("\n", cut, cut + near) + 1
    starts = [start for start in (before, after) if start]
    cut = min(starts, key=lambda start: abs(start - cut), default=cut)
    return [text[:cut]], [text[cut:]]


def _read_registered(corpus: Corpus, progress: Progress | None) -> str:
    if corpus.source is None:
        return _AT_HAND[corpus.name]()
    path = fetch(corpus, progress)
    text = _decode(_read_file(str(path)), str(path))
    return strip_gutenberg(text) if corpus.gutenberg else text


def _first_names() -> str:
    file = importlib.resources.files("anexa.data") / "firstnames.txt"
    return _decode(file.read_bytes(), "firstnames")


def _python_docs() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise AnexaError(
            "this Python was installed without its documentation, the module pydoc_data: "
            "choose another corpus, such as firstnames"
        ) from error
    return "\n\n".join(topics[topic].strip() for topic in sorted(topics)) + "\n"


_AT_HAND: dict[str, Callable[[], str]] = {
    "firstnames": _first_names,
    "python-docs": _python_docs,
}


def _read_standard_input() -> bytes:
    if sys.stdin is None:  # closed by whoever started this process
        raise AnexaError("standard input is closed: pipe a text into it, or give a file")
    return sys.stdin.buffer.read()


def _read_file(spec: str) -> bytes:
    path = Path(spec)
    try:
        if not spec:
            raise _not_found(spec)
        if path.is_dir():
            raise AnexaError(f"{spec} is a folder: give the path of a text file in it")
        return path.read_bytes()
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


def _decode(data: bytes, where: str) -> str:
    """Plain text from bytes: UTF-8, "\\n" for line ends, no byte order mark."""
    if b"\0" in data:
        raise AnexaError(
            f"{where} is not a text file, it has a NUL byte at offset {data.index(0)}: "
            "save it as UTF-8 text"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AnexaError(
            f"{where} is not UTF-8 text, see the byte at offset {error.start}: "
            "save it with the encoding UTF-8"
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

"""Reader of corpora: a named corpus, a file or standard input as `Documents`."""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from anexa.data.download import Progress, fetch
from anexa.data.garden import garden_jsonl
from anexa.data.gutenberg import strip_gutenberg
from anexa.data.reading import decode_chunks, split_documents
from anexa.data.registry import CORPORA, CorpusInfo, Layout
from anexa.data.sources.compression import unpacked
from anexa.data.sources.encodings import LABELS
from anexa.data.sources.entries import Entry, split_name
from anexa.data.sources.reader import (
    DEFAULT_OPTIONS,
    DocumentSource,
    ReadOptions,
    has_rows,
    open_documents,
)
from anexa.data.sources.texts import find_codec, text_chunks
from anexa.errors import AnexaError, UsageError
from anexa.formats import recognize, recognize_markup
from anexa.names import quoted, shown
from anexa.process import announced

__all__ = [
    "CORPORA",
    "CorpusInfo",
    "Documents",
    "corpus_source",
    "corpus_stem",
    "guess_layout",
    "read_corpus",
]

MAX_PIPED = 2**30  # bytes of a text that can be read only once, and is kept in memory
LAYOUT_SAMPLE_CHARS = 2**20  # characters at the start of a text from which its layout is guessed

# Unicode categories of the characters that often end a line of verse or prose, and seldom an entry
# of a list: full stops and similar punctuation in all scripts, dashes, closing quotes.
_LINE_END_CLASSES = ("Po", "Pd", "Pf")

# What helps against markup that is found in a text.
_MARKUP_ADVICE = {
    "HTML or XML": "write the texts to a file of their own, such as with pandoc -t plain",
    "JSON": "name a file with an object a line FILE.jsonl to train on one of its fields",
    "a table": "name it FILE.csv to train on one of its columns",
}

Source = Callable[[], Iterator[str]]
"""Function that yields a text from its start: in chunks of any length, or, for the layout
"documents", a whole document at a time."""


@dataclass(frozen=True)
class Documents:
    """The text of a corpus, as a stream that can be read repeatedly.

    Attributes:
        name: name of the corpus or the file, to show, or "standard input".
        layout: how the text is divided.
        size: size of all documents in UTF-8, in bytes.
        sha256: hash of the documents, in hexadecimal; it identifies the corpus.
        source: reader of the text.
        notes: sentences about parts that are left out of the text.
        num_documents: number of documents; None with the layout "text".
    """

    name: str
    layout: Layout
    size: int
    sha256: str
    source: Source = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()
    num_documents: int | None = None

    @classmethod
    def scan(cls, name: str, layout: Layout | Literal["auto"], source: Source) -> Documents:
        """Read a text once, to validate it and to compute its size and hash.

        Args:
            name: name of the corpus.
            layout: layout of the corpus; "auto": guessed from the first lines.
            source: function that yields the text.

        Raises:
            AnexaError: if the text is blank or not UTF-8.
        """
        if layout == "auto":
            layout = guess_layout(_head(source))
        fingerprint = _Fingerprint(layout)
        is_blank, left_out, count = True, _LeftOut(layout), 0
        for texts in split_documents(left_out.watch(source()), layout):
            fingerprint.update(texts)
            left_out.keep(texts)
            count += len(texts)
            is_blank = is_blank and all(map(str.isspace, texts))
        if is_blank:
            raise AnexaError(f"{name} contains no text: give a corpus with at least one document")
        return cls(
            name,
            layout,
            fingerprint.size,
            fingerprint.sha256,
            source,
            left_out.notes(),
            None if layout == "text" else count,
        )

    def groups(self, progress: Progress | None = None) -> Iterator[list[str]]:
        """Yield lists of documents (layouts "lines", "documents") or of pieces of text ("text").

        Args:
            progress: progress callback: `(bytes_done, bytes_total)`.

        Raises:
            AnexaError: at the end, if the text has changed since it was scanned.
        """
        fingerprint = _Fingerprint(self.layout)
        for texts in split_documents(self.source(), self.layout):
            fingerprint.update(texts)
            yield texts
            if progress is not None:
                progress(fingerprint.size, self.size)
        if fingerprint.sha256 != self.sha256:
            raise AnexaError(
                f"{self.name} changed while it was read: start again when the file is complete"
            )


class _LeftOut:
    """Counter of what a layout drops from a text: blank lines, spaces, blank documents."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._chunks = self._lines = self._characters = 0  # read so far, minus those that were kept
        self._end = "\n"

    def watch(self, chunks: Iterator[str]) -> Iterator[str]:
        for chunk in chunks:
            self._chunks += 1
            newlines = chunk.count("\n")
            self._lines += newlines
            self._characters += len(chunk) - newlines
            self._end = chunk[-1:] or self._end
            yield chunk
        self._lines += self._end != "\n"  # the last line has no end

    def keep(self, documents: list[str]) -> None:
        self._chunks -= len(documents)
        self._lines -= len(documents)
        self._characters -= sum(map(len, documents))

    def notes(self) -> tuple[str, ...]:
        found: dict[Layout, tuple[tuple[int, str], ...]] = {
            "lines": (
                (self._lines, "blank lines"),
                (self._characters, "spaces at the ends of lines"),
            ),
            "documents": ((self._chunks, "blank documents"),),
            "text": (),
        }
        return tuple(f"left out: {count:,} {what}" for count, what in found[self._layout] if count)


class _Fingerprint:
    """Running size and hash of documents."""

    def __init__(self, layout: Layout) -> None:
        self._digest = hashlib.sha256(layout.encode())
        self._of_documents = layout != "text"
        self.size = 0

    def update(self, texts: list[str]) -> None:
        data = [text.encode("utf-8") for text in texts]
        self.size += sum(map(len, data))
        if self._of_documents:  # lengths too, so that "ab", "c" has another hash than "a", "bc"
            data = [len(document).to_bytes(8, "big") + document for document in data]
        self._digest.update(b"".join(data))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _head(source: Source) -> str:
    """Return the first `LAYOUT_SAMPLE_CHARS` characters of a text, up to the end of a line."""
    head = ""
    for chunk in source():
        head += chunk
        if len(head) >= LAYOUT_SAMPLE_CHARS:
            return head[: head.rfind("\n") + 1] or head
    return head


def read_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"] = "auto",
    options: ReadOptions = DEFAULT_OPTIONS,
    *,
    progress: Progress | None = None,
) -> Documents:
    """Open a corpus, and read it once to validate it.

    Line ends become "\\n", and a byte order mark is removed. A file may have any size; the text
    of a pipe is held in memory, and has at most `MAX_PIPED` bytes.

    Args:
        spec: a name from `CORPORA`, a path, or "-" for standard input. The path is that of a text
            file, or of anything that `open_documents` reads. A registered name takes precedence
            over a file of that name; ./names is the file.
        layout: "lines" (each line is a document, stripped; empty lines are skipped), "text"
            (running text), or "auto": the registry's layout, "documents" if `open_documents` finds
            any, or the result of `guess_layout`.
        options: options for reading documents.
        progress: progress callback of a download: `(bytes_done, bytes_total)`, total None if
            unknown.

    Raises:
        UsageError: if the layout is unknown.
        AnexaError: if the corpus does not exist, cannot be read or downloaded, contains no text,
            is in an unknown encoding, or with the layout "auto" looks like HTML, JSON or a table.
    """
    if layout not in ("auto", "lines", "text"):
        raise UsageError(f"unknown layout {layout!r}: choose auto, lines or text")
    corpus = CORPORA.get(spec)  # no registered name contains a path separator
    assert corpus is None or not corpus.generated, "no text"
    if corpus is not None:
        options.check_unused(f"{corpus.name} is a named corpus")
        source, notes = _registered(corpus, progress)
        chosen = corpus.layout if layout == "auto" else layout
        documents = Documents.scan(corpus.name, chosen, source)
        return replace(documents, notes=notes + documents.notes)
    if spec not in ("-", "") and (layout == "auto" or not has_rows(spec)):
        with _file_errors(spec):
            found = open_documents(spec, options)
        if found is not None:
            return _read_documents(_base_name(spec), layout, found)
    is_piped = spec == "-"
    name = "standard input" if is_piped else _base_name(spec)
    options.check_unused(f"{name} is read as one text")
    source, notes = (_standard_input(name), ()) if is_piped else _file(spec)
    markup = recognize_markup(_head(source), split_name(spec)[1]) if layout == "auto" else None
    if markup is not None:
        raise AnexaError(
            f"{name} looks like {markup}, whose marks would be learned with its texts: "
            f"{_MARKUP_ADVICE[markup]}, or give --layout text to train on it as it is"
        )
    documents = Documents.scan(name, layout, source)
    return replace(documents, notes=(*notes, *documents.notes))


def _read_documents(
    name: str, layout: Literal["auto", "lines", "text"], found: DocumentSource
) -> Documents:
    """Read documents once, to validate them and to count what is left out.

    With the layouts "lines" and "text", they are one text, each from the start of a line.
    """
    source, tally = found.counted()
    if layout == "auto":
        documents = replace(Documents.scan(name, "documents", source), source=found)
    else:
        documents = Documents.scan(name, layout, lambda: _joined(source()))
        documents = replace(documents, source=lambda: _joined(found()))
    return replace(documents, notes=(*tally.notes(), *documents.notes))


def _joined(documents: Iterable[str]) -> Iterator[str]:
    """Yield documents as parts of one text, each with the end of a line."""
    for document in documents:
        yield document if document.endswith("\n") else f"{document}\n"


def _base_name(spec: str) -> str:
    """Return the last part of a path, to show; also of "."."""
    return shown(Path(spec).name or Path(os.path.realpath(spec)).name or spec)


def corpus_source(spec: str) -> str:
    """Make the path of a corpus absolute, so that it is valid from any working directory."""
    return spec if spec in CORPORA or spec == "-" else str(Path(spec).absolute())


def corpus_stem(spec: str) -> str:
    """Return the name of a corpus without the ending of a file: "notes" for notes/, notes.zip."""
    name = Path(spec).name or Path(os.path.realpath(spec)).name
    return name if Path(spec).is_dir() else split_name(name)[0]


def guess_layout(text: str) -> Layout:
    """Guess whether each line of a text is a document ("lines"), or it is running text ("text").

    The layout is "lines" if all of the following hold: the text has at least two lines; a line has
    on average at most four words and forty characters; fewer than 10 % of the lines are indented or
    end in punctuation, as in verse, prose and code; at most 1 % of the lines are blank, apart from
    those at the start and the end.
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


def text_source(spec: str, progress: Progress | None = None) -> tuple[Source, tuple[str, ...]]:
    """Return the reader of a named corpus or of a file, whatever its format, and notes about it.

    Args:
        spec: a name from `CORPORA`, or a path.
        progress: as for `read_corpus`.

    Raises:
        AnexaError: if it does not exist, or cannot be read or downloaded.
    """
    return _registered(CORPORA[spec], progress) if spec in CORPORA else _file(spec)


def _registered(corpus: CorpusInfo, progress: Progress | None) -> tuple[Source, tuple[str, ...]]:
    """Return the source of a registered corpus, and notes about text that it leaves out."""
    if corpus.source is None:
        return _in_memory(_OFFLINE[corpus.name](), corpus.name), ()
    source, _ = _file(str(fetch(corpus, progress)))
    if not corpus.gutenberg:
        return source, ()
    text = "".join(source())
    book = strip_gutenberg(text)
    count = len(text) - len(book)
    note = f"left out: {count:,} characters before and after the book, of Project Gutenberg"
    return _in_memory(book.encode("utf-8"), corpus.name), (note,) if count else ()


def _first_names() -> bytes:
    return (importlib.resources.files("anexa.data") / "firstnames.txt").read_bytes()


def _python_docs() -> bytes:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise AnexaError(
            "this Python was installed without its documentation (the module pydoc_data): "
            "choose another corpus, such as firstnames"
        ) from error
    text = "\n\n".join(topics[topic].strip() for topic in sorted(topics)) + "\n"
    return text.encode("utf-8")


_OFFLINE: dict[str, Callable[[], bytes]] = {
    "firstnames": _first_names,
    "python-docs": _python_docs,
    "garden": garden_jsonl,
}


def _standard_input(name: str) -> Source:
    if sys.stdin is None:  # closed by the parent process
        raise AnexaError("standard input is closed: pipe a text into it, or give a file")
    with _file_errors(name):
        return _piped(sys.stdin.buffer, name)


def _in_memory(data: bytes, where: str) -> Source:
    return lambda: decode_chunks(io.BytesIO(data), where)


def _piped(file: BinaryIO, where: str) -> Source:
    """Read a text that can be read only once, from a pipe, terminal or device, into memory.

    Raises:
        AnexaError: if the input is not text, as soon as a byte shows it, or is too long.
    """
    recorder = _Recorder(file, where)
    for _ in decode_chunks(recorder, where):
        pass
    return _in_memory(recorder.data.getvalue(), where)


class _Recorder:
    """Reader that keeps a copy of all bytes that it reads."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self.data = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        begun = self.data.tell()
        with nullcontext() if begun else announced(f"waiting for the text of {self._where}"):
            data = self._file.read(size if begun else 1)
        self.data.write(data)
        if begun > MAX_PIPED:
            raise AnexaError(
                f"{self._where} does not end within {MAX_PIPED // 2**20:,} MiB: write the text "
                "to a file, and give its path"
            )
        return data


def _file(spec: str) -> tuple[Source, tuple[str, ...]]:
    """Return the source of a text file, and a note about its encoding."""
    path = Path(spec)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with _file_errors(spec), path.open("rb") as file:
            yield file

    with _file_errors(spec):
        if not spec:
            raise _not_found(spec)
        if not path.is_file():
            with announced(f"waiting for a program that writes to {spec}"):
                file = path.open("rb")
            with file:
                return _piped(file, spec), ()
    content = unpacked(Entry(path.name, spec, opened))
    codec = find_codec(content)
    notes = (f"read as {LABELS[codec]}",) if codec in LABELS else ()
    return lambda: text_chunks(content, codec), notes


@contextmanager
def _file_errors(spec: str) -> Iterator[None]:
    """Turn an error of the operating system about a file into one sentence."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:  # ValueError: not a path, such as "\0"
        raise _not_found(spec) from error
    except OSError as error:
        raise AnexaError(
            f"cannot read {spec}: {error.strerror or error}; check the file's permissions"
        ) from error


def _not_found(spec: str) -> AnexaError:
    clause = recognize(spec, "--repo-type dataset ")
    if clause is not None:
        return AnexaError(f"{spec} is not a text file: {clause}")
    close = difflib.get_close_matches(Path(spec).stem.lower(), CORPORA, n=1)
    suggestion = f", perhaps you meant {close[0]}" if close else ""
    return AnexaError(
        f"there is no corpus and no file named {quoted(spec)}{suggestion}: give the path of a text "
        f"file, or one of {', '.join(CORPORA)}"
    )

"""Reader of corpora: a named corpus, a file or standard input as `Documents`."""

from __future__ import annotations

import hashlib
import importlib.resources
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from anexa.data.download import Progress, download_corpus
from anexa.data.garden import generate_garden
from anexa.data.gutenberg import strip_gutenberg
from anexa.data.layout import guess_layout, read_head
from anexa.data.reading import Source, split_documents
from anexa.data.registry import CORPORA, CorpusInfo, Layout
from anexa.data.sources.entries import split_name
from anexa.data.sources.reader import (
    DEFAULT_OPTIONS,
    DocumentSource,
    ReadOptions,
    has_rows,
    open_documents,
)
from anexa.data.textfiles import file_errors, memory_source, open_text_file, read_stdin
from anexa.errors import AnexaError, UsageError
from anexa.formats import recognize_markup
from anexa.names import shown
from anexa.process import announce_if_slow

__all__ = [
    "CORPORA",
    "CorpusInfo",
    "Documents",
    "absolute_corpus_spec",
    "corpus_stem",
    "guess_layout",
    "read_corpus",
]

# What helps against markup that is found in a text.
_MARKUP_ADVICE = {
    "HTML or XML": "write the texts to a file of their own, such as with pandoc -t plain",
    "JSON": (
        "write an object a line to FILE.jsonl, such as with jq -c .[], to train on one of their "
        "fields"
    ),
    "a table": "name it FILE.csv to train on one of its columns",
}


@dataclass(frozen=True)
class Documents:
    """The text of a corpus, as a stream that can be read repeatedly.

    Attributes:
        name: name of the corpus or the file, for messages, or "standard input".
        layout: how the text is divided: "lines", "text" or "documents", as in `read_corpus`.
        size: size of all documents in UTF-8, in bytes, without what the layout leaves out.
        sha256: SHA-256 of the documents and the layout, in hexadecimal; it identifies the corpus.
        source: function that yields the text in chunks, from the start at each call; with the
            layout "documents", a chunk is a document.
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
            source: function that yields the text in chunks, from the start at each call.

        Returns:
            The documents, with their size and hash.

        Raises:
            AnexaError: if the text is blank, or `source` raises it, such as for invalid UTF-8.
        """
        if layout == "auto":
            layout = guess_layout(read_head(source))
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
            AnexaError: at the end, if the text has changed since it was scanned; before, if
                `source` raises it.
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


def read_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"] = "auto",
    options: ReadOptions = DEFAULT_OPTIONS,
    *,
    progress: Progress | None = None,
) -> Documents:
    """Open a corpus, and read it once to validate it.

    Line ends become "\\n", and a byte order mark is removed. A file may have any size; the text
    of a pipe is held in memory, and has at most `MAX_PIPED_BYTES` bytes.

    Args:
        spec: a name from `CORPORA` whose corpus is not `generated`, a path, or "-" for standard
            input, which is read to its end. The path is that of a text file, or of anything that
            `open_documents` reads. A registered name takes precedence over a file of that name;
            ./names is the file.
        layout: "lines" (each line is a document, stripped; empty lines are skipped), "text"
            (running text), or "auto": the registry's layout, "documents" if `open_documents` finds
            any, or the result of `guess_layout`.
        options: options for reading documents from folders, archives and files with rows.
        progress: progress callback of a download: `(bytes_done, bytes_total)`, total None if
            unknown.

    Returns:
        The documents of the corpus, with notes about what is left out.

    Raises:
        UsageError: if the corpus is generated, the layout is unknown, an option has no effect, the
            field is missing, or `pyarrow` is needed but not installed.
        AnexaError: if the corpus does not exist, cannot be read or downloaded, contains no text,
            is in an unknown encoding, or with the layout "auto" looks like HTML, JSON or a table.
    """
    if layout not in ("auto", "lines", "text"):
        raise UsageError(f"unknown layout {layout!r}: choose auto, lines or text")
    corpus = CORPORA.get(spec)  # no registered name contains a path separator
    if corpus is not None:
        options.check_unused(f"{corpus.name} is a named corpus")
        source, notes = _registered(corpus, progress)
        chosen = corpus.layout if layout == "auto" else layout
        documents = Documents.scan(corpus.name, chosen, source)
        return replace(documents, notes=notes + documents.notes)
    if spec not in ("-", "") and (layout == "auto" or not has_rows(spec)):
        with file_errors(spec):
            found = open_documents(spec, options)
        if found is not None:
            return _read_documents(_base_name(spec), layout, found)
    is_piped = spec == "-"
    name = "standard input" if is_piped else _base_name(spec)
    options.check_unused(f"{name} is read as one text")
    source, notes = (read_stdin(name), ()) if is_piped else open_text_file(spec)
    markup = recognize_markup(read_head(source), split_name(spec)[1]) if layout == "auto" else None
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
    with announce_if_slow(f"reading {name} once, to check it"):
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
    """Return the last part of a path, for messages; for ".", the name of that folder."""
    return shown(Path(spec).name or Path(os.path.realpath(spec)).name or spec)


def absolute_corpus_spec(spec: str) -> str:
    """Return a corpus specification that is valid in any working directory.

    A path becomes absolute; a name from `CORPORA` and "-" stay as they are.
    """
    return spec if spec in CORPORA or spec == "-" else str(Path(spec).absolute())


def corpus_stem(spec: str) -> str:
    """Return the last part of a corpus's name or path, without the endings of a file name.

    It is "notes" for notes/, notes.zip and texts/notes.txt.gz.
    """
    name = Path(spec).name or Path(os.path.realpath(spec)).name
    return name if Path(spec).is_dir() else split_name(name)[0]


def open_text_source(spec: str, progress: Progress | None = None) -> tuple[Source, tuple[str, ...]]:
    """Open a named corpus or a file, whatever the format of its text.

    A corpus with a URL is downloaded, unless it is in the cache folder.

    Args:
        spec: a name from `CORPORA` whose corpus is not `generated`, or the path of a file.
        progress: progress callback of a download: `(bytes_done, bytes_total)`, total None if
            unknown.

    Returns:
        A function that yields the text in chunks, from the start at each call; and notes for the
        user, () if there are none.

    Raises:
        UsageError: if the corpus is generated.
        AnexaError: if the file does not exist, or the text cannot be read or downloaded.
    """
    return _registered(CORPORA[spec], progress) if spec in CORPORA else open_text_file(spec)


def _registered(corpus: CorpusInfo, progress: Progress | None) -> tuple[Source, tuple[str, ...]]:
    """Open a registered corpus.

    Args:
        corpus: entry of the corpus in `CORPORA`.
        progress: progress callback of a download: `(bytes_done, bytes_total)`.

    Returns:
        A function that yields the text in chunks, from the start at each call; and notes about text
        that is left out.

    Raises:
        UsageError: if the corpus is generated.
        AnexaError: if it cannot be read or downloaded.
    """
    if corpus.generated:
        raise UsageError(
            f"the corpus {corpus.name} is generated during training and has no text to read: "
            "choose another one"
        )
    if corpus.source is None:
        return memory_source(_OFFLINE[corpus.name](), corpus.name), ()
    source, _ = open_text_file(str(download_corpus(corpus, progress)))
    if not corpus.gutenberg:
        return source, ()
    text = "".join(source())
    book = strip_gutenberg(text)
    count = len(text) - len(book)
    note = f"left out: {count:,} characters before and after the book, of Project Gutenberg"
    return memory_source(book.encode("utf-8"), corpus.name), (note,) if count else ()


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
    "garden": generate_garden,
}

"""Reader of the documents in a folder, an archive or a file with rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from anexa.data.jsonl import BadRowError, read_rows
from anexa.data.reading import BinaryContent
from anexa.data.registry import CORPORA
from anexa.data.sources.archives import archive_entries
from anexa.data.sources.columns import dataset_documents, is_dataset, parquet_documents
from anexa.data.sources.compression import decompressed
from anexa.data.sources.encodings import LABELS
from anexa.data.sources.entries import PROSE_ENDINGS, ROW_FORMATS, Entry, file_entry, name_kind
from anexa.data.sources.fields import choose_field, field_document
from anexa.data.sources.folders import Accept, folder_entries, include_filter, is_row_file
from anexa.data.sources.tables import table_documents
from anexa.data.sources.tally import Tally
from anexa.data.sources.texts import find_codec, read_document, text_chunks
from anexa.errors import AnexaError, UsageError
from anexa.formats import recognize
from anexa.names import quoted, shown

Entries = Callable[[Tally], Iterator[Entry]]
"""Function that yields the entries of a corpus, and counts what it leaves out."""


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading documents.

    Attributes:
        field: name of the field or column with the documents; "" for "text".
        include: patterns of the files that are read from a folder or archive, as in
            `include_filter`; without patterns, the files of prose and source code, or if there are
            none or a field is named, the files with rows.
        skip_bad: whether bad rows and files are left out and counted.
    """

    field: str = ""
    include: tuple[str, ...] = ()
    skip_bad: bool = False

    def for_path(self, spec: str) -> ReadOptions:
        """Return a copy with only the options that have an effect on one of several corpora.

        Args:
            spec: name or path of the corpus.
        """
        path = Path(spec)
        if spec in CORPORA or not path.exists():
            return DEFAULT_OPTIONS
        kind = "archive" if path.is_dir() else name_kind(path.name)
        if kind == "text":
            return DEFAULT_OPTIONS
        if kind != "archive" or is_dataset(path):
            return replace(self, include=())
        is_needed = self.include or (self.field and not _has_texts(path))
        return replace(self, field=self.field if is_needed else "")

    def check_unused(self, reason: str) -> None:
        """Check that no option is given, for a corpus where none has an effect.

        Args:
            reason: clause about why the options have no effect, for the error message.

        Raises:
            UsageError: if an option was given.
        """
        options = {"field": self.field, "include": ", ".join(self.include)}
        for name, value in options.items():
            if value:
                raise UsageError(f"--{name} {quoted(value)} has no effect: {reason}, leave it out")
        if self.skip_bad:
            raise UsageError(f"--skip-bad has no effect: {reason}, leave it out")


DEFAULT_OPTIONS = ReadOptions()  # no option is given


@dataclass(frozen=True)
class DocumentSource:
    """Documents of a corpus, which can be read repeatedly; each reading has its own counts.

    Attributes:
        documents: function that yields the documents, and counts what it leaves out. It raises an
            AnexaError for a bad row or file, unless `options.skip_bad`.
        options: options for reading.
    """

    documents: Callable[[Tally], Iterator[str]] = field(repr=False)
    options: ReadOptions = DEFAULT_OPTIONS

    def __call__(self) -> Iterator[str]:
        """Yield the documents, in the same order at each call."""
        return self.documents(Tally(self.options.skip_bad))

    def counted(self) -> tuple[Callable[[], Iterator[str]], Tally]:
        """Return the documents with a new counter of what is left out.

        Returns:
            Function that yields the documents, to be called once; and the counter that it updates.
        """
        tally = Tally(self.options.skip_bad)
        return lambda: self.documents(tally), tally


def open_documents(spec: str, options: ReadOptions = DEFAULT_OPTIONS) -> DocumentSource | None:
    """Open a folder, an archive or a file with rows, whose documents are read later.

    Args:
        spec: path from the user.
        options: options for reading documents.

    Returns:
        The documents; None if the path is none of these, but may be that of a text file.

    Raises:
        AnexaError: if the folder or archive has no files to read, the archive is damaged, or the
            folder is that of a model or an adapter.
        UsageError: if an option has no effect.
    """
    path, where, column = Path(spec), shown(spec), options.field
    if path.is_dir():
        if is_dataset(path):
            _refuse_include(options, f"{where} is a dataset")
            return DocumentSource(lambda tally: dataset_documents(path, column, tally), options)
        _check_folder(path, where)
        return _many(lambda accept, tally: folder_entries(path, accept, tally), where, options)
    if not path.is_file():
        return None
    kind = name_kind(path.name)
    if kind == "archive":
        return _many(lambda accept, tally: archive_entries(path, accept, tally), where, options)
    if kind == "text":
        return None
    _refuse_include(options, f"{where} is one file")
    entry, codecs = file_entry(path, where=where), dict[str, str]()
    return DocumentSource(lambda tally: _rows(entry, column, codecs, tally), options)


def _has_texts(path: Path) -> bool:
    """Return whether a folder or archive has files that are read as texts, by their endings."""
    entries = folder_entries if path.is_dir() else archive_entries
    return next(entries(path, include_filter(()), Tally(skip_bad=True)), None) is not None


def has_rows(spec: str) -> bool:
    """Return whether a path is a file with rows (a table, JSON Lines or Parquet).

    The ending of its name decides.
    """
    return name_kind(Path(spec).name) in ROW_FORMATS.values() and not Path(spec).is_dir()


def _refuse_include(options: ReadOptions, reason: str) -> None:
    if options.include:
        raise UsageError(
            f"--include {quoted(options.include[0])} has no effect: {reason}, leave it out"
        )


def _check_folder(path: Path, where: str) -> None:
    """Check that a folder of texts is not that of a model or an adapter, given by mistake.

    Raises:
        AnexaError: if it is the folder of a model or an adapter.
    """
    clause = recognize(path)
    if clause is None and (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        clause = "it has the weights of a model: give the folder of the texts"
    if clause is not None:
        raise AnexaError(f"{where} is a folder: {clause}")


def _many(
    entries: Callable[[Accept, Tally], Iterator[Entry]], where: str, options: ReadOptions
) -> DocumentSource:
    """Open the documents of a folder or archive with many files.

    Without patterns, its texts are read; if it has none, or a field is named, its files with rows.

    Raises:
        AnexaError: if it has no files to read.
        UsageError: if a field is named, but no file with rows is read.
    """
    texts = include_filter(options.include)
    candidates = [texts, is_row_file]
    if options.include or options.field:
        candidates = [texts if options.include else is_row_file]
    for accept in candidates:
        tally = Tally(skip_bad=True)
        if next(entries(accept, tally), None) is not None:
            break
    else:
        raise AnexaError(_no_files(where, options, tally))
    if options.field and all(entry.kind == "text" for entry in entries(accept, Tally(True))):
        raise UsageError(
            f"--field {quoted(options.field)} has no effect: {where} has no file with rows "
            "(.jsonl, .csv, .parquet) among those that are read, leave it out"
        )
    codecs: dict[str, str] = {}

    def documents(tally: Tally) -> Iterator[str]:
        for entry in entries(accept, tally):
            if entry.kind == "text":
                yield from _document(entry, tally)
            elif entry.kind == "archive":
                tally.count_left_out("archive in it")
            else:
                tally.add_file_with_rows(entry.path)
                yield from _readable_rows(entry, options.field, codecs, tally)

    return DocumentSource(documents, options)


def _no_files(where: str, options: ReadOptions, tally: Tally) -> str:
    """Build the error message about a folder or archive without files to read."""
    found = "; ".join(tally.notes()) or "it is empty"
    if options.include:
        patterns = ", ".join(map(quoted, options.include))
        return f"{where} has no files that match --include {patterns} ({found}): name others"
    if options.field:
        return f"{where} has no files with rows, such as .jsonl ({found}): leave out --field"
    endings = ", ".join(PROSE_ENDINGS)
    return (
        f"{where} has no files to read ({found}): give a folder with texts ({endings}, or source "
        "code), or name its files with --include, such as --include '*.log'"
    )


def _document(entry: Entry, tally: Tally) -> Iterator[str]:
    """Yield the text of an entry as a document, unless it is binary or unreadable."""
    try:
        yield read_document(decompressed(entry), tally)
    except BinaryContent:
        tally.count_left_out("binary file")
    except UsageError:  # a missing package, not a bad file
        raise
    except AnexaError as error:
        tally.count_bad_file(error)


def _readable_rows(entry: Entry, field: str, codecs: dict[str, str], tally: Tally) -> Iterator[str]:
    """Yield the documents of a file of a folder as `_rows` does, up to where it is damaged.

    Raises:
        AnexaError: without --skip-bad, if the file cannot be read or has a bad row.
    """
    count = 0
    try:
        for document in _rows(entry, field, codecs, tally):
            yield document
            count += 1
    except UsageError:
        raise
    except AnexaError as error:
        if isinstance(error.__cause__, BadRowError):  # it names --skip-bad already
            raise
        tally.count_bad_file(error, entry.path, count)


def _rows(entry: Entry, field: str, codecs: dict[str, str], tally: Tally) -> Iterator[str]:
    """Yield the documents of a file with rows.

    Args:
        entry: file with rows.
        field: name of the field; "" for the default.
        codecs: codecs by `Entry.where` of the files that were read before, so that each file is
            checked once; the codec of this file is added.
        tally: counter of what is left out.
    """
    content = decompressed(entry)
    if entry.kind == "parquet":
        yield from parquet_documents(content, field, tally)
        return
    if entry.where not in codecs:
        codecs[entry.where] = find_codec(content)
    codec = codecs[entry.where]
    if codec in LABELS:
        tally.count_encoding(LABELS[codec])
    chunks = text_chunks(content, codec)
    if entry.kind == "csv":
        tabs = entry.ending == ".tsv"
        yield from table_documents(chunks, field, entry.where, tally, tabs=tabs)
    else:
        yield from _json_documents(chunks, field, entry.where, tally)


def _json_documents(chunks: Iterator[str], field: str, where: str, tally: Tally) -> Iterator[str]:
    """Yield the documents in a field of JSON Lines."""
    bad_rows = tally.row_handler(where, "line")
    name = ""
    for line, fields in read_rows(chunks, bad_rows):
        name = name or choose_field(fields, field, where)
        try:
            if name not in fields:
                raise BadRowError(f"has no field {quoted(name)}")
            document = field_document(fields[name], name)
        except BadRowError as error:
            bad_rows.add(line, error)
        else:
            yield document

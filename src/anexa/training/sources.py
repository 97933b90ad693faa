"""Record of the corpora of a run, in `training/sources.json`: name, weight, hash and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from anexa.data.sources.folders import folder_entries, include_filter, is_text_or_row_file
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError
from anexa.files import read_json, write_json
from anexa.names import counted, escape_markdown, shown
from anexa.training.checkpoint import TrainerState
from anexa.training.corpus import Corpus, TextCorpus
from anexa.training.mixing import MixedCorpus

SOURCES_PATH = Path("training") / "sources.json"  # in a model folder
MAX_LISTED_FILES = 3  # modified files that an error message names


@dataclass(frozen=True)
class SourceRecord:
    """Record of one corpus of a run.

    Attributes:
        name: name of the corpus, for messages.
        weight: weight in the mixture, as the user wrote it; "" if none was given, so that the share
            of the corpus is that of its training sequences.
        sha256: hash of the documents and the layout (not of the file), in hexadecimal.
        size: size of the text in UTF-8, in bytes; 0 if it is generated.
        documents: number of documents of a `TextCorpus`; None for running text and other corpora.
        notes: sentences about the character encoding of files, and about texts that were left out.
    """

    name: str
    weight: str
    sha256: str
    size: int
    documents: int | None
    notes: tuple[str, ...]


def source_records(corpus: Corpus) -> tuple[SourceRecord, ...]:
    """Create the record of a corpus, or of each corpus of a mixture."""
    if isinstance(corpus, MixedCorpus):
        parts = zip(corpus.names, corpus.weights, corpus.corpora)
        return tuple(_record(name, weight, part) for name, weight, part in parts)
    return (_record(corpus.name, "", corpus),)


def _record(name: str, weight: str, corpus: Corpus) -> SourceRecord:
    count = corpus.documents.num_documents if isinstance(corpus, TextCorpus) else None
    return SourceRecord(name, weight, corpus.sha256, corpus.size, count, corpus.notes)


def write_sources(folder: Path, corpus: Corpus) -> None:
    """Write the records of the corpora of a run to its model folder.

    Raises:
        AnexaError: if the file cannot be written.
    """
    records = [asdict(record) for record in source_records(corpus)]
    write_json(folder / SOURCES_PATH, {"sources": records})


def find_changed_source(folder: Path, corpus: Corpus) -> tuple[int, str] | None:
    """Find the first corpus of a run whose text has another hash than its record.

    Args:
        folder: model folder of the run.
        corpus: the corpora as they are now.

    Returns:
        Index of the corpus, and its recorded hash; None if the record is missing or damaged, or no
        hash differs.
    """
    try:
        recorded = [str(record["sha256"]) for record in read_json(folder / SOURCES_PATH)["sources"]]
    except (AnexaError, KeyError, TypeError):
        return None
    for index, (was, now) in enumerate(zip(recorded, source_records(corpus))):
        if was != now.sha256:
            return index, was
    return None


def files_modified_since(folder: Path, source: Path, include: Sequence[str]) -> str:
    """Return the end of a message: which files of a corpus folder changed since a run began.

    They are found by modification time, so one that is copied in with an older time is not named.

    Args:
        folder: model folder of the run, whose record of the corpora was written at its start.
        source: folder of the texts.
        include: patterns of the files that are read; empty for all texts and files with rows.

    Returns:
        A clause such as "; modified or added since: a.txt, b.txt", or one that says that there is
        no such file; "" if the run has no record.

    Raises:
        OSError: if a file is removed meanwhile.
        UsageError: if a pattern can match no file of a folder, such as "../*.md".
    """
    try:
        start = (folder / SOURCES_PATH).stat().st_mtime
    except OSError:
        return ""
    accept = include_filter(include) if include else is_text_or_row_file
    entries = folder_entries(source, accept, Tally(skip_bad=True))
    paths = [entry.path for entry in entries if (source / entry.path).stat().st_mtime > start]
    if not paths:
        return (
            "; no file in it has a later modification time, so some were removed, renamed, or "
            "copied in with an older time"
        )
    more = (
        f" and {counted(len(paths) - MAX_LISTED_FILES, 'other')}"
        if len(paths) > MAX_LISTED_FILES
        else ""
    )
    return f"; modified or added since: {', '.join(map(shown, paths[:MAX_LISTED_FILES]))}{more}"


def losses_by_corpus(corpus: Corpus, state: TrainerState) -> dict[str, float]:
    """Return the validation loss of each corpus of a mixture, of the weights in the model folder.

    Returns:
        The losses in nats per token, by name of the corpus, without the corpora that have no
        validation sequences; empty for a single corpus, or before the first evaluation.
    """
    evaluation = state.kept_evaluation
    if evaluation is None or not isinstance(corpus, MixedCorpus):
        return {}
    losses = zip(corpus.names, evaluation.by_corpus)
    return {name: loss for name, loss in losses if loss is not None}


def sources_table(records: Sequence[SourceRecord], losses: Mapping[str, float]) -> str:
    """Format the records of several corpora as a table in Markdown, between line breaks.

    A single corpus needs no table: the result is "".

    Args:
        records: records of the corpora.
        losses: validation losses by name of the corpus, in nats per token.
    """
    if len(records) < 2:
        return ""
    rows = (
        f"| {escape_markdown(each.name)} | {each.weight or 'by sequences'} | {each.size:,} | "
        f"{'' if each.documents is None else f'{each.documents:,}'} | "
        f"{f'{losses[each.name]:.4f}' if each.name in losses else ''} | `{each.sha256}` |"
        for each in records
    )
    header = (
        "| corpus | weight | bytes | documents | validation loss | SHA-256 (not of the file) |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join(["", header, *rows, ""])

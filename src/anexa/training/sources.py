"""Record of the corpora of a run, in `training/sources.json`: name, weight, hash and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from anexa.errors import AnexaError
from anexa.files import read_json, write_json
from anexa.names import markdown
from anexa.training.checkpoint import TrainerState
from anexa.training.corpus import Corpus, TextCorpus
from anexa.training.mixing import MixedCorpus

SOURCES = Path("training") / "sources.json"  # in a model folder


@dataclass(frozen=True)
class SourceRecord:
    """A corpus of a run.

    Attributes:
        name: name to show.
        weight: weight as it was given; empty: none.
        sha256: hash of its text.
        size: size of its text in UTF-8, in bytes; 0 if it is generated.
        documents: number of its documents; None of running text, or if it is not known.
        notes: sentences about its encoding and what was left out of it.
    """

    name: str
    weight: str
    sha256: str
    size: int
    documents: int | None
    notes: tuple[str, ...]


def source_records(corpus: Corpus) -> tuple[SourceRecord, ...]:
    """Describe a corpus of a run, or each corpus of a mixture."""
    if isinstance(corpus, MixedCorpus):
        parts = zip(corpus.names, corpus.weights, corpus.corpora)
        return tuple(_record(name, weight, part) for name, weight, part in parts)
    return (_record(corpus.name, "", corpus),)


def _record(name: str, weight: str, corpus: Corpus) -> SourceRecord:
    count = corpus.documents.num_documents if isinstance(corpus, TextCorpus) else None
    return SourceRecord(name, weight, corpus.sha256, corpus.size, count, corpus.notes)


def write_sources(folder: Path, corpus: Corpus) -> None:
    """Write the record of the corpora of a run to its folder."""
    records = [asdict(record) for record in source_records(corpus)]
    write_json(folder / SOURCES, {"sources": records})


def changed_source(folder: Path, corpus: Corpus) -> tuple[str, str, str] | None:
    """Find the first corpus of a run whose text is not that of its record.

    Args:
        folder: model folder of the run.
        corpus: the corpora as they are now.

    Returns:
        Its name, its hash in the record and its hash now; None if the record has no such corpus, or
        cannot be read.
    """
    try:
        recorded = [str(record["sha256"]) for record in read_json(folder / SOURCES)["sources"]]
    except (AnexaError, KeyError, TypeError):
        return None
    for was, now in zip(recorded, source_records(corpus)):
        if was != now.sha256:
            return now.name, was, now.sha256
    return None


def losses_by_corpus(corpus: Corpus, state: TrainerState) -> dict[str, float]:
    """Return the validation loss of each corpus of a mixture, by the weights that are kept."""
    evaluation = state.kept_evaluation
    if evaluation is None or not isinstance(corpus, MixedCorpus):
        return {}
    losses = zip(corpus.names, evaluation.by_corpus)
    return {name: loss for name, loss in losses if loss is not None}


def sources_table(records: Sequence[SourceRecord], losses: Mapping[str, float]) -> str:
    """Return a table of several corpora in Markdown; empty for a single one.

    Args:
        records: the corpora.
        losses: validation losses by name, in nats per token.
    """
    if len(records) < 2:
        return ""
    rows = (
        f"| {markdown(each.name)} | {each.weight or 'by size'} | {each.size:,} | "
        f"{'' if each.documents is None else f'{each.documents:,}'} | "
        f"{f'{losses[each.name]:.4f}' if each.name in losses else ''} | `{each.sha256}` |"
        for each in records
    )
    header = (
        "| corpus | weight | bytes | documents | validation loss | SHA-256 |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join(["", header, *rows, ""])

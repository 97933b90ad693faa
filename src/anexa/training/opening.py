"""Opening of the corpora of a run, and reopening of the same ones when it is resumed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from anexa.data import CORPORA, Progress, read_corpus
from anexa.data.conversation_format import has_conversations
from anexa.data.sources.columns import is_dataset
from anexa.data.sources.reader import DEFAULT_OPTIONS, ReadOptions
from anexa.errors import AnexaError, AnexaWarning, UsageError
from anexa.names import shell_path, shown
from anexa.training.corpus import Corpus, TextCorpus
from anexa.training.mixing import MixedCorpus
from anexa.training.sections import DataConfig
from anexa.training.sources import files_modified_since, find_changed_source, source_records
from anexa.training.specs import (
    absolute_corpora,
    can_reopen,
    parse_spec,
    parse_specs,
)


def open_corpora(data: DataConfig, progress: Progress | None = None) -> Corpus:
    """Open the corpus of a run, or all of them as a `MixedCorpus`.

    Args:
        data: names or paths of the corpora, and how to read them.
        progress: progress callback of a corpus download: `(bytes_done, bytes_total)`.

    Returns:
        The corpus.

    Raises:
        UsageError: if the weights of the corpora cannot be used.
        AnexaError: if a corpus cannot be read, or cannot be mixed with the others.
    """
    specs = parse_specs(data.corpus)
    given = ReadOptions(data.field, data.include, data.skip_bad)
    if len(specs) == 1:
        return open_corpus(specs[0].source, data.layout, given, progress)
    for spec in specs:
        if spec.source in CORPORA and CORPORA[spec.source].generated:
            raise AnexaError(
                f"the corpus {spec.source} has a tokenizer of its own and no end, so it cannot be "
                "mixed with others: train on it alone"
            )
    options = [given.for_path(spec.source) for spec in specs]
    _check_used(given, options)
    corpora = [
        open_corpus(spec.source, data.layout, chosen, progress)
        for spec, chosen in zip(specs, options)
    ]
    return MixedCorpus(specs, corpora)


def _check_used(given: ReadOptions, options: Sequence[ReadOptions]) -> None:
    """Check that each option for reading has an effect on at least one of several corpora.

    Args:
        given: options that the user has given.
        options: options that have an effect on each corpus.

    Raises:
        UsageError: if an option has no effect.
    """
    for name, value in vars(given).items():
        if not any(getattr(chosen, name) for chosen in options):
            unused = ReadOptions(**{name: value})
            unused.check_unused("none of the corpora has rows or files to choose from")


def open_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"],
    options: ReadOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
) -> Corpus:
    """Open a corpus of texts or conversations, and read it once to validate it.

    It warns (`AnexaWarning`) if a named corpus hides a file or folder of the same name.

    Args:
        spec: a name from `CORPORA`, a path, or "-" for standard input.
        layout: "lines" (each line is a document), "text" (running text), or "auto": guessed from
            the text.
        options: options for reading documents from folders, archives and files with rows.
        progress: progress callback of a download: `(bytes_done, bytes_total)`, total None if
            unknown.

    Returns:
        The corpus.

    Raises:
        UsageError: if the layout is unknown, or an option has no effect.
        AnexaError: if the corpus does not exist, cannot be read or downloaded, or contains no text.
    """
    if spec in CORPORA and Path(spec).exists():
        kind = "folder" if Path(spec).is_dir() else "file"
        warnings.warn(
            f"{spec} is the named corpus, not the {kind} {spec} in this folder: that is ./{spec}",
            AnexaWarning,
            stacklevel=2,
        )
    if spec in CORPORA and CORPORA[spec].generated:
        # Imported here: it needs jinja2, and plain text does not.
        from anexa.thinking.corpus import ArithmeticCorpus

        options.check_unused(f"{spec} is generated")
        return ArithmeticCorpus()
    # Whoever names a field wants texts.
    if layout == "auto" and not options.field and has_conversations(spec):
        from anexa.training.conversation_corpus import open_conversations  # needs jinja2, too

        return open_conversations(spec, options, progress)
    return TextCorpus(read_corpus(spec, layout, options, progress=progress))


def reopen_corpus(
    data: DataConfig,
    given: str | Sequence[str] | None,
    sha256: str,
    folder: Path,
    progress: Progress | None = None,
) -> Corpus:
    """Open the corpora of a resumed run: texts with the same hash, wherever they are now.

    Args:
        data: names or paths of the corpora in the run, and how to read them.
        given: names or paths that the user has given; None for those of the run.
        sha256: hash of the corpora of the run.
        folder: model folder of the run, for error messages.
        progress: progress callback of a corpus download: `(bytes_done, bytes_total)`.

    Returns:
        The corpus.

    Raises:
        AnexaError: if a corpus is gone or has changed.
        UsageError: if `given` is another text.
    """
    replaced = replace_corpora(data, given)
    stored, several = data.corpus, len(data.corpus) > 1
    files = (
        "files with the same texts, in the same order" if several else "a file with the same text"
    )
    arguments = " ".join(["FILE"] * len(stored))
    advice = f"give {files}: anexa train {arguments} --resume {shell_path(folder)}"
    for spec in parse_specs(stored) if given is None else ():
        if spec.source not in CORPORA and spec.source != "-" and not Path(spec.source).exists():
            raise AnexaError(f"the corpus of this run, {spec.source}, is gone: {advice}")
    try:
        corpus = open_corpora(replaced, progress)
    except AnexaError as error:
        if given or all(spec.source != "-" for spec in parse_specs(stored)):
            raise
        raise AnexaError(f"this run read its text from a pipe, but {error}; {advice}") from error
    if given and corpus.sha256 != sha256:
        reopened = can_reopen(stored)
        words = given if isinstance(given, str) else " ".join(given)
        noun = "corpora" if several else "corpus"
        was = f"the {noun} {shown(' '.join(stored))}" if reopened else "a text from a pipe"
        advice = "leave it out to resume the run" if reopened else advice
        raise UsageError(
            f"this run was started with {was}, not {shown(words)}, whose text is "
            f"another one (its SHA-256 is {corpus.sha256[:12]}…, not {sha256[:12]}…): {advice}, or "
            "start a new run"
        )
    check_corpus_unchanged(corpus, sha256, folder, replaced)
    return corpus


def replace_corpora(data: DataConfig, given: str | Sequence[str] | None) -> DataConfig:
    """Return a copy of the data options of a run, with other paths of its corpora.

    Args:
        data: data options of the run.
        given: names or paths that the user has given; None for those of the run. The weights of the
            run stay if as many corpora are given, and none of them with a weight.

    Returns:
        The copy, with absolute paths; `data` itself if nothing is given.

    Raises:
        UsageError: if the corpora are not valid: see `parse_specs`.
    """
    if not given:
        return data
    stored = parse_specs(data.corpus)
    specs = [parse_spec(text) for text in ([given] if isinstance(given, str) else given)]
    if len(specs) == len(stored) and not any(spec.weight for spec in specs):
        specs = [replace(spec, weight=was.weight) for spec, was in zip(specs, stored)]
    return replace(data, corpus=absolute_corpora(map(str, specs)))


def resume_command(folder: Path, corpora: Sequence[str]) -> str:
    """Return the command line that resumes a run; in it, FILE stands for a text from a pipe.

    Args:
        folder: model folder of the run.
        corpora: corpora of the run, each as `SOURCE` or `SOURCE:WEIGHT`.
    """
    text = "" if can_reopen(corpora) else "FILE "
    return f"anexa train {text}--resume {shell_path(folder)}"


def check_corpus_unchanged(
    corpus: Corpus, sha256: str, folder: Path, data: DataConfig | None = None
) -> None:
    """Check that a corpus, or each one of a mixture, still has the hash that the run recorded.

    Args:
        corpus: corpus as it is now.
        sha256: hash that the run recorded.
        folder: model folder of the run, whose record tells which corpus of a mixture has changed.
        data: where the corpora are, to find the changed files of a folder; None: the error names
            no files.

    Raises:
        AnexaError: if the corpus has changed.
    """
    if corpus.sha256 == sha256:
        return
    index, was = find_changed_source(folder, corpus) or (None, sha256)
    now, files = corpus if index is None else source_records(corpus)[index], ""
    if data is not None and index is not None:
        path = Path(parse_specs(data.corpus)[index].source)
        if path.is_dir() and not is_dataset(path):
            files = files_modified_since(folder, path, data.include)
    raise AnexaError(
        f"the corpus {now.name} has changed since this run was started (its SHA-256 was "
        f"{was[:12]}… and is {now.sha256[:12]}…{files}): restore the old text, or start a new run"
    )

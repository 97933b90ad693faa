"""Parser of the corpora that a run is given: `SOURCE` or `SOURCE:WEIGHT`, such as `a.txt:3`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from anexa.data import absolute_corpus_spec, corpus_stem
from anexa.data.registry import CORPORA
from anexa.errors import UsageError
from anexa.names import shown

# Decimal number; a negative one is matched, too, so that it is refused as a weight.
WEIGHT_PATTERN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


@dataclass(frozen=True)
class CorpusSpec:
    """A corpus of a run, as given on the command line or in a configuration file.

    Attributes:
        source: name or path of the corpus; "-" for standard input.
        weight: weight of the corpus in the mixture of all corpora, as the decimal number that was
            given; "" if none was given.
    """

    source: str
    weight: str = ""

    @property
    def stem(self) -> str:
        """Name of the corpus in the default name of the model folder; "stdin" for "-"."""
        return "stdin" if self.source == "-" else corpus_stem(self.source)

    def __str__(self) -> str:
        return f"{self.source}:{self.weight}" if self.weight else self.source


def parse_spec(text: str) -> CorpusSpec:
    """Parse `SOURCE` or `SOURCE:WEIGHT`; the weight follows the last colon.

    If a file or folder has exactly the name `text`, with the colon, that is the source, and the
    corpus has no weight.
    """
    source, _, weight = text.rpartition(":")
    if not source or not WEIGHT_PATTERN.fullmatch(weight) or _exists(text):
        return CorpusSpec(text)
    return CorpusSpec(source, weight)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # such as a name that is too long for the file system
        return False


def parse_specs(texts: Iterable[str]) -> list[CorpusSpec]:
    """Parse and validate the corpora of a run.

    Args:
        texts: at least one corpus, each as `SOURCE` or `SOURCE:WEIGHT`.

    Returns:
        The corpora in the given order.

    Raises:
        UsageError: if a weight is not above 0, the only corpus has a weight, some corpora have
            weights and others have none, or two corpora have the same source.
    """
    specs = [parse_spec(text) for text in texts]
    for spec in specs:
        if spec.weight and Fraction(spec.weight) <= 0:
            raise UsageError(
                f"the weight of {spec} must be above 0: give another one, or leave this corpus out"
            )
        if spec.weight and len(specs) == 1:
            raise UsageError(
                f"the weight of {spec} has no effect without a second corpus: give {spec.source}"
            )
    unweighted = [spec for spec in specs if not spec.weight]
    if unweighted and len(unweighted) < len(specs):
        raise UsageError(
            f"{unweighted[0]} has no weight, but another corpus has one: give a weight to each, "
            f"such as {unweighted[0]}:1, or to none"
        )
    sources = Counter(absolute_corpus_spec(spec.source) for spec in specs)
    (source, count), *_ = sources.most_common(1)
    if count > 1:
        raise UsageError(f"{shown(source)} is given twice: give it once, with a weight such as :2")
    return specs


def absolute_corpora(texts: Iterable[str]) -> tuple[str, ...]:
    """Make the paths of corpora absolute, so that they are valid from any working directory.

    Args:
        texts: corpora, each as `SOURCE` or `SOURCE:WEIGHT`.

    Returns:
        The same corpora with absolute paths; weights, names of corpora and "-" are unchanged.
    """
    specs = map(parse_spec, texts)
    return tuple(str(CorpusSpec(absolute_corpus_spec(spec.source), spec.weight)) for spec in specs)


def corpora_without_folders(texts: Iterable[str]) -> tuple[str, ...]:
    """Reduce the paths of corpora to file names, so that a published record has no local paths.

    Args:
        texts: corpora, each as `SOURCE` or `SOURCE:WEIGHT`.

    Returns:
        The same corpora with file names; the weights are unchanged.
    """
    specs = map(parse_spec, texts)
    return tuple(str(CorpusSpec(_file_name(spec.source), spec.weight)) for spec in specs)


def _file_name(source: str) -> str:
    name = Path(source).name
    # "./" makes the name a path, not the name of a corpus or an option.
    return f"./{name}" if source != name and (name in CORPORA or name.startswith("-")) else name


def can_reopen(texts: Sequence[str]) -> bool:
    """Return whether all corpora can be read again later by their names or paths.

    Standard input, pipes and files in `/dev` and `/proc` cannot.

    Args:
        texts: corpora, each as `SOURCE` or `SOURCE:WEIGHT`.
    """
    return all(_can_reopen(spec.source) for spec in map(parse_spec, texts))


def _can_reopen(source: str) -> bool:
    path = Path(source)
    is_on_disk = path.is_file() or path.is_dir()
    return source in CORPORA or (is_on_disk and path.parts[1:2] not in (("dev",), ("proc",)))

"""The corpora known by name: what each is, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["lines", "text"]


@dataclass(frozen=True)
class CorpusInfo:
    """A text to train on that is known by its name."""

    name: str
    summary: str
    layout: Layout
    """Either "lines", one document a line, or "text", running text."""
    size: int
    """Bytes, about: a hint for whoever waits for the download."""
    source: str | None = None
    """The URL it is downloaded from; None: it is at hand without a network."""
    sha256: str | None = None
    """Of the file as downloaded; None: the source revises it now and then."""
    gutenberg: bool = False
    """Whether Project Gutenberg's header and footer are to be taken off."""
    generated: bool = False
    """Whether it is made up while training goes on, without end, and so is no text."""

    @property
    def filename(self) -> str:
        """The name of the file in the cache, if it is downloaded."""
        return f"{self.name}.txt"


CORPORA: dict[str, CorpusInfo] = {
    corpus.name: corpus
    for corpus in (
        CorpusInfo(
            name="firstnames",
            summary="given names from many languages, one a line; comes with Anexa",
            layout="lines",
            size=83_000,
        ),
        CorpusInfo(
            name="python-docs",
            summary="the language reference inside Python itself; differs between versions",
            layout="text",
            size=500_000,
        ),
        CorpusInfo(
            name="arithmetic",
            summary="sums, and stories about them, with every step thought out; without end",
            layout="lines",
            size=0,
            generated=True,
        ),
        CorpusInfo(
            name="names",
            summary="32,033 first names, one a line, from makemore",
            layout="lines",
            size=228_145,
            source="https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
            sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        ),
        CorpusInfo(
            name="shakespeare",
            summary="40,000 lines of Shakespeare's plays, from char-rnn",
            layout="text",
            size=1_115_394,
            source=(
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/"
                "data/tinyshakespeare/input.txt"
            ),
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
        CorpusInfo(
            name="sherlock",
            summary="The Adventures of Sherlock Holmes, from Project Gutenberg",
            layout="text",
            size=600_000,
            source="https://www.gutenberg.org/cache/epub/1661/pg1661.txt",
            gutenberg=True,
        ),
    )
}


def without_network() -> str:
    """The names of the texts that need no download, for messages."""
    texts = (corpus for corpus in CORPORA.values() if not corpus.generated)
    return " or ".join(corpus.name for corpus in texts if corpus.source is None)

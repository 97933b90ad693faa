"""Registry of named corpora."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["lines", "text", "documents"]
"""How the text of a corpus is divided: "lines", one document a line; "text", running text;
"documents", documents of any number of lines."""


@dataclass(frozen=True)
class CorpusInfo:
    """Entry of a named corpus in the registry.

    Attributes:
        name: name for `anexa train NAME`.
        summary: one line of description, shown by `anexa corpora`.
        layout: "lines", one document or conversation a line, or "text", running text.
        size: approximate size in bytes; 0 for a generated corpus.
        source: URL of the download; None if the corpus is available offline.
        sha256: SHA-256 of the download; None if the source revises the file now and then.
        gutenberg: whether Project Gutenberg's header and footer are removed.
        generated: whether the examples are generated during training, without end.
        conversations: whether each line is a conversation, as a JSON object.
    """

    name: str
    summary: str
    layout: Layout
    size: int
    source: str | None = None
    sha256: str | None = None
    gutenberg: bool = False
    generated: bool = False
    conversations: bool = False

    @property
    def filename(self) -> str:
        """Name of the downloaded file in the cache."""
        return f"{self.name}.txt"


# The named corpora, by name.
CORPORA: dict[str, CorpusInfo] = {
    corpus.name: corpus
    for corpus in (
        CorpusInfo(
            name="firstnames",
            summary="given names from many languages, one a line; part of the package",
            layout="lines",
            size=83_000,
        ),
        CorpusInfo(
            name="python-docs",
            summary="Python's own language reference, of the installed version",
            layout="text",
            size=500_000,
        ),
        CorpusInfo(
            name="arithmetic",
            summary="generated arithmetic problems and word problems with thoughts; endless",
            layout="lines",
            size=0,
            generated=True,
        ),
        CorpusInfo(
            name="garden",
            summary="6,000 generated conversations with the assistant of a made-up garden",
            layout="lines",
            size=2_140_000,
            conversations=True,
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


def offline_corpora() -> str:
    """Return the names of the text corpora that need no download, joined by "or", for messages."""
    texts = (c for c in CORPORA.values() if not (c.generated or c.conversations))
    return " or ".join(corpus.name for corpus in texts if corpus.source is None)

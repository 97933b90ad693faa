"""A corpus as a run needs it: a tokenizer, and rows to train on and to validate with."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Literal, Protocol

from anexa.data import CORPORA, Documents, Progress, read_corpus
from anexa.data.batches import Dataset, split
from anexa.data.tokens import tokenize
from anexa.errors import AnexaError, UsageError
from anexa.files import read_bytes
from anexa.model.folder import TOKENIZER, ModelFolder
from anexa.model.model import TEMPERATURE
from anexa.model.tokenizer import MIN_BPE_VOCAB, Tokenizer

MOST_BYTES = 1_000_000  # ids of byte-level BPE; of so many, most would never be seen
# Bytes of text that BPE is trained on, at most. Where nearly all words differ, as in languages that
# put no spaces between them, it takes 70 times as much memory.
SAMPLE = 8 * 2**20


class Corpus(Protocol):
    """What a run trains on.

    Attributes:
        name: of the corpus.
        sha256: shows whether it has changed.
        chat_template: of a corpus of conversations.
        prompt: what samples begin with.
        temperature: that its models are best used with.
        max_new_tokens: as many as their answers may need, if they answer.
    """

    name: str
    chat_template: str | None
    prompt: str
    temperature: float
    max_new_tokens: int | None

    @property
    def sha256(self) -> str:
        """See above."""

    def tokenizer(self, spec: str) -> Tokenizer:
        """The tokenizer that `spec` means: see `tokenizer_for`."""

    def rows(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Rows to train on, and rows to validate with: see `prepare`."""


class TextCorpus:
    """A text, as a `Corpus`."""

    chat_template: str | None = None
    prompt = ""
    temperature = TEMPERATURE
    max_new_tokens: int | None = None

    def __init__(self, documents: Documents) -> None:
        self.name, self.sha256 = documents.name, documents.sha256
        self._documents = documents

    def tokenizer(self, spec: str) -> Tokenizer:
        """See `Corpus`."""
        return tokenizer_for(spec, self._documents)

    def rows(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """See `Corpus`."""
        return prepare(self._documents, tokenizer, block_size, seed, progress)


def open_corpus(
    spec: str, layout: Literal["auto", "lines", "text"], progress: Progress | None = None
) -> Corpus:
    """The corpus that `spec` means: see `anexa.data.read_corpus`."""
    if spec in CORPORA and CORPORA[spec].generated:
        from anexa.thinking.corpus import (
            ArithmeticCorpus,
        )  # needs jinja2, which plain text does not

        return ArithmeticCorpus()
    return TextCorpus(read_corpus(spec, layout, progress=progress))


def prepare(
    documents: Documents,
    tokenizer: Tokenizer,
    block_size: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Dataset, Dataset]:
    """Encode a corpus, split it, and make rows of it: to train on, and to validate with.

    Args:
        documents: the corpus.
        tokenizer: from `tokenizer_for`, or the model's own where a run goes on.
        block_size: so many tokens of a row are predicted, at most.
        seed: of the split and of the order of rows.
        progress: is told how far the encoding is: bytes of text so far, and in all.

    Raises:
        AnexaError: there is too little to train on, or `tokenize` has met a hindrance.
    """
    training, validation = split(tokenize(documents, tokenizer, progress), block_size, seed)
    training.batch(0, 1)  # a text that is too short is said before anything is computed
    return training, validation


def tokenizer_for(spec: str, documents: Documents) -> Tokenizer:
    """The tokenizer that `spec` means, for prompts as the documents' layout has them.

    `spec` is "char", one id for each character of the documents; "bpe:4096", byte-level BPE with
    that many ids, or as many as come about, trained on at most 8 MiB, spread evenly over them;
    or the path of a `tokenizer.json` or of a folder with one in it.

    Raises:
        AnexaError: there is no such file, or no tokenizer with a boundary symbol in it.
        UsageError: a number of ids that no tokenizer can have.
    """
    adds_bos = documents.layout == "lines"
    if spec == "char":
        return Tokenizer.from_characters(map("".join, documents.groups()), adds_bos)
    vocab_size = bpe_size(spec)
    if vocab_size is not None:
        every = -(-documents.size // SAMPLE)
        texts = chain.from_iterable(islice(documents.groups(), 0, None, every))
        return Tokenizer.train_bpe(texts, vocab_size, adds_bos)
    check_tokenizer(spec)
    path = Path(spec)
    try:
        if path.is_dir() or path.name == TOKENIZER:  # what ends a text stands beside it
            folder = path if path.is_dir() else path.parent
            return ModelFolder(folder).tokenizer.with_bos(adds_bos)
        text = read_bytes(path).decode("utf-8", errors="replace")
        return Tokenizer.from_json(text).with_bos(adds_bos)
    except AnexaError as error:
        raise AnexaError(f"--tokenizer {spec}: {error}") from error


def check_tokenizer(spec: str) -> None:
    """Refuse what `tokenizer_for` would, as far as that shows without the documents.

    Raises:
        AnexaError: there is no such file.
        UsageError: a number of ids that no tokenizer can have.
    """
    if spec != "char" and bpe_size(spec) is None and not Path(spec).exists():
        raise AnexaError(
            f"there is no tokenizer {spec!r}: --tokenizer is char, bpe:4096 or another number, or "
            "the path of a tokenizer.json or of a model folder"
        )


def bpe_size(spec: str) -> int | None:
    """The number in "bpe:4096", or None if `spec` is of another kind.

    Raises:
        UsageError: no tokenizer can have so many ids.
    """
    if not spec.startswith("bpe:"):
        return None
    digits = spec.removeprefix("bpe:")
    if digits.isdecimal() and len(digits) < 9 and MIN_BPE_VOCAB <= int(digits) <= MOST_BYTES:
        return int(digits)
    raise UsageError(
        f"--tokenizer {spec}: BPE needs a number of tokens from {MIN_BPE_VOCAB}, which are the "
        f"bytes and a boundary, to {MOST_BYTES}, as in bpe:4096"
    )


def check_unchanged(corpus: Corpus | Documents, sha256: str) -> None:
    """Make sure that a corpus has the hash that it had.

    Raises:
        AnexaError: it has another.
    """
    if corpus.sha256 != sha256:
        raise AnexaError(
            f"the corpus {corpus.name} has changed since this training began (it was sha256 "
            f"{sha256[:12]}…, now {corpus.sha256[:12]}…): put the old text back, or start a "
            "new training"
        )

"""Corpora of a training run: the tokenizer, and the training and validation datasets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from anexa.data import CORPORA, Documents, Layout, Progress, read_corpus
from anexa.data.batches import Dataset
from anexa.data.conversation_format import has_conversations
from anexa.data.duplicates import deduplicate
from anexa.data.sources.reader import DEFAULT_OPTIONS, ReadOptions
from anexa.data.splitting import split
from anexa.data.tokens import tokenize
from anexa.errors import AnexaError, AnexaWarning, UsageError
from anexa.files import read_bytes
from anexa.formats import recognize
from anexa.model.folder import TOKENIZER, ModelFolder
from anexa.model.model import TEMPERATURE
from anexa.model.tokenizer import MIN_BPE_VOCAB, Tokenizer
from anexa.names import quoted
from anexa.training.config import DataConfig

if TYPE_CHECKING:
    from anexa.training.config import DataConfig

MAX_UNKNOWN = 0.01  # fraction of unknown characters above which a tokenizer is refused
MAX_BPE_VOCAB = 1_000_000  # maximum vocabulary size of BPE: larger ones would hardly be used
# Maximum bytes of text that BPE is trained on. If nearly all words differ, as in languages without
# spaces between words, BPE needs 70 times as much memory.
BPE_SAMPLE = 8 * 2**20


class Corpus(Protocol):
    """Corpus of a training run.

    Attributes:
        name: name of the corpus.
        chat_template: chat template of a corpus of conversations; None for plain text.
        notes: sentences about text that is left out of the corpus.
        size: size of the text in UTF-8, in bytes; 0 if it is generated.
        prompt: prompt of the samples that are generated during training.
        temperature: recommended sampling temperature of models trained on the corpus.
        max_new_tokens: recommended maximum number of tokens of their answers; None: none.
    """

    name: str
    notes: tuple[str, ...]
    size: int
    temperature: float
    max_new_tokens: int | None

    @property
    def chat_template(self) -> str | None:
        """See the class."""

    @property
    def prompt(self) -> str:
        """See the class."""

    @property
    def sha256(self) -> str:
        """Hash of the corpus, which shows whether it has changed."""

    def tokenizer(self, spec: str) -> Tokenizer:
        """Make the tokenizer for a specification; see `make_tokenizer`."""

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> Corpus:
        """Return the corpus for a model that exists, with its own chat template if it has one.

        Raises:
            AnexaError: if the model cannot be trained on the corpus.
        """

    def unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Count unknown and all characters, as `Tokenizer.count_unknown` does."""

    def datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Make the training and the validation dataset; see `make_datasets`."""


class Texts(Protocol):
    """Texts that a tokenizer is made from, such as `Documents`.

    Attributes:
        layout: how the texts are divided.
        size: size in UTF-8, in bytes.
    """

    @property
    def layout(self) -> Layout:
        """See the class."""

    @property
    def size(self) -> int:
        """See the class."""

    def groups(self) -> Iterator[list[str]]:
        """Yield lists of documents, or of pieces of running text."""


class TextCorpus:
    """Corpus of plain text.

    Args:
        documents: the text.

    Attributes:
        documents: the text.
    """

    special_tokens: Sequence[str] = ()
    chat_template: str | None = None
    prompt = ""
    temperature = TEMPERATURE
    max_new_tokens: int | None = None

    def __init__(self, documents: Documents) -> None:
        self.name, self.sha256 = documents.name, documents.sha256
        self.notes, self.size = documents.notes, documents.size
        self.documents = documents

    def tokenizer(self, spec: str) -> Tokenizer:
        """Implement `Corpus.tokenizer`."""
        return make_tokenizer(spec, self.documents)

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> Corpus:  # noqa: ARG002
        """Implement `Corpus.for_model`: a text is the same for every model."""
        return self

    def unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Implement `Corpus.unknown`."""
        return tokenizer.count_unknown(map("".join, self.documents.groups()))

    def datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Implement `Corpus.datasets`."""
        return make_datasets(self.documents, tokenizer, block_size, seed, progress)


def open_corpus(
    spec: str,
    layout: Literal["auto", "lines", "text"],
    options: ReadOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
) -> Corpus:
    """Open a corpus by name or path; arguments and errors are those of `read_corpus`."""
    if spec in CORPORA and Path(spec).is_file():
        warnings.warn(
            f"{spec} is the named corpus, not the file {spec} in this folder: that is ./{spec}",
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


def make_datasets(
    documents: Documents,
    tokenizer: Tokenizer,
    block_size: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Dataset, Dataset]:
    """Encode a corpus, and split it into a training and a validation dataset, without duplicates.

    Args:
        documents: the corpus.
        tokenizer: tokenizer of the model.
        block_size: maximum number of predicted tokens in a sequence.
        seed: random seed of the split and of the order of the sequences.
        progress: progress callback of the encoding: `(bytes_done, bytes_total)`.

    Raises:
        AnexaError: if the corpus is too short, has changed, or its tokens cannot be cached.
    """
    tokens = tokenize(documents, tokenizer, progress)
    training, validation = deduplicate(*split(tokens, block_size, seed))
    training.batch(0, 1)  # raises if the text is too short, before anything is computed
    return training, validation


def tokenizer_notes(corpus: Corpus, data: DataConfig, tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return notes about unknown characters, the sample that BPE is trained on, and its size.

    Raises:
        AnexaError: if too many characters are unknown; see `unknown_note`.
    """
    if data.has_foreign_tokenizer:
        return unknown_note(corpus, tokenizer, data.allow_unknown)
    wanted, notes = bpe_size(data.tokenizer), []
    if wanted is not None and corpus.size > BPE_SAMPLE:
        notes.append(
            f"the tokenizer is trained on {BPE_SAMPLE // 2**20} MiB, spread evenly over the "
            f"{corpus.size // 2**20:,} MiB of the corpus"
        )
    if wanted is not None and tokenizer.vocab_size < wanted:
        notes.append(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens, not {wanted:,}: no other pairs of "
            "them occur twice in the words of the corpus"
        )
    return tuple(notes)


def unknown_note(corpus: Corpus, tokenizer: Tokenizer, allowed: bool) -> tuple[str, ...]:
    """Say how many characters of a corpus a tokenizer made elsewhere does not know.

    Args:
        corpus: the corpus, its training and its validation part.
        tokenizer: the tokenizer.
        allowed: whether there may be more than `MAX_UNKNOWN` of them.

    Raises:
        AnexaError: if there are more of them, and this is not allowed.
    """
    unknown, total = corpus.unknown(tokenizer)
    count = sum(unknown.values())
    if not count:
        return ()
    often = sorted(unknown, key=unknown.__getitem__, reverse=True)
    listed = ", ".join(map(repr, often[:5])) + (", …" if len(often) > 5 else "")
    sentence = (
        f"{count:,} of {total:,} characters ({max(count / total, 1e-4):.2%}) are not in the "
        f"vocabulary of the tokenizer: {listed}"
    )
    if count > MAX_UNKNOWN * total and not allowed:
        raise AnexaError(
            f"{corpus.name} does not fit the tokenizer: {sentence}; choose another --tokenizer (or "
            "model, with --from), or have them replaced with --allow-unknown"
        )
    return (f"{sentence}; they are replaced by its token for unknown characters, or left out",)


def make_tokenizer(spec: str, documents: Texts, special_tokens: Sequence[str] = ()) -> Tokenizer:
    """Make or load the tokenizer for a specification.

    Args:
        spec: "char" for a token per character of the corpus; "bpe:4096" for byte-level BPE with a
            vocabulary of at most 4096 tokens, trained on at most 8 MiB spread evenly over the
            corpus; or the path of a `tokenizer.json` or of a model folder.
        documents: the corpus; with the layout "lines", the tokenizer adds BOS to prompts.
        special_tokens: tokens of a chat template, which the tokenizer gets besides.

    Raises:
        AnexaError: if the file does not exist, or has no token that ends a text.
        UsageError: if the vocabulary size is out of range.
    """
    adds_bos = documents.layout == "lines"
    if spec == "char":
        groups = map("".join, documents.groups())
        return Tokenizer.from_characters(groups, adds_bos, special_tokens)
    vocab_size = bpe_size(spec)
    least = MIN_BPE_VOCAB + len(special_tokens)
    if vocab_size is not None and vocab_size < least:
        raise UsageError(
            f"--tokenizer {spec}: the vocabulary of conversations has at least {least} tokens: the "
            "bytes and those of the template"
        )
    if vocab_size is not None:
        every = -(-documents.size // BPE_SAMPLE)
        texts = chain.from_iterable(islice(documents.groups(), 0, None, every))
        return Tokenizer.train_bpe(texts, vocab_size, adds_bos, special_tokens)
    tokenizer = load_tokenizer(spec, adds_bos)
    return tokenizer.with_added_tokens(special_tokens) if special_tokens else tokenizer


def load_tokenizer(spec: str, adds_bos: bool) -> Tokenizer:
    """Load the tokenizer of `--tokenizer`.

    Args:
        spec: path of a `tokenizer.json` or of a model folder.
        adds_bos: whether the tokenizer adds BOS to prompts.

    Raises:
        AnexaError: if the file does not exist, or has no token that ends a text.
    """
    check_tokenizer_spec(spec)
    path = Path(spec)
    clause = recognize(spec)
    if clause is not None:
        raise AnexaError(f"--tokenizer {spec} is not a tokenizer: {clause}")
    try:
        if (
            path.is_dir() or path.name == TOKENIZER
        ):  # files beside it name the token that ends a text
            folder = path if path.is_dir() else path.parent
            return ModelFolder(folder).tokenizer.with_bos(adds_bos)
        text = read_bytes(path).decode("utf-8", errors="replace")
        return Tokenizer.from_json(text).with_bos(adds_bos)
    except AnexaError as error:
        raise AnexaError(f"--tokenizer {spec}: {error}") from error


def check_tokenizer_spec(spec: str) -> None:
    """Check a tokenizer specification without the corpus.

    Raises:
        AnexaError: if the file does not exist.
        UsageError: if the vocabulary size is out of range.
    """
    if spec == "char" or bpe_size(spec) is not None or (spec and Path(spec).exists()):
        return
    clause = recognize(spec)
    if clause is not None:
        raise AnexaError(f"--tokenizer {spec} is not a tokenizer: {clause}")
    raise AnexaError(
        f"there is no tokenizer {quoted(spec)}: --tokenizer is char, bpe:4096 or another number, "
        "or the path of a tokenizer.json or of a model folder"
    )


def tokenizer_source(spec: str) -> str:
    """Make the path of a tokenizer absolute, so that it is valid from any working directory."""
    return spec if spec == "char" or bpe_size(spec) else str(Path(spec).absolute())


def bpe_size(spec: str) -> int | None:
    """Parse the vocabulary size in "bpe:4096"; None for any other specification.

    Raises:
        UsageError: if the vocabulary size is out of range.
    """
    if not spec.startswith("bpe:"):
        return None
    digits = spec.removeprefix("bpe:")
    if digits.isdecimal() and len(digits) < 9 and MIN_BPE_VOCAB <= int(digits) <= MAX_BPE_VOCAB:
        return int(digits)
    raise UsageError(
        f"--tokenizer {spec}: the vocabulary size of BPE must be from {MIN_BPE_VOCAB} (all bytes "
        f"and the end-of-text token) to {MAX_BPE_VOCAB}, as in bpe:4096"
    )

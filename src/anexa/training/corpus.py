"""Corpora of a training run: the tokenizer, and the training and validation datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anexa.data import Documents, Progress
from anexa.data.batches import Dataset
from anexa.data.duplicates import deduplicate
from anexa.data.splitting import split
from anexa.data.tokens import tokenize
from anexa.errors import AnexaError
from anexa.model.model import TEMPERATURE
from anexa.model.tokenizer import Tokenizer
from anexa.training.sections import DataConfig
from anexa.training.tokenizers import BPE_SAMPLE, bpe_size, make_tokenizer

MAX_UNKNOWN = 0.01  # fraction of unknown characters above which a tokenizer is refused


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

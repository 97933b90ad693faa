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
from anexa.model.model import DEFAULT_TEMPERATURE
from anexa.model.tokenizer import Tokenizer
from anexa.training.sections import DataConfig
from anexa.training.tokenizers import BPE_SAMPLE, bpe_vocab_size, make_tokenizer

MAX_UNKNOWN_FRACTION = 0.01  # fraction of unknown characters above which a tokenizer is refused


class Corpus(Protocol):
    """Protocol of the corpus of a training run.

    Attributes:
        name: name of the corpus.
        chat_template: chat template of a corpus of conversations; None for plain text.
        notes: sentences about text that is left out of the corpus.
        size: size of the text in UTF-8, in bytes; 0 if it is generated.
        sample_prompt: prompt of the samples that are generated during training.
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
        """Chat template of a corpus of conversations; None for plain text."""

    @property
    def sample_prompt(self) -> str:
        """Prompt of the samples that are generated during training."""

    @property
    def sha256(self) -> str:
        """Hash of the corpus, in hexadecimal, which shows whether the corpus has changed."""

    def make_tokenizer(self, spec: str) -> Tokenizer:
        """Make or load the tokenizer of a new model.

        Args:
            spec: specification, such as "char" or "bpe:4096", as in `make_tokenizer`.

        Raises:
            AnexaError: if the specification is not valid, or the file does not exist or is no
                tokenizer.
        """

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> Corpus:
        """Return the corpus for a model that exists, with its own chat template if it has one.

        Args:
            tokenizer: tokenizer of the model.
            chat_template: chat template of the model; None if it has none.

        Raises:
            AnexaError: if the model cannot be trained on the corpus.
        """

    def count_unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Count the characters that a tokenizer does not know.

        Returns:
            The occurrences of each unknown character, and of all characters together.
        """

    def make_datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Encode the corpus, and split it into a training and a validation dataset.

        Args:
            tokenizer: tokenizer of the model.
            block_size: maximum number of predicted tokens in a sequence.
            seed: random seed of the split and of the order of the sequences.
            progress: progress callback of the encoding: `(bytes_done, bytes_total)`.

        Raises:
            AnexaError: if the corpus cannot be encoded, or is too short to be split.
        """


class TextCorpus:
    """Corpus of plain text; implements `Corpus`.

    Args:
        documents: documents or running text of the corpus.

    Attributes:
        documents: documents or running text of the corpus.
    """

    special_tokens: Sequence[str] = ()
    chat_template: str | None = None
    sample_prompt = ""
    temperature = DEFAULT_TEMPERATURE
    max_new_tokens: int | None = None

    def __init__(self, documents: Documents) -> None:
        self.name, self.sha256 = documents.name, documents.sha256
        self.notes, self.size = documents.notes, documents.size
        self.documents = documents

    def make_tokenizer(self, spec: str) -> Tokenizer:
        """Make or load the tokenizer of a new model, as `make_tokenizer` does."""
        return make_tokenizer(spec, self.documents)

    def for_model(self, tokenizer: Tokenizer, chat_template: str | None) -> Corpus:  # noqa: ARG002
        """Return the corpus itself: a text is the same for every model."""
        return self

    def count_unknown(self, tokenizer: Tokenizer) -> tuple[dict[str, int], int]:
        """Count the characters that a tokenizer does not know, and all characters."""
        return tokenizer.count_unknown(map("".join, self.documents.groups()))

    def make_datasets(
        self, tokenizer: Tokenizer, block_size: int, seed: int, progress: Progress | None = None
    ) -> tuple[Dataset, Dataset]:
        """Encode the text, and split it into a training and a validation dataset.

        Raises:
            AnexaError: if the corpus is too short, has changed, or its tokens cannot be cached.
        """
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
        documents: documents or running text of the corpus.
        tokenizer: tokenizer of the model.
        block_size: maximum number of predicted tokens in a sequence.
        seed: random seed of the split and of the order of the sequences.
        progress: progress callback of the encoding: `(bytes_done, bytes_total)`.

    Returns:
        The training dataset and the validation dataset.

    Raises:
        AnexaError: if the corpus is too short, has changed, or its tokens cannot be cached.
    """
    tokens = tokenize(documents, tokenizer, progress)
    training, validation = deduplicate(*split(tokens, block_size, seed))
    training.batch(0, 1)  # raises if the text is too short, before anything is computed
    return training, validation


def tokenizer_notes(corpus: Corpus, data: DataConfig, tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return notes for the user about the tokenizer of a corpus.

    They are about unknown characters, which are counted in the whole corpus; the sample that BPE is
    trained on; and its vocabulary size. If there is nothing to say, the tuple is empty.

    Raises:
        AnexaError: if more than `MAX_UNKNOWN_FRACTION` of the characters are unknown, and this is
            not allowed.
    """
    if data.has_foreign_tokenizer:
        return unknown_character_notes(corpus, tokenizer, data.allow_unknown)
    wanted, notes = bpe_vocab_size(data.tokenizer), []
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


def unknown_character_notes(corpus: Corpus, tokenizer: Tokenizer, allowed: bool) -> tuple[str, ...]:
    """Return a note about characters that a tokenizer from elsewhere does not know.

    Args:
        corpus: training and validation part of the corpus together.
        tokenizer: tokenizer that was not made from the corpus.
        allowed: whether more than `MAX_UNKNOWN_FRACTION` of all characters may be unknown.

    Returns:
        A tuple of one sentence; empty if all characters are known.

    Raises:
        AnexaError: if more than `MAX_UNKNOWN_FRACTION` are unknown, and this is not allowed.
    """
    unknown, total = corpus.count_unknown(tokenizer)
    count = sum(unknown.values())
    if not count:
        return ()
    often = sorted(unknown, key=unknown.__getitem__, reverse=True)
    listed = ", ".join(map(repr, often[:5])) + (", …" if len(often) > 5 else "")
    sentence = (
        f"{count:,} of {total:,} characters ({max(count / total, 1e-4):.2%}) are not in the "
        f"vocabulary of the tokenizer: {listed}"
    )
    if count > MAX_UNKNOWN_FRACTION * total and not allowed:
        raise AnexaError(
            f"{corpus.name} does not fit the tokenizer: {sentence}; choose another --tokenizer (or "
            "model, with --from), or have them replaced with --allow-unknown"
        )
    return (f"{sentence}; they are replaced by its token for unknown characters, or left out",)

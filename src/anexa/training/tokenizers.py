"""Tokenizers of a training run: trained on its texts, or loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from anexa.data import Layout
from anexa.errors import AnexaError, UsageError
from anexa.files import read_bytes
from anexa.formats import recognize
from anexa.model.folder import TOKENIZER_FILE
from anexa.model.loading import open_folder
from anexa.model.tokenizer import MIN_BPE_VOCAB, Tokenizer
from anexa.names import quoted

MAX_BPE_VOCAB = 1_000_000  # maximum vocabulary size of BPE: larger ones would hardly be used
# Maximum bytes of text that BPE is trained on. If nearly all words differ, as in languages without
# spaces between words, BPE needs 70 times as much memory.
BPE_SAMPLE = 8 * 2**20


class Texts(Protocol):
    """Protocol of the texts that a tokenizer is made from, such as `Documents`.

    Attributes:
        layout: how the texts are divided: "lines", "text" or "documents".
        size: size of the texts in UTF-8, in bytes.
    """

    @property
    def layout(self) -> Layout:
        """How the texts are divided: "lines", "text" or "documents"."""

    @property
    def size(self) -> int:
        """Size of the texts in UTF-8, in bytes."""

    def groups(self) -> Iterator[list[str]]:
        """Yield lists of documents, or of pieces of running text, from the start of the corpus."""


def make_tokenizer(spec: str, documents: Texts, special_tokens: Sequence[str] = ()) -> Tokenizer:
    """Train a tokenizer on a corpus, or load one, by a specification.

    Args:
        spec: "char" for a token per character of the corpus; "bpe:4096" for byte-level BPE with a
            vocabulary of at most 4096 tokens, trained on at most 8 MiB spread evenly over the
            corpus; or the path of a `tokenizer.json` or of a model folder.
        documents: texts of the corpus; with the layout "lines", the tokenizer adds BOS to prompts.
        special_tokens: tokens of a chat template that are added to the vocabulary; default: none.

    Returns:
        The tokenizer, with the special tokens of the template.

    Raises:
        AnexaError: if the file does not exist, is no tokenizer, or has no end-of-text token.
        UsageError: if the vocabulary size is out of range.
    """
    adds_bos = documents.layout == "lines"
    if spec == "char":
        groups = map("".join, documents.groups())
        return Tokenizer.from_characters(groups, adds_bos, special_tokens)
    vocab_size = bpe_vocab_size(spec)
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
    """Load the tokenizer in a file or model folder.

    Args:
        spec: path of a `tokenizer.json` or of a model folder.
        adds_bos: whether the tokenizer adds BOS to prompts.

    Raises:
        AnexaError: if the file does not exist, is no tokenizer, or has no end-of-text token.
    """
    check_tokenizer_spec(spec)
    path = Path(spec)
    clause = recognize(spec)
    if clause is not None:
        raise AnexaError(f"--tokenizer {spec} is not a tokenizer: {clause}")
    try:
        if (
            path.is_dir() or path.name == TOKENIZER_FILE
        ):  # files beside it name the token that ends a text
            folder = path if path.is_dir() else path.parent
            return open_folder(folder).tokenizer.with_bos(adds_bos)
        text = read_bytes(path).decode("utf-8", errors="replace")
        return Tokenizer.from_json(text).with_bos(adds_bos)
    except AnexaError as error:
        raise AnexaError(f"--tokenizer {spec}: {error}") from error


def check_tokenizer_spec(spec: str) -> None:
    """Check the specification of a tokenizer, before the corpus is read.

    Args:
        spec: specification, such as "char" or "bpe:4096", as in `make_tokenizer`.

    Raises:
        AnexaError: if the specification is not "char", does not begin with "bpe:", and there is no
            such file or folder.
        UsageError: if "bpe:" is not followed by a number that `bpe_vocab_size` allows.
    """
    if spec == "char" or bpe_vocab_size(spec) is not None or (spec and Path(spec).exists()):
        return
    clause = recognize(spec)
    if clause is not None:
        raise AnexaError(f"--tokenizer {spec} is not a tokenizer: {clause}")
    raise AnexaError(
        f"there is no tokenizer {quoted(spec)}: --tokenizer is char, bpe:4096 or another number, "
        "or the path of a tokenizer.json or of a model folder"
    )


def absolute_tokenizer_spec(spec: str) -> str:
    """Return a specification as in `make_tokenizer` that is valid in any working directory.

    A path is made absolute; "char" and "bpe:4096" stay as they are.

    Raises:
        UsageError: if the vocabulary size of BPE is out of range.
    """
    return spec if spec == "char" or bpe_vocab_size(spec) else str(Path(spec).absolute())


def bpe_vocab_size(spec: str) -> int | None:
    """Parse the vocabulary size in "bpe:4096"; None if it does not begin with "bpe:".

    Raises:
        UsageError: if "bpe:" is not followed by a number from `MIN_BPE_VOCAB` to `MAX_BPE_VOCAB`.
    """
    if not spec.startswith("bpe:"):
        return None
    digits = spec.removeprefix("bpe:")
    is_number = re.fullmatch("[0-9]{1,8}", digits)
    if is_number and MIN_BPE_VOCAB <= int(digits) <= MAX_BPE_VOCAB:
        return int(digits)
    raise UsageError(
        f"--tokenizer {spec}: the vocabulary size of BPE must be from {MIN_BPE_VOCAB} (all bytes "
        f"and the end-of-text token) to {MAX_BPE_VOCAB}, as in bpe:4096"
    )

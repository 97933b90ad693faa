"""Backends of a `Tokenizer`: tokenizers of Hugging Face's `tokenizers`, built, trained or read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError, short_repr
from anexa.model.tokenizer_json import check_tokenizer

# BOS, EOS and UNK token in one, as in GPT-2; the only special token among microgpt's 27 tokens.
END_OF_TEXT = "<|endoftext|>"

MIN_BPE_VOCAB = 257  # byte-level BPE without merges: the 256 bytes and END_OF_TEXT
NUM_CODE_POINTS = 0x110000  # of Unicode
_LONG_WORD = re.compile(r"(\S{1024}|\s{1024})")
_END_OF_TEXT = AddedToken(END_OF_TEXT, special=True, normalized=False)


def character_backend(
    texts: Iterable[str], adds_bos: bool, added_tokens: Sequence[str] = ()
) -> Backend:
    """Build a character tokenizer.

    Its ids are the characters that occur in `texts`, in the order of their code points, then
    `END_OF_TEXT`, then the `added_tokens`. It is a BPE model without merges, so that
    transformers and llama.cpp can read it.
    """
    seen = np.zeros(NUM_CODE_POINTS, bool)
    for text in texts:
        seen[code_points(text)] = True
    vocabulary = {chr(code): i for i, code in enumerate(np.flatnonzero(seen))}
    vocabulary[END_OF_TEXT] = len(vocabulary)
    backend = Backend(models.BPE(vocab=vocabulary, merges=[], unk_token=END_OF_TEXT))
    backend.add_special_tokens([_END_OF_TEXT])
    backend.add_tokens([AddedToken(token, normalized=False) for token in added_tokens])
    backend.decoder = decoders.Fuse()
    return set_bos(backend, adds_bos)


def trained_backend(
    texts: Iterable[str], vocab_size: int, adds_bos: bool, added_tokens: Sequence[str] = ()
) -> Backend:
    """Train byte-level BPE like GPT-2's (Sennrich et al., 2016; Radford et al., 2019).

    Its ids are `END_OF_TEXT`, the 256 bytes, and then merges of tokens that occur side by side
    in a word at least twice, the most frequent first; so a small corpus gives fewer ids than
    `vocab_size`. Words of more than 1024 characters, such as a genome, are cut for training. All
    different words of the texts are in memory during training.

    Args:
        texts: documents, or pieces of running text.
        vocab_size: V, at least `MIN_BPE_VOCAB` and the number of added tokens.
        adds_bos: whether BOS is prepended to a text.
        added_tokens: strings that are one token wherever they occur; their ids are the last.
    """
    vocab_size -= len(added_tokens)
    assert vocab_size >= MIN_BPE_VOCAB
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[_END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The trainer needs time in the square of the length of a word: a minute for 160,000 letters.
    backend.train_from_iterator(chain.from_iterable(map(_LONG_WORD.split, texts)), trainer)
    backend.add_tokens([AddedToken(token, normalized=False) for token in added_tokens])
    return set_bos(backend, adds_bos)


def parse_backend(text: str) -> Backend:
    """Read the content of a `tokenizer.json`.

    Raises:
        AnexaError: if the file is damaged, or the type of tokenizer is not supported.
    """
    check_tokenizer(text)
    with tokenizers_errors():
        backend = Backend.from_str(text)
        backend.no_truncation()  # texts are encoded at their full length
        backend.no_padding()
    return backend


def set_bos(backend: Backend, adds_bos: bool, bos_token: str = END_OF_TEXT) -> Backend:
    """Make the backend prepend `bos_token` to every text, or nothing."""
    backend.post_processor = None
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=[bos_token, "$A"],
            special_tokens=[(bos_token, backend.token_to_id(bos_token))],
        )
    return backend


@contextmanager
def tokenizers_errors() -> Iterator[None]:
    """Convert the exceptions of `tokenizers` to AnexaError."""
    try:
        yield
    except AnexaError:
        raise
    except BaseException as error:
        # `tokenizers` raises plain Exceptions; a panic of its Rust code derives from BaseException
        # only, and its type cannot be imported.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise AnexaError(f"tokenizer.json is damaged ({short_repr(error)})") from error


def _byte_decoder() -> dict[str, int]:
    """Return GPT-2's map from the characters of byte-level BPE to bytes (Radford et al., 2019).

    Visible Latin-1 characters represent their own byte; U+0100 and following the other bytes.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): byte for byte in visible}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_DECODER = _byte_decoder()


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), "<u4")

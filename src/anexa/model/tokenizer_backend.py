"""Backends of `Tokenizer`: builds, trains and reads tokenizers of Hugging Face's `tokenizers`."""

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
from anexa.model.tokenizer_json import check_tokenizer_json

# BOS, EOS and UNK token in one, as in GPT-2; the only special token among microgpt's 27 tokens.
END_OF_TEXT = "<|endoftext|>"

MIN_BPE_VOCAB = 257  # byte-level BPE without merges: the 256 bytes and END_OF_TEXT
NUM_CODE_POINTS = 0x110000  # number of code points in Unicode
# 1,024 characters in a row without white space, or of white space only.
_LONG_WORD = re.compile(r"(\S{1024}|\s{1024})")
_END_OF_TEXT = AddedToken(END_OF_TEXT, special=True, normalized=False)


def character_backend(
    texts: Iterable[str], adds_bos: bool, added_tokens: Sequence[str] = ()
) -> Backend:
    """Build a character tokenizer: a BPE model without merges, as transformers can read it.

    Its vocabulary is the characters that occur in `texts`, in the order of their code points, then
    `END_OF_TEXT`, which is also the token for unknown characters, then the `added_tokens`.

    Args:
        texts: documents, or pieces of running text.
        adds_bos: whether the tokenizer prepends `END_OF_TEXT` to each text, as BOS.
        added_tokens: strings that are encoded as one token wherever they occur in a text.

    Returns:
        The tokenizer of the `tokenizers` library.
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

    Its vocabulary is `END_OF_TEXT`, the 256 bytes, the merges, and the `added_tokens`. Each merge
    joins the two tokens that are most often neighbors within a word, at least twice in `texts`; so
    a small corpus gives a smaller vocabulary than `vocab_size`. Words of more than 1,024
    characters, such as a genome, are cut into pieces of that length for training. The distinct
    words of the texts are in memory during training.

    Args:
        texts: documents, or pieces of running text.
        vocab_size: maximum number of tokens; at least `MIN_BPE_VOCAB` + `len(added_tokens)`.
        adds_bos: whether the tokenizer prepends `END_OF_TEXT` to each text, as BOS.
        added_tokens: strings that are encoded as one token wherever they occur in a text.

    Returns:
        The tokenizer of the `tokenizers` library.
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
    """Parse the content of a `tokenizer.json`; truncation and padding are switched off.

    Args:
        text: content of the file, in JSON.

    Returns:
        The tokenizer of the `tokenizers` library.

    Raises:
        AnexaError: if the content is damaged, or the type of the tokenizer is not supported.
    """
    check_tokenizer_json(text)
    with tokenizers_errors():
        backend = Backend.from_str(text)
        backend.no_truncation()  # texts are encoded at their full length
        backend.no_padding()
    return backend


def set_bos(backend: Backend, adds_bos: bool, bos_token: str = END_OF_TEXT) -> Backend:
    """Set whether a backend prepends a BOS token to each text that it encodes.

    Args:
        backend: tokenizer that is changed; its post-processor is replaced.
        adds_bos: whether `bos_token` is prepended; otherwise nothing is.
        bos_token: BOS token, which must be in the vocabulary.

    Returns:
        `backend` itself.
    """
    backend.post_processor = None
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=[bos_token, "$A"],
            special_tokens=[(bos_token, backend.token_to_id(bos_token))],
        )
    return backend


@contextmanager
def tokenizers_errors() -> Iterator[None]:
    """Context manager that converts exceptions and panics of `tokenizers` to AnexaError.

    Raises:
        AnexaError: if the code in the context raises any other exception, or a panic; the message
            says that `tokenizer.json` is damaged. An AnexaError is passed on as it is.
        MemoryError: if the memory is too small.
    """
    try:
        yield
    except (AnexaError, MemoryError):
        raise
    except BaseException as error:
        # `tokenizers` raises plain Exceptions; a panic of its Rust code derives from BaseException
        # only, and its type cannot be imported.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise AnexaError(f"tokenizer.json is damaged ({short_repr(error)})") from error


def _byte_decoder() -> dict[str, int]:
    """Return GPT-2's map from the characters in byte-level BPE tokens to the bytes they stand for.

    Visible Latin-1 characters stand for the byte of their code point; the characters from U+0100
    stand for the other bytes, in ascending order (Radford et al., 2019).
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): byte for byte in visible}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_DECODER = _byte_decoder()
"""Byte (0 to 255) that each character of a byte-level BPE token stands for."""


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the Unicode code points of the characters of a text, shape (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), "<u4")

"""Text to token ids and back, as Hugging Face's `tokenizers` does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError, shown
from anexa.model.detokenizer import ByteDetokenizer, Detokenizer, WindowDetokenizer
from anexa.model.tokenizer_json import check_tokenizer

# One symbol begins a document, ends it, and stands for a character that the corpus never had:
# GPT-2's own choice, and the only special symbol in the 27 of microgpt.
END_OF_TEXT = "<|endoftext|>"

LEAST_BYTES = 257  # ids of byte-level BPE with no merges: the bytes and the boundary
N_CODES = 0x110000  # code points of Unicode
AT_ONCE = 4096  # texts; more would only take memory
_END_OF_TEXT = AddedToken(END_OF_TEXT, special=True, normalized=False)
LONE = "\ud800"  # a code point that is in no text: of half a pair in UTF-16


class Rendered(str):
    """A text that a chat template has written: what begins a text stands in it, if it should."""

    __slots__ = ()


class Tokenizer:
    """A tokenizer, and the symbols that begin and end its texts.

    In Anexa's own, one symbol does both: the boundary between documents.

    Args:
        backend: of `tokenizers`.
        bos: the id that begins a text; None: `END_OF_TEXT`, if there is one.
        ends: the ids that end a text; none: `END_OF_TEXT`, if there is one.

    Attributes:
        bos: see there; None: no text needs one.
        ends: see there; none: texts have no end.
        vocab_size: how many different ids there are, V.
        adds_bos: whether a prompt is the beginning of a document, and so gets BOS in
            front; in running text it is a piece out of the middle.

    Raises:
        AnexaError: it has no symbols, or `tokenizers` cannot use it.
    """

    def __init__(
        self, backend: Backend, bos: int | None = None, eos_token_ids: Sequence[int] = ()
    ) -> None:
        with _usable():
            boundary: int | None = backend.token_to_id(END_OF_TEXT)
            vocabulary: dict[str, int] = backend.get_vocab()
            if not vocabulary:
                raise AnexaError("tokenizer.json is damaged: it has no symbols")
            self._backend = backend
            self._spelled: dict[int, bytes] = {}
            self.vocab_size: int = max(vocabulary.values()) + 1
            self.eos_token_ids = tuple(eos_token_ids) or (() if boundary is None else (boundary,))
            self.bos = boundary if bos is None else bos
            added = backend.get_added_tokens_decoder()
            for number in (bos, *eos_token_ids):  # not part of a text that is decoded
                if number is not None and number not in added:
                    symbol = AddedToken(self.symbol(number), special=True, normalized=False)
                    backend.add_special_tokens([symbol])
            framing: list[int] = backend.encode("").ids
            if any(number >= self.vocab_size for number in framing):
                raise AnexaError("tokenizer.json is damaged: it puts unknown ids around texts")
            self.adds_bos = len(framing) > 0
            unknown: str | None = getattr(backend.model, "unk_token", None)
            self._unknown: int | None = backend.token_to_id(unknown) if unknown else None

    @property
    def eot_token(self) -> int:
        """The id of the symbol that stands between documents: the first that ends a text.

        Raises:
            AnexaError: there is none.
        """
        if not self.eos_token_ids:
            raise AnexaError(
                f"the tokenizer has no symbol {END_OF_TEXT}, and no file beside it names another "
                "that ends a text"
            )
        return self.eos_token_ids[0]

    @classmethod
    def of_characters(
        cls, texts: Iterable[str], adds_bos: bool, added_tokens: Sequence[str] = ()
    ) -> Tokenizer:
        """One id for each character that occurs, in sorted order, then the boundary symbol, then
        one for each of `marks`, which stand in a text as themselves.

        It is a BPE model with no merges, so transformers and llama.cpp can read it.
        """
        seen = np.zeros(N_CODES, bool)
        for text in texts:
            seen[_codes(text)] = True
        vocabulary = {chr(code): i for i, code in enumerate(np.flatnonzero(seen))}
        vocabulary[END_OF_TEXT] = len(vocabulary)
        backend = Backend(models.BPE(vocab=vocabulary, merges=[], unk_token=END_OF_TEXT))
        backend.add_special_tokens([_END_OF_TEXT])
        backend.add_tokens([AddedToken(mark, normalized=False) for mark in added_tokens])
        backend.decoder = decoders.Fuse()
        return cls(_framing(backend, adds_bos))

    @classmethod
    def of_bytes(cls, texts: Iterable[str], vocab_size: int, adds_bos: bool) -> Tokenizer:
        """Byte-level BPE (Sennrich et al., 2016; Radford et al., 2019), as GPT-2 has it.

        The ids are the boundary symbol, the 256 bytes, and then pairs of symbols that stand side
        by side in a word at least twice, the most frequent first; so few texts give fewer ids
        than `vocab_size`. All different words of the texts are in memory while it is trained.

        Args:
            texts: documents, or pieces of running text.
            vocab_size: V, at least `LEAST_BYTES`.
            adds_bos: as above.
        """
        assert vocab_size >= LEAST_BYTES
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
        backend.train_from_iterator(texts, trainer)
        return cls(_framing(backend, adds_bos))

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer in a `tokenizer.json`.

        Raises:
            AnexaError: there is none.
        """
        check_tokenizer(text)
        with _usable():
            backend = Backend.from_str(text)
            backend.no_truncation()  # a text is as long as it is
            backend.no_padding()
        return cls(backend)

    def with_symbols(self, bos: int | None, eos_token_ids: Sequence[int]) -> Tokenizer:
        """The same tokenizer with other symbols that begin and end a text, where any are given."""
        return Tokenizer(self._backend, bos, eos_token_ids)

    def beginning(self, adds_bos: bool) -> Tokenizer:
        """The same tokenizer for prompts that are beginnings of documents, or are not.

        Documents begin with what they end with, as in training.

        Raises:
            AnexaError: nothing ends a text.
        """
        boundary = self.eot_token
        backend = Backend.from_str(self.to_json())
        with _usable():
            framed = _framing(backend, adds_bos, self.symbol(boundary) or END_OF_TEXT)
        return Tokenizer(framed, boundary, [boundary])

    def to_json(self) -> str:
        """`tokenizer.json`."""
        text: str = self._backend.to_str(pretty=True)
        return text

    def config(self, block_size: int) -> dict[str, Any]:
        """`tokenizer_config.json`, for transformers."""
        bos, eos = self.bos_eos
        unknown = eos if self._unknown is None else self.symbol(self._unknown)
        symbols = {"bos_token": bos, "eos_token": eos, "unk_token": unknown}
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{key: symbol for key, symbol in symbols.items() if symbol},
            "model_max_length": block_size,
            "clean_up_tokenization_spaces": False,
            # transformers 4 would add token types, and GPT-2 add their embedding to the tokens'.
            "model_input_names": ["input_ids", "attention_mask"],
        }

    def id_of(self, symbol: str) -> int | None:
        """The id of a symbol that is one token, if there is one."""
        if any(map(_is_surrogate, symbol)):
            return None
        number: int | None = self._backend.token_to_id(symbol)
        return number

    def symbol(self, number: int) -> str | None:
        """The symbol of an id, if there is one: a model may know more ids than its tokenizer."""
        if not 0 <= number < self.vocab_size:
            return None
        symbol: str | None = self._backend.id_to_token(number)
        return symbol

    @property
    def bos_eos(self) -> tuple[str, str]:
        """The symbols that begin and end a text, as a chat template writes them; "" for none."""
        bos = None if self.bos is None else self.symbol(self.bos)
        eos = self.symbol(self.eos_token_ids[0]) if self.eos_token_ids else None
        return bos or "", eos or ""

    @cached_property
    def added_tokens(self) -> tuple[str, ...]:
        """What is one token wherever it stands in a text, and so not text: `<think>`, say."""
        added: dict[int, AddedToken] = self._backend.get_added_tokens_decoder()
        return tuple(token.content for token in added.values())

    @cached_property
    def byte_ids(self) -> frozenset[int]:
        """The ids that are each a byte, and text only together with those beside them."""
        if "ByteFallback" not in repr(self._backend.decoder):
            return frozenset()
        ids = (self.id_of(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(number for number in ids if number is not None)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, and nothing else."""
        with _usable():
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_all(self, texts: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The ids of many texts, one after another, and how many each has: as `encode`, but fast.

        Characters are looked up in a table; anything else takes all processors, and for the time
        being about a hundred times the memory of the texts.
        """
        if self._table is not None:
            marked = [text.replace(END_OF_TEXT, LONE) for text in texts]
            return self._table[_codes("".join(marked))], _numbers(map(len, marked), len(texts))
        ids, lengths = [_numbers((), 0)], [_numbers((), 0)]
        for start in range(0, len(texts), AT_ONCE):
            some = list(texts[start : start + AT_ONCE])
            encodings = self._backend.encode_batch_fast(some, add_special_tokens=False)
            lengths.append(_numbers(map(len, encodings), len(some)))
            numbers = chain.from_iterable(encoding.ids for encoding in encodings)
            ids.append(_numbers(numbers, int(lengths[-1].sum())))
        return np.concatenate(ids), np.concatenate(lengths)

    @cached_property
    def _table(self) -> npt.NDArray[Any] | None:
        """The id of every code point, if this is a tokenizer of characters."""
        vocabulary: dict[str, int] = self._backend.get_vocab()
        characters = vocabulary.keys() - {END_OF_TEXT}
        if self.to_json() != Tokenizer.of_characters(characters, self.adds_bos).to_json():
            return None
        table = np.full(N_CODES, vocabulary[END_OF_TEXT])
        for character in characters:
            table[ord(character)] = vocabulary[character]
        return table

    def encode_prompt(self, text: str) -> list[int]:
        """The ids that a model should continue: at least one.

        Raises:
            AnexaError: the text has characters that the model does not know.
        """
        unknown = self.unknown(text)
        if unknown:
            some = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise AnexaError(f"this model has never seen {some}: leave it out of the prompt")
        framed = not isinstance(text, Rendered)
        with _usable():
            ids: list[int] = self._backend.encode(text, add_special_tokens=framed).ids
        if ids:
            return ids
        if self.bos is None and not self.eos_token_ids:
            raise AnexaError("this model goes on from a text, and has nothing to begin one with")
        return [self.eot_token if self.bos is None else self.bos]

    @cached_property
    def longest(self) -> int:
        """The characters of the longest token."""
        return max(map(len, self._backend.get_vocab()))

    def unknown(self, text: str) -> list[str]:
        """The characters of a text for which there is no id of their own, in order."""
        return [piece for piece in dict.fromkeys(text) if self._is_unknown(piece)]

    def _is_unknown(self, character: str) -> bool:
        # Python reads bytes that are no UTF-8 as surrogates, which `tokenizers` does not take.
        if _is_surrogate(character):
            return True
        ids = self.encode(character)  # which are none where nothing stands for the unknown
        return self._unknown in ids or not (ids or character.isspace())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without the symbols that begin and end texts.

        Ids that only the model knows are nothing: vocabularies are often filled up.
        """
        with _usable():
            text: str = self._backend.decode(list(ids), skip_special_tokens=True)
        return text

    def bytes_of(self, token: int) -> bytes:
        """What an id stands for in UTF-8; of a byte-level one it may be part of a character."""
        data = self._spelled.get(token)
        if data is None:
            data = self._spelled[token] = self._spell(token)
        return data

    def _spell(self, token: int) -> bytes:
        text = self.decode([token])
        if "\ufffd" not in text:
            return text.encode()
        symbol = self._backend.id_to_token(token) or ""
        spelled = [BYTES_OF_LETTERS.get(letter) for letter in symbol]
        return text.encode() if None in spelled else bytes(b for b in spelled if b is not None)

    def decoding(self, after: Sequence[int] = ()) -> Detokenizer:
        """Text from ids that come one by one, as it goes on from others."""
        return ByteDetokenizer(self) if self._is_of_bytes else WindowDetokenizer(self, after)

    @cached_property
    def _is_of_bytes(self) -> bool:
        """Whether a text is the bytes of its ids, one after another."""
        return isinstance(self._backend.decoder, decoders.ByteLevel | decoders.Fuse)


@contextmanager
def _usable() -> Iterator[None]:
    """Says in one sentence what `tokenizers` cannot do, with a stranger's file above all."""
    try:
        yield
    except AnexaError:
        raise
    except BaseException as error:
        # It raises nothing more precise than Exception; and what it has not thought of, not even
        # that: a panic of Rust is an exception beside all others, and of no importable type.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise AnexaError(f"tokenizer.json is damaged ({shown(error)})") from error


def _bytes_of_letters() -> dict[str, int]:
    """The letters that byte-level BPE writes bytes with (Radford et al., 2019).

    A byte that is a visible character of Latin-1 is that one; the others are those from 256 on.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): byte for byte in visible}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


BYTES_OF_LETTERS = _bytes_of_letters()


def _framing(backend: Backend, adds_bos: bool, boundary: str = END_OF_TEXT) -> Backend:
    """The backend, made to put the boundary in front of a text, or nothing."""
    backend.post_processor = None
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=[boundary, "$A"],
            special_tokens=[(boundary, backend.token_to_id(boundary))],
        )
    return backend


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), "<u4")


def _numbers(values: Iterable[int], count: int) -> npt.NDArray[Any]:
    return np.fromiter(values, np.int64, count)

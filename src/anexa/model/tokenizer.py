"""Text to token ids and back, as Hugging Face's `tokenizers` does it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import DecodeStream

from anexa.errors import AnexaError

# One symbol begins a document, ends it, and stands for a character that the corpus never had:
# GPT-2's own choice, and the only special symbol in the 27 of microgpt.
BOUNDARY = "<|endoftext|>"

LEAST_BYTES = 257  # ids of byte-level BPE with no merges: the bytes and the boundary
N_CODES = 0x110000  # code points of Unicode
AT_ONCE = 4096  # texts; more would only take memory
_BOUNDARY = AddedToken(BOUNDARY, special=True, normalized=False)
LONE = "\ud800"  # a code point that is in no text: of half a pair in UTF-16


class Tokenizer:
    """A tokenizer and its boundary symbol, which is BOS and EOS.

    Attributes:
        boundary: the id of the symbol between documents.
        vocab_size: how many different ids there are, V.
        begins_documents: whether a prompt is the beginning of a document, and so gets BOS in
            front; in running text it is a piece out of the middle.
    """

    def __init__(self, backend: Backend) -> None:
        boundary = backend.token_to_id(BOUNDARY)
        if boundary is None:
            raise AnexaError(f"the tokenizer has no symbol {BOUNDARY}")
        self._backend = backend
        self.boundary: int = boundary
        self.vocab_size: int = max(backend.get_vocab().values()) + 1
        self.begins_documents = len(backend.encode("").ids) > 0

    @classmethod
    def of_characters(
        cls, texts: Iterable[str], begins_documents: bool, marks: Sequence[str] = ()
    ) -> Tokenizer:
        """One id for each character that occurs, in sorted order, then the boundary symbol, then
        one for each of `marks`, which stand in a text as themselves.

        It is a BPE model with no merges, so transformers and llama.cpp can read it.
        """
        seen = np.zeros(N_CODES, bool)
        for text in texts:
            seen[_codes(text)] = True
        vocabulary = {chr(code): i for i, code in enumerate(np.flatnonzero(seen))}
        vocabulary[BOUNDARY] = len(vocabulary)
        backend = Backend(models.BPE(vocab=vocabulary, merges=[], unk_token=BOUNDARY))
        backend.add_special_tokens([_BOUNDARY])
        backend.add_tokens([AddedToken(mark, normalized=False) for mark in marks])
        backend.decoder = decoders.Fuse()
        return cls(_framing(backend, begins_documents))

    @classmethod
    def of_bytes(cls, texts: Iterable[str], vocab_size: int, begins_documents: bool) -> Tokenizer:
        """Byte-level BPE (Sennrich et al., 2016; Radford et al., 2019), as GPT-2 has it.

        The ids are the boundary symbol, the 256 bytes, and then pairs of symbols that stand side
        by side in a word at least twice, the most frequent first; so few texts give fewer ids
        than `vocab_size`. All different words of the texts are in memory while it is trained.

        Args:
            texts: documents, or pieces of running text.
            vocab_size: V, at least `LEAST_BYTES`.
            begins_documents: as above.
        """
        assert vocab_size >= LEAST_BYTES
        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=[_BOUNDARY],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(_framing(backend, begins_documents))

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer in a `tokenizer.json`.

        Raises:
            AnexaError: there is none.
        """
        try:
            backend = Backend.from_str(text)
        except Exception as error:  # `tokenizers` raises nothing more precise
            raise AnexaError(f"tokenizer.json is damaged ({error})") from error
        _check_template(backend)
        return cls(backend)

    def beginning(self, begins_documents: bool) -> Tokenizer:
        """The same tokenizer for prompts that are beginnings of documents, or are not."""
        return Tokenizer(_framing(Backend.from_str(self.to_json()), begins_documents))

    def to_json(self) -> str:
        """`tokenizer.json`."""
        text: str = self._backend.to_str(pretty=True)
        return text

    def config(self, block_size: int) -> dict[str, Any]:
        """`tokenizer_config.json`, for transformers."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOUNDARY,
            "eos_token": BOUNDARY,
            "unk_token": BOUNDARY,
            "model_max_length": block_size,
            "clean_up_tokenization_spaces": False,
        }

    def id_of(self, symbol: str) -> int | None:
        """The id of a symbol that is one token, if there is one."""
        number: int | None = self._backend.token_to_id(symbol)
        return number

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """What is one token wherever it stands in a text, and so not text: `<think>`, say."""
        added: dict[int, AddedToken] = self._backend.get_added_tokens_decoder()
        return tuple(token.content for token in added.values())

    def encode(self, text: str) -> list[int]:
        """The ids of a text, and nothing else."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_all(self, texts: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The ids of many texts, one after another, and how many each has: as `encode`, but fast.

        Characters are looked up in a table; anything else takes all processors, and for the time
        being about a hundred times the memory of the texts.
        """
        if self._table is not None:
            marked = [text.replace(BOUNDARY, LONE) for text in texts]
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
        characters = vocabulary.keys() - {BOUNDARY}
        if self.to_json() != Tokenizer.of_characters(characters, self.begins_documents).to_json():
            return None
        table = np.full(N_CODES, self.boundary)
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
            shown = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise AnexaError(f"this model has never seen {shown}: leave it out of the prompt")
        ids: list[int] = self._backend.encode(text).ids
        return ids or [self.boundary]

    @cached_property
    def longest(self) -> int:
        """The characters of the longest token."""
        return max(map(len, self._backend.get_vocab()))

    def unknown(self, text: str) -> list[str]:
        """The characters of a text for which there is no id of their own, in order."""
        pieces = dict.fromkeys(text)
        # Python reads bytes that are no UTF-8 as surrogates, which `tokenizers` does not take.
        return [p for p in pieces if "\ud800" <= p <= "\udfff" or self.boundary in self.encode(p)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without boundary symbols."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=True)
        return text

    def bytes_of(self, token: int) -> bytes:
        """What an id stands for in UTF-8; of a byte-level one it may be part of a character."""
        text = self.decode([token])
        if "\ufffd" not in text:
            return text.encode()
        symbol = self._backend.id_to_token(token) or ""
        spelled = [_BYTES.get(letter) for letter in symbol]
        return text.encode() if None in spelled else bytes(b for b in spelled if b is not None)

    def decoding(self) -> Decoding:
        """Text from ids that come one by one."""
        return Decoding(self, self._backend)


class Decoding:
    """The text of ids as they come, in pieces that never cut a character in two.

    The pieces together, with the rest, are `Tokenizer.decode` of all ids.
    """

    def __init__(self, tokenizer: Tokenizer, backend: Backend) -> None:
        self._tokenizer, self._backend = tokenizer, backend
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._length = 0

    def take(self, token: int) -> str:
        """What one more id makes certain; it may be nothing."""
        self._ids.append(token)
        piece: str = self._stream.step(self._backend, token) or ""
        self._length += len(piece)
        return piece

    def rest(self) -> str:
        """What never became a character, as `decode` shows it."""
        return self._tokenizer.decode(self._ids)[self._length :]


def _bytes_of_letters() -> dict[str, int]:
    """The letters that byte-level BPE writes bytes with (Radford et al., 2019).

    A byte that is a visible character of Latin-1 is that one; the others are those from 256 on.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): byte for byte in visible}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTES = _bytes_of_letters()


def _check_template(backend: Backend) -> None:
    """Refuse what would be put around a text if it is not known: `tokenizers` would panic.

    Raises:
        AnexaError: it is not.
    """
    post_processor = json.loads(backend.to_str())["post_processor"] or {}
    for stage in post_processor.get("processors", [post_processor]):
        for piece in [*stage.get("single", []), *stage.get("pair", [])]:
            name = piece.get("SpecialToken", {}).get("id")
            if name is not None and name not in stage.get("special_tokens", {}):
                raise AnexaError(f"tokenizer.json is damaged (it has no id of {name!r})")


def _framing(backend: Backend, begins_documents: bool) -> Backend:
    """The backend, made to put the boundary in front of a text, or nothing."""
    backend.post_processor = None
    if begins_documents:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BOUNDARY} $A",
            special_tokens=[(BOUNDARY, backend.token_to_id(BOUNDARY))],
        )
    return backend


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), "<u4")


def _numbers(values: Iterable[int], count: int) -> npt.NDArray[Any]:
    return np.fromiter(values, np.int64, count)

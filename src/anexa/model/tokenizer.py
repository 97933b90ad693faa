"""Texts to token ids and back: a tokenizer on Hugging Face's `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, decoders
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError
from anexa.model.detokenizer import ByteDetokenizer, Detokenizer, WindowDetokenizer
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.model.tokenizer_backend import (
    BYTE_DECODER,
    END_OF_TEXT,
    MIN_BPE_VOCAB,
    NUM_CODE_POINTS,
    character_backend,
    code_points,
    parse_backend,
    set_bos,
    tokenizers_errors,
    trained_backend,
)
from anexa.model.tokenizer_vocabulary import TokenizerVocabulary, is_surrogate

__all__ = ["END_OF_TEXT", "MIN_BPE_VOCAB", "RenderedPrompt", "Tokenizer"]

ENCODE_BATCH_SIZE = 4096  # texts per call of `tokenizers`; a larger batch only takes memory
LONE_SURROGATE = "\ud800"  # half of a UTF-16 pair, which occurs in no text


class Tokenizer(TokenizerVocabulary):
    """A tokenizer with the special tokens that begin and end texts, as in `TokenizerVocabulary`.

    In Anexa's own tokenizers, `END_OF_TEXT` does both: it stands between documents.

    Raises:
        AnexaError: if the vocabulary is empty, or `tokenizers` cannot use the backend. Methods that
            encode, decode or copy raise it too, if `tokenizers` fails.
    """

    @classmethod
    def from_characters(
        cls, texts: Iterable[str], adds_bos: bool, added_tokens: Sequence[str] = ()
    ) -> Tokenizer:
        """Build a tokenizer in which each character is a token, as `character_backend` does."""
        return cls(character_backend(texts, adds_bos, added_tokens))

    @classmethod
    def train_bpe(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        adds_bos: bool,
        added_tokens: Sequence[str] = (),
    ) -> Tokenizer:
        """Train a byte-level BPE tokenizer like GPT-2's, as `trained_backend` does."""
        return cls(trained_backend(texts, vocab_size, adds_bos, added_tokens))

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Create a tokenizer from the content of a `tokenizer.json`.

        Raises:
            AnexaError: if the content is damaged, or the type of tokenizer is not supported.
        """
        return cls(parse_backend(text))

    def with_special_tokens(
        self, bos_token_id: int | None, eos_token_ids: Sequence[int]
    ) -> Tokenizer:
        """Return a copy with these BOS and EOS ids; None and an empty sequence: `END_OF_TEXT`."""
        return Tokenizer(self._backend, bos_token_id, eos_token_ids)

    def with_bos(self, adds_bos: bool) -> Tokenizer:
        """Return a copy with another `adds_bos`, and `eot_token_id` as BOS and as the only EOS.

        Raises:
            AnexaError: if no token ends a text.
        """
        eot_token_id = self.eot_token_id
        with tokenizers_errors():
            backend = Backend.from_str(self.to_json())
            backend = set_bos(backend, adds_bos, self.id_to_token(eot_token_id) or END_OF_TEXT)
        return Tokenizer(backend, eot_token_id, [eot_token_id])

    def with_added_tokens(self, tokens: Sequence[str]) -> Tokenizer:
        """Return a copy in which each of these strings is one token; new ones have the last ids."""
        with tokenizers_errors():
            backend = Backend.from_str(self.to_json())
            backend.add_tokens([AddedToken(token, normalized=False) for token in tokens])
        return Tokenizer(backend, self.bos_token_id, self.eos_token_ids)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Encode a text to token ids; BOS and EOS are added only with `add_special_tokens`.

        Characters that are not in the vocabulary become UNK, or nothing if there is no UNK token.
        """
        with tokenizers_errors():
            ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Encode many texts at once: the same ids as `encode`, but faster.

        A character tokenizer uses a lookup table. BPE uses all CPUs, and meanwhile about a hundred
        times the memory of the texts.

        Returns:
            The concatenated ids of all N texts, and the number of ids of each text, shape (N,), as
            int64.
        """
        if self._id_table is not None:
            texts = [text.replace(END_OF_TEXT, LONE_SURROGATE) for text in texts]
            return self._id_table[code_points("".join(texts))], _int_array(
                map(len, texts), len(texts)
            )
        ids, lengths = [_int_array((), 0)], [_int_array((), 0)]
        for start in range(0, len(texts), ENCODE_BATCH_SIZE):
            batch = list(texts[start : start + ENCODE_BATCH_SIZE])
            with tokenizers_errors():
                encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
            lengths.append(_int_array(map(len, encodings), len(batch)))
            batch_ids = chain.from_iterable(encoding.ids for encoding in encodings)
            ids.append(_int_array(batch_ids, int(lengths[-1].sum())))
        return np.concatenate(ids), np.concatenate(lengths)

    def encode_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Encode texts as `encode` does, and find the characters that each token stands for.

        Returns:
            For each text its ids, shape (N,), and for each token the index of its first character
            and the index after its last one, shape (N, 2); both are int64.
        """
        with tokenizers_errors():
            encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [
            (np.array(one.ids, np.int64), np.array(one.offsets, np.int64).reshape(-1, 2))
            for one in encodings
        ]

    @cached_property
    def _id_table(self) -> npt.NDArray[Any] | None:
        """Id of every code point, if this is a character tokenizer without added tokens."""
        vocabulary: dict[str, int] = self._backend.get_vocab()
        characters = vocabulary.keys() - {END_OF_TEXT}
        if self.to_json() != Tokenizer.from_characters(characters, self.adds_bos).to_json():
            return None
        table = np.full(NUM_CODE_POINTS, vocabulary[END_OF_TEXT])
        for character in characters:
            table[ord(character)] = vocabulary[character]
        return table

    def encode_prompt(self, text: str) -> list[int]:
        """Encode a prompt, with BOS in front if `adds_bos`.

        A `RenderedPrompt` gets no BOS, as its chat template has written it. An empty prompt becomes
        BOS, or EOS if there is no BOS token.

        Returns:
            The token ids, at least one.

        Raises:
            AnexaError: if the text has characters that are not in the vocabulary, or is empty and
                no token begins or ends texts.
        """
        unknown = self.unknown_characters(text)
        if unknown:
            listed = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            them = "them" if len(unknown) > 1 else "it"
            raise AnexaError(f"this model has never seen {listed}: leave {them} out of the prompt")
        with tokenizers_errors():
            add_bos = not isinstance(text, RenderedPrompt)
            ids: list[int] = self._backend.encode(text, add_special_tokens=add_bos).ids
        if ids:
            return ids
        if self.bos_token_id is None and not self.eos_token_ids:
            raise AnexaError("the prompt is empty, and this model has no token to begin a text")
        return [self.eot_token_id if self.bos_token_id is None else self.bos_token_id]

    def unknown_characters(self, text: str) -> list[str]:
        """List the different characters outside of added tokens that cannot be encoded.

        They are in the order in which they first occur.
        """
        for token in self.added_tokens:
            text = text.replace(token, "")
        return [character for character in dict.fromkeys(text) if self._is_unknown(character)]

    def count_unknown(self, texts: Iterable[str]) -> tuple[dict[str, int], int]:
        """Count the characters of a corpus that the vocabulary cannot express.

        Returns:
            The occurrences of each unknown character, and the number of all characters. Both leave
            out `END_OF_TEXT` if the tokenizer has a token that ends texts.
        """
        counts = np.zeros(NUM_CODE_POINTS, np.int64)
        for text in texts:
            plain = text.replace(END_OF_TEXT, "") if self.eos_token_ids else text
            counts += np.bincount(code_points(plain), minlength=NUM_CODE_POINTS)
        found = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        unknown = {c: count for c, count in found.items() if self._is_unknown(c)}
        return unknown, int(counts.sum())

    def _is_unknown(self, character: str) -> bool:
        # Python decodes bytes that are not UTF-8 to surrogates, which `tokenizers` refuses.
        if is_surrogate(character):
            return True
        ids = self.encode(character)  # empty if the tokenizer has no UNK token
        return self._unk_id in ids or not (ids or character.isspace())

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Decode token ids to text.

        Ids that only the model has (vocabularies are often padded) decode to nothing.

        Args:
            ids: token ids.
            skip_special_tokens: whether special tokens are left out; otherwise their names are
                written.
        """
        with tokenizers_errors():
            text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    @cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        """Results of `token_bytes` so far, by id."""
        return {}

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes of one token; a byte-level token may be part of a character.

        A special token, or an id that only the model has, has none: b"".
        """
        data = self._token_bytes.get(token)
        if data is None:
            data = self._token_bytes[token] = self._find_bytes(token)
        return data

    def _find_bytes(self, token_id: int) -> bytes:
        token = self.id_to_token(token_id) or ""
        if token_id in self.byte_ids:  # such as <0xE9>
            return bytes([int(token[3:5], 16)])
        text, twice = self.decode([token_id]), self.decode([token_id, token_id])
        if "\ufffd" not in text:  # Llama's tokenizer drops the space of the first word of a text
            return (twice[len(text) :] if twice.startswith(text) else text).encode()
        values = [BYTE_DECODER.get(letter) for letter in token]
        return text.encode() if None in values else bytes(b for b in values if b is not None)

    def detokenizer(self, context_ids: Sequence[int] = ()) -> Detokenizer:
        """Create an incremental detokenizer for ids that follow `context_ids`, such as a prompt."""
        # With these decoders, a text is the concatenation of the bytes of its tokens.
        if isinstance(self._backend.decoder, decoders.ByteLevel | decoders.Fuse):
            return ByteDetokenizer(self)
        return WindowDetokenizer(self, context_ids)


def _int_array(values: Iterable[int], count: int) -> npt.NDArray[Any]:
    return np.fromiter(values, np.int64, count)

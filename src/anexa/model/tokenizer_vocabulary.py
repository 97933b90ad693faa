"""Vocabulary of a tokenizer: its tokens, their ids, and which of them begin and end texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError, short_repr
from anexa.model.tokenizer_backend import END_OF_TEXT, tokenizers_errors


class TokenizerVocabulary:
    """The tokens of a tokenizer with their ids, and its special tokens.

    Args:
        backend: tokenizer of the `tokenizers` library, which is not changed. If BOS and EOS ids are
            not those of added tokens, they become special tokens of a copy.
        bos_token_id: id of the token that begins a text; None: that of `END_OF_TEXT`, if present.
        eos_token_ids: ids of the tokens that end a text; empty: that of `END_OF_TEXT`, if present.

    Attributes:
        bos_token_id: id of the token that begins a text; None if texts begin without one.
        eos_token_ids: ids of the tokens that end a text; empty if texts have no end.
        vocab_size: number of ids, V.
        adds_bos: whether `Tokenizer.encode_prompt` prepends BOS: True for a corpus of documents,
            whose prompts begin a document; False for running text.

    Raises:
        AnexaError: if the vocabulary is empty, or `tokenizers` cannot use the backend.
    """

    def __init__(
        self,
        backend: Backend,
        bos_token_id: int | None = None,
        eos_token_ids: Sequence[int] = (),
    ) -> None:
        with tokenizers_errors():
            eot_token_id: int | None = backend.token_to_id(END_OF_TEXT)
            vocabulary: dict[str, int] = backend.get_vocab()
            if not vocabulary:
                raise AnexaError("tokenizer.json is damaged: its vocabulary is empty")
            self.vocab_size: int = max(vocabulary.values()) + 1
            self.eos_token_ids = tuple(eos_token_ids) or (
                () if eot_token_id is None else (eot_token_id,)
            )
            self.bos_token_id = eot_token_id if bos_token_id is None else bos_token_id
            added = backend.get_added_tokens_decoder()
            # Special tokens are not decoded. Other tokenizers may share the backend.
            plain = [i for i in (bos_token_id, *eos_token_ids) if i is not None and i not in added]
            self._backend = Backend.from_str(backend.to_str()) if plain else backend
            for token_id in plain:
                token = AddedToken(self.id_to_token(token_id), special=True, normalized=False)
                self._backend.add_special_tokens([token])
            bos_ids: list[int] = self._backend.encode("").ids
            if any(token_id >= self.vocab_size for token_id in bos_ids):
                raise AnexaError("tokenizer.json is damaged: it puts unknown ids around texts")
            self.adds_bos = len(bos_ids) > 0
            unk_token: str | None = getattr(backend.model, "unk_token", None)
            self._unk_id: int | None = backend.token_to_id(unk_token) if unk_token else None

    @property
    def eot_token_id(self) -> int:
        """Id of the token between documents: the first of `eos_token_ids`.

        Raises:
            AnexaError: if no token ends a text.
        """
        if not self.eos_token_ids:
            raise AnexaError(
                f"the tokenizer has no token {END_OF_TEXT}, and no file beside it names another "
                "token that ends a text"
            )
        return self.eos_token_ids[0]

    def to_json(self) -> str:
        """Return the content of `tokenizer.json`."""
        text: str = self._backend.to_str(pretty=True)
        return text

    def to_config(self, block_size: int) -> dict[str, Any]:
        """Return the content of `tokenizer_config.json`, for transformers.

        Args:
            block_size: context length of the model, in tokens.
        """
        bos, eos = self.bos_eos
        filler = "" if self.pad_token_id is None else self.id_to_token(self.pad_token_id)
        special_tokens = {
            **{"bos_token": bos, "eos_token": eos},
            **{"unk_token": filler, "pad_token": filler},
        }
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{key: token for key, token in special_tokens.items() if token},
            "model_max_length": block_size,
            "clean_up_tokenization_spaces": False,
            # transformers 4 would add token types, and GPT-2 add their embedding to the tokens'.
            "model_input_names": ["input_ids", "attention_mask"],
        }

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, None if it is not in the vocabulary."""
        if any(map(is_surrogate, token)):
            return None
        token_id: int | None = self._backend.token_to_id(token)
        return token_id

    def id_to_token(self, token_id: int) -> str | None:
        """Return the token of an id; None if there is no such id, or only the model has it."""
        if not 0 <= token_id < self.vocab_size:
            return None
        token: str | None = self._backend.id_to_token(token_id)
        return token

    @property
    def bos_eos(self) -> tuple[str, str]:
        """Texts of the BOS and EOS tokens for a chat template; "" where there is no such token."""
        bos = None if self.bos_token_id is None else self.id_to_token(self.bos_token_id)
        eos = self.id_to_token(self.eos_token_ids[0]) if self.eos_token_ids else None
        return bos or "", eos or ""

    @property
    def pad_token_id(self) -> int | None:
        """Id of the padding token: UNK if the vocabulary has it, else EOS; None if it has neither.

        Attention masks tell padding from the same token in a text.
        """
        return self._unk_id if self._unk_id is not None else next(iter(self.eos_token_ids), None)

    @cached_property
    def added_tokens(self) -> tuple[str, ...]:
        """Strings that are one token wherever they occur in a text, such as `<think>`."""
        added: dict[int, AddedToken] = self._backend.get_added_tokens_decoder()
        return tuple(token.content for token in added.values())

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """The added tokens that are no text: they are left out when ids are decoded."""
        added: dict[int, AddedToken] = self._backend.get_added_tokens_decoder()
        return tuple(token.content for token in added.values() if token.special)

    @cached_property
    def byte_ids(self) -> frozenset[int]:
        """Ids that are one byte each, and become text only together with neighboring bytes.

        Only SentencePiece's byte fallback has these; empty for other tokenizers.
        """
        if "ByteFallback" not in repr(self._backend.decoder):
            return frozenset()
        ids = (self.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(token_id for token_id in ids if token_id is not None)

    @cached_property
    def max_token_length(self) -> int:
        """Length of the longest token as the vocabulary writes it, in characters.

        In byte-level BPE, each of these characters is one byte of text.
        """
        return max(map(len, self._backend.get_vocab()))

    @cached_property
    def max_plain_token_length(self) -> int:
        """Length of the longest token that is not an added one, as in `max_token_length`."""
        return max(map(len, self._backend.get_vocab().keys() - {*self.added_tokens}), default=1)

    def check_ids(self, ids: Iterable[int]) -> None:
        """Check that all token ids are in the vocabulary.

        Raises:
            AnexaError: if a token id is not in the vocabulary.
        """
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise AnexaError(
                    f"there is no token id {short_repr(token)}: the ids of this model are "
                    f"0 to {self.vocab_size - 1:,}"
                )


def is_surrogate(character: str) -> bool:
    """Return whether a character is half of a UTF-16 pair, which `tokenizers` refuses."""
    return "\ud800" <= character <= "\udfff"

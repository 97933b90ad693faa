"""Text to token ids and back, as Hugging Face's `tokenizers` does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tokenizers import AddedToken, decoders, models, processors
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import DecodeStream

from anexa.errors import AnexaError

# One symbol begins a document, ends it, and stands for a character that the corpus never had:
# GPT-2's own choice, and the only special symbol in the 27 of microgpt.
BOUNDARY = "<|endoftext|>"


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
    def of_characters(cls, texts: Iterable[str], begins_documents: bool) -> Tokenizer:
        """One id for each character that occurs, in sorted order, and the boundary symbol last.

        It is a BPE model with no merges, so transformers and llama.cpp can read it.
        """
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        vocabulary = {character: i for i, character in enumerate(sorted(characters))}
        vocabulary[BOUNDARY] = len(vocabulary)
        backend = Backend(models.BPE(vocab=vocabulary, merges=[], unk_token=BOUNDARY))
        backend.add_special_tokens([AddedToken(BOUNDARY, special=True, normalized=False)])
        backend.decoder = decoders.Fuse()
        if begins_documents:
            backend.post_processor = processors.TemplateProcessing(
                single=f"{BOUNDARY} $A", special_tokens=[(BOUNDARY, vocabulary[BOUNDARY])]
            )
        return cls(backend)

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
        return cls(backend)

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

    def encode(self, text: str) -> list[int]:
        """The ids of a text, and nothing else."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

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

    def unknown(self, text: str) -> list[str]:
        """The characters of a text for which there is no id of their own, in order."""
        pieces = dict.fromkeys(text)
        # Python reads bytes that are no UTF-8 as surrogates, which `tokenizers` does not take.
        return [p for p in pieces if "\ud800" <= p <= "\udfff" or self.boundary in self.encode(p)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without boundary symbols."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=True)
        return text

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids as they come, in pieces that never cut a character in two.

        The pieces together are `decode` of all ids.
        """
        stream = DecodeStream(skip_special_tokens=True)
        seen: list[int] = []
        length = 0
        for token in ids:
            seen.append(token)
            piece = stream.step(self._backend, token)
            if piece:
                length += len(piece)
                yield piece
        rest = self.decode(seen)[length:]  # bytes that never became a character
        if rest:
            yield rest

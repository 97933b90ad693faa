"""Small models and tokenizers."""

from __future__ import annotations

import random

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from anexa.model.config import ModelConfig
from anexa.model.model import Model
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.weights import initial_weights

CORPUS = "Voilà: a café , \tnaïve😀!\nThe 2nd line.\r\n日本語 <|x|>"

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def byte_tokenizer() -> Tokenizer:
    """Byte-level BPE as GPT-2's: a character beyond ASCII is several tokens, or part of one.

    Some tokens hold half an é and the letter beside it.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    space, first, second = "Ġ", "Ã", "©"  # a space and the two bytes of é, as ByteLevel has them
    merges = [(space, "a"), ("a", first), (second, "b"), ("l", "l")]
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)}
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    vocabulary[END_OF_TEXT] = len(vocabulary)
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return Tokenizer(backend)


def without_end() -> Tokenizer:
    """Make a tokenizer of bytes in which no token begins or ends a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend)


def small_model(
    model_type: str = "gpt2", adds_bos: bool = False, tokenizer: Tokenizer | None = None
) -> Model:
    """Make an untrained model."""
    tokenizer = tokenizer or Tokenizer.from_characters([CORPUS], adds_bos)
    config = ModelConfig(
        model_type, tokenizer.vocab_size, block_size=16, n_embd=8, n_head=2, n_layer=2
    )
    return Model(config, initial_weights(config, random.Random(1)), tokenizer)


MODEL = small_model()

"""Models with random weights, small enough for every engine."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, decoders
from tokenizers import Tokenizer as Backend
from tokenizers import models as backends

from anexa.engines import Engine, open_engine
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.weights import Weight, Weights, initial_weights
from tests.engines.helpers import random_weights

BLOCK_SIZE = 8


def weights_of(config: ModelConfig, seed: int = 1, scale: float = 4.0) -> Weights:
    """Initial weights times `scale`, so that the tokens are far from equally likely."""
    return {
        name: Weight(w.shape, array("d", (scale * x for x in w.data)))
        for name, w in initial_weights(config, random.Random(seed)).items()
    }


def config_of(model_type: str, vocab_size: int) -> ModelConfig:
    return ModelConfig(
        model_type=model_type,
        vocab_size=vocab_size,
        block_size=BLOCK_SIZE,
        n_embd=8,
        n_head=2,
        n_layer=2,
    )


def engine_of(name: str, model_type: str, vocab_size: int) -> Engine:
    config = config_of(model_type, vocab_size)
    return open_engine(name, config, weights_of(config))


@cache
def random_engine(name: str, model_type: str, vocab_size: int, block_size: int) -> Any:
    """An engine of a small model with random weights, the same one for every test."""
    config = ModelConfig(model_type, vocab_size, block_size, n_embd=16, n_head=4, n_layer=2)
    return open_engine(name, config, random_weights(config, seed=2))


def letters() -> Tokenizer:
    """Character tokenizer of five letters."""
    return Tokenizer.from_characters(["abcde"], adds_bos=False)


def pieces() -> Tokenizer:
    """BPE tokenizer whose tokens have one to three letters."""
    words = ["a", "b", "c", "ab", "bc", "ca", "abc", "bb", "cab"]
    vocabulary = {word: i for i, word in enumerate([*words, END_OF_TEXT])}
    merges = [("a", "b"), ("b", "c"), ("c", "a"), ("ab", "c"), ("b", "b"), ("c", "ab")]
    backend = Backend(backends.BPE(vocab=vocabulary, merges=merges, unk_token=END_OF_TEXT))
    backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    backend.decoder = decoders.Fuse()
    return Tokenizer(backend)


def spelling(words: Sequence[str]) -> tuple[Engine, Tokenizer]:
    """A model that generates these words, a token each, and then the end of the text, after any
    prompt of one token: its output depends on the position alone.
    """
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(["?", *words, END_OF_TEXT]))}
    backend = Backend(backends.BPE(vocab=vocabulary, merges=[], unk_token=END_OF_TEXT))
    backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    backend.decoder = decoders.Fuse()
    width = len(words) + 1
    config = ModelConfig(
        "microgpt", len(vocabulary), block_size=width, n_embd=width, n_head=1, n_layer=1
    )
    weights = {
        name: Weight(w.shape, array("d", [0.0]) * len(w.data))
        for name, w in initial_weights(config, random.Random(1)).items()
    }
    for position, word in enumerate([*words, END_OF_TEXT]):
        weights["wpe.weight"].data[position * width + position] = 1.0
        weights["lm_head.weight"].data[vocabulary[word] * width + position] = 1.0
    return open_engine("numpy", config, weights), Tokenizer(backend)

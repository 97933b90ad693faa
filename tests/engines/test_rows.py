"""Many texts read at once: every row is what it would be alone."""

from __future__ import annotations

import random
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import ENGINES, Engine, RowsEngine, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import models, needs_torch, random_weights

VOCABULARY, ROWS = 13, 5

each_rows_engine = pytest.mark.parametrize(
    "name", ["numpy", pytest.param("torch", marks=needs_torch)]
)


def engine_of(name: str, model_type: str) -> RowsEngine:
    config = ModelConfig(model_type, VOCABULARY, block_size=20, n_embd=16, n_head=4, n_layer=2)
    engine = open_engine(name, config, random_weights(config, seed=2))
    assert isinstance(engine, RowsEngine)
    return engine


def check(engine: RowsEngine, texts: list[list[int]], sizes: list[int], seed: int) -> None:
    """Read texts in pieces of these sizes, after each of them drop some; and one by one."""
    rng = random.Random(seed)
    together = engine.new_cache(len(texts))
    one_by_one = cast("Engine", engine)
    alone = [engine.new_cache() for _ in texts]
    read = 0
    for size in sizes:
        pieces = [text[read : read + size] for text in texts]
        read += size
        logits = engine.next_logits_of_rows(pieces, together)
        expected = [one_by_one.next_logits(piece, cache) for piece, cache in zip(pieces, alone)]
        assert logits.shape == (len(texts), engine.config.vocab_size)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        assert together.length == read
        kept = sorted(rng.sample(range(len(texts)), rng.randint(1, len(texts))))
        if rng.random() < 0.5:
            engine.keep_rows(together, kept)
            texts, alone = [texts[i] for i in kept], [alone[i] for i in kept]


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@each_rows_engine
def test_rows_are_what_they_are_alone(name: str, model_type: str) -> None:
    engine, rng = engine_of(name, model_type), random.Random(1)
    texts = [[rng.randrange(VOCABULARY) for _ in range(20)] for _ in range(ROWS)]
    check(engine, texts, [7, 1, 1, 5, 1, 1, 4], seed=3)


@each_rows_engine
@given(data=st.data())
def test_whatever_the_model_and_the_pieces(name: str, data: st.DataObject) -> None:
    config, weights = data.draw(models())
    engine = open_engine(name, config, weights)
    assert isinstance(engine, RowsEngine)
    token = st.integers(0, config.vocab_size - 1)
    text = st.lists(token, min_size=config.block_size, max_size=config.block_size)
    sizes, left = [], config.block_size
    while left:
        sizes.append(data.draw(st.integers(1, left)))
        left -= sizes[-1]
    texts = data.draw(st.lists(text, min_size=1, max_size=4))
    check(engine, texts, sizes, data.draw(st.integers(0, 999)))


@each_rows_engine
def test_rows_change_their_places(name: str) -> None:
    engine = engine_of(name, "llama")
    cache = engine.new_cache(3)
    first = engine.next_logits_of_rows([[1, 2], [3, 4], [5, 6]], cache)
    again = engine.new_cache(2)
    np.testing.assert_allclose(
        engine.next_logits_of_rows([[5, 6], [1, 2]], again), first[[2, 0]], rtol=0, atol=1e-5
    )
    engine.keep_rows(cache, [2, 0])
    np.testing.assert_allclose(
        engine.next_logits_of_rows([[7], [8]], cache),
        engine.next_logits_of_rows([[7], [8]], again),
        rtol=0,
        atol=1e-5,
    )


def test_only_the_fast_engines_do() -> None:
    config = ModelConfig("llama", 5, block_size=4, n_embd=4, n_head=2, n_layer=1)
    weights = random_weights(config, seed=1)
    fast = ("numpy", "torch")
    for name in ENGINES:
        if name == "torch":
            pytest.importorskip("torch", reason="PyTorch is not installed")
        assert isinstance(open_engine(name, config, weights), RowsEngine) == (name in fast)

"""Many texts read at once: every row is what it would be alone."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import ENGINES, BatchEngine, KVCache, open_engine
from anexa.engines.device import DeviceConfig
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import models, needs_torch, random_weights

VOCABULARY = 13

each_rows_engine = pytest.mark.parametrize(
    "name", ["numpy", pytest.param("torch", marks=needs_torch)]
)


def engine_of(name: str, model_type: str) -> BatchEngine:
    config = ModelConfig(model_type, VOCABULARY, block_size=20, n_embd=16, n_head=4, n_layer=2)
    engine = open_engine(name, config, random_weights(config, seed=2))
    assert isinstance(engine, BatchEngine)
    return engine


class Company:
    """Texts in rows, and each of them alone."""

    def __init__(self, engine: BatchEngine, most: int) -> None:
        self.engine, self.most = engine, most
        self.rows = engine.new_batch_cache(most)
        self.alone: list[KVCache] = []

    def join(self, text: list[int]) -> None:
        one, other = self.engine.new_kv_cache(), self.engine.new_kv_cache()
        for cache in (one, other):
            self.engine.next_logits(text, cache)
        self.alone.append(one)
        self.engine.add_sequence(self.rows, other)

    def leave(self, row: int) -> None:
        self.engine.remove_sequence(self.rows, row)
        self.alone[row] = self.alone[-1]
        self.alone.pop()

    def read(self, tokens: list[int]) -> None:
        logits_BV = self.engine.batch_next_logits(tokens, self.rows)
        expected = [self.engine.next_logits([t], cache) for t, cache in zip(tokens, self.alone)]
        assert logits_BV.shape == (len(tokens), self.engine.config.vocab_size)
        bound = 1e-9 if logits_BV.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(logits_BV, expected, rtol=0, atol=bound)
        assert self.rows.lengths == [cache.length for cache in self.alone]


@each_rows_engine
@given(data=st.data())
def test_rows_are_what_they_are_alone(name: str, data: st.DataObject) -> None:
    """Whoever comes and goes meanwhile."""
    config, weights = data.draw(models())
    # In float32 some of these models, of width 2, make a large number of a rounding.
    engine = open_engine(name, config, weights, device_config=DeviceConfig(dtype="float64"))
    assert isinstance(engine, BatchEngine)
    token = st.integers(0, config.vocab_size - 1)
    company = Company(engine, most=data.draw(st.integers(1, 6)))
    for _ in range(data.draw(st.integers(1, 8))):
        comes, goes = data.draw(st.booleans()), data.draw(st.booleans())
        if len(company.alone) < company.most and comes:
            text = st.lists(token, min_size=1, max_size=config.block_size)
            company.join(data.draw(text))
        full = [n for n, cache in enumerate(company.alone) if cache.length == config.block_size]
        for row in reversed(full):
            company.leave(row)
        if company.alone:
            count = len(company.alone)
            company.read(data.draw(st.lists(token, min_size=count, max_size=count)))
        if company.alone and goes:
            company.leave(data.draw(st.integers(0, len(company.alone) - 1)))


def read_in_company(
    engine: BatchEngine, texts: list[list[int]], most: int, seed: int
) -> list[list[bytes]]:
    """The logits after each token of each text but the first ones, as at most so many are read
    together; whoever is done makes room for another.
    """
    rng, rows = random.Random(seed), engine.new_batch_cache(most)
    waiting, inside = [*range(len(texts))], list[int]()
    rng.shuffle(waiting)
    read: list[list[bytes]] = [[] for _ in texts]
    while waiting or inside:
        while waiting and len(inside) < most and (not inside or rng.random() < 0.7):
            inside.append(waiting.pop())
            cache = engine.new_kv_cache()
            engine.next_logits(texts[inside[-1]][:2], cache)
            engine.add_sequence(rows, cache)
        tokens = [texts[n][2 + len(read[n])] for n in inside]
        for n, logits_V in zip(inside, engine.batch_next_logits(tokens, rows)):
            read[n].append(logits_V.tobytes())
        for row in reversed(range(len(inside))):
            if len(texts[inside[row]]) == 2 + len(read[inside[row]]):
                engine.remove_sequence(rows, row)
                inside[row] = inside[-1]
                inside.pop()
    return read


SIZES: dict[str, dict[str, Any]] = {
    "usual": {"block_size": 192, "n_embd": 128, "n_head": 4, "n_layer": 2},
    "odd": {"block_size": 150, "n_embd": 60, "n_head": 3, "n_layer": 1},
    "odder": {"block_size": 65, "n_embd": 42, "n_head": 3, "n_layer": 1},
    "wide": {"block_size": 30, "n_embd": 256, "n_head": 2, "n_layer": 1},
}


@each_rows_engine
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_company_changes_no_bit(model_type: str, sizes: str, name: str) -> None:
    """So that a text is the same in any, whatever it is that is as likely as another."""
    config = ModelConfig(model_type, 101, **SIZES[sizes])
    engine = open_engine(
        name, config, random_weights(config, seed=2), device_config=DeviceConfig("cpu")
    )
    assert isinstance(engine, BatchEngine)
    rng = random.Random(1)
    lengths = [rng.randint(3, config.block_size) for _ in range(24)]
    texts = [[rng.randrange(101) for _ in range(length)] for length in lengths]
    alone = [read_in_company(engine, [text], 1, seed=0)[0] for text in texts]
    for most in (2, 5, 24):
        assert read_in_company(engine, texts, most, seed=most) == alone


@each_rows_engine
def test_numbers_that_are_none_stay_where_they_are(name: str) -> None:
    """A text that has gone leaves nothing behind."""
    engine = engine_of(name, "llama")
    company = Company(engine, most=3)
    for text in ([1, 2, 3, 4], [5, 6], [7]):
        company.join(text)
    for keys, values in company.rows.layers:
        keys[0, :, :4], values[0, :, :4] = math.nan, math.nan
    company.leave(0)
    company.read([8, 9])
    company.join([1])
    company.read([2, 3, 4])


def test_only_the_fast_engines_do() -> None:
    config = ModelConfig("llama", 5, block_size=4, n_embd=4, n_head=2, n_layer=1)
    weights = random_weights(config, seed=1)
    fast = ("numpy", "torch")
    for name in ENGINES:
        if name == "torch":
            pytest.importorskip("torch", reason="PyTorch is not installed")
        assert isinstance(open_engine(name, config, weights), BatchEngine) == (name in fast)

from __future__ import annotations

import random
from importlib.util import find_spec
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import ENGINES, open_engine
from anexa.generation import Completion, Reader, Sampler, SamplingParams, decode, window_start
from anexa.model.architectures import ARCHITECTURES
from tests.generation.models import (
    BLOCK_SIZE,
    config_of,
    engine_of,
    letters,
    weights_of,
)
from tests.training.runs import each_engine

VOCABULARY = 11
each_architecture = pytest.mark.parametrize("model_type", ARCHITECTURES)
lengths = st.integers(0, 5000)
block_sizes = st.integers(1, 600)


# The window


@given(lengths, block_sizes)
def test_the_window_fits_and_is_well_filled(length: int, block_size: int) -> None:
    visible = length - window_start(length, block_size)
    if length <= block_size:
        assert visible == length
    else:
        assert 1 <= visible <= block_size
        if block_size >= 4:
            assert visible > block_size * 3 / 4


@given(block_sizes)
def test_the_window_only_moves_on_and_seldom(block_size: int) -> None:
    starts = [window_start(length, block_size) for length in range(4 * block_size)]
    assert all(a <= b for a, b in pairwise(starts))
    moves = [length for length, (a, b) in enumerate(pairwise(starts), 1) if a != b]
    assert all(b - a == max(1, block_size // 4) for a, b in pairwise(moves))
    assert not moves or moves[0] == block_size + 1


# With a cache and without one


@each_architecture
@each_engine
def test_reading_token_by_token_is_reading_at_once(engine: str, model_type: str) -> None:
    model = engine_of(engine, model_type, VOCABULARY)
    rng = random.Random(3)
    tokens = [rng.randrange(VOCABULARY) for _ in range(3 * BLOCK_SIZE)]
    reader = Reader(model)
    tolerance = 1e-9 if model.dtype == "float64" else 1e-4
    n = 3
    logits = reader.read(tokens[:n])
    while True:
        uncached = model.logits(tokens[window_start(n, BLOCK_SIZE) : n])[-1]
        np.testing.assert_allclose(logits, uncached, rtol=0, atol=tolerance)
        if n == len(tokens):
            break
        logits = reader.read([tokens[n]])
        n += 1


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_it_does_not_matter_in_what_pieces_a_text_is_read(sizes: list[int]) -> None:
    model = engine_of("numpy", "gpt2", VOCABULARY)
    rng = random.Random(4)
    tokens = [rng.randrange(VOCABULARY) for _ in range(sum(sizes))]
    reader = Reader(model)
    n = 0
    for size in sizes:
        logits = reader.read(tokens[n : n + size])
        n += size
        uncached = model.logits(tokens[window_start(n, BLOCK_SIZE) : n])[-1]
        np.testing.assert_allclose(logits, uncached, rtol=0, atol=1e-4)


@each_engine
def test_decoding_continues_what_it_drew(engine: str) -> None:
    model = engine_of(engine, "microgpt", VOCABULARY)
    sampling = SamplingParams(1.0, seed=6)
    drawn = list(islice(decode(model, [3, 1, 4], Sampler(sampling)), 30))
    sampler = Sampler(sampling)
    text = [3, 1, 4]
    for _ in range(30):  # the same, without a cache
        visible = text[window_start(len(text), BLOCK_SIZE) :]
        text.append(sampler.draw(model.logits(visible)[-1]))
    assert drawn == text[3:]
    assert len(set(drawn)) > 3


# One model, all engines


@each_architecture
def test_all_engines_write_the_same(model_type: str) -> None:
    tokenizer = letters()
    config = config_of(model_type, tokenizer.vocab_size)
    weights = weights_of(config)
    engines = [name for name in ENGINES if name != "torch" or find_spec("torch")]
    for temperature in (0.0, 1.0):
        texts = set()
        for name in engines:
            engine = open_engine(name, config, weights)
            sampler = Sampler(SamplingParams(temperature))
            completion = Completion(engine, tokenizer, "bead", sampler, max_tokens=3 * BLOCK_SIZE)
            texts.add("".join(completion))
        assert len(texts) == 1

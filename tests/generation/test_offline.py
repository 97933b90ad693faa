"""Offline generation: a stream of tokens, and batches of prompts."""

from __future__ import annotations

import random
from array import array
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import Engine, installed_engines, open_engine
from anexa.engines.sequential import SequentialEngine
from anexa.errors import AnexaError, UsageError
from anexa.generation import (
    BatchScheduler,
    Sampler,
    SamplingParams,
    generate_batch,
    generate_tokens,
    stream_text,
    window_start,
)
from anexa.model.architectures import ARCHITECTURES
from anexa.model.weights import Weight
from tests.engines.helpers import random_weights
from tests.generation.models import BLOCK_SIZE, config_of, engine_of, letters, weights_of
from tests.training.runs import each_engine

VOCABULARY = 11
EOS = 7
each_architecture = pytest.mark.parametrize("model_type", ARCHITECTURES)


def random_tokens(count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(VOCABULARY) for _ in range(count)]


def uncached_logits(engine: Engine, tokens: list[int]) -> list[float]:
    return engine.logits(tokens[window_start(len(tokens), BLOCK_SIZE) :])[-1]


# Cached and uncached


@each_architecture
@each_engine
def test_cached_logits_equal_uncached_ones_beyond_the_context(engine: str, model_type: str) -> None:
    model = engine_of(engine, model_type, VOCABULARY)
    tolerance = 1e-9 if model.dtype == "float64" else 1e-4
    scheduler = BatchScheduler(SequentialEngine(model), max_num_seqs=1)
    sequence = scheduler.add(random_tokens(3, seed=3), Sampler(SamplingParams(1.0)))
    while len(sequence.tokens) < 2 * BLOCK_SIZE:
        [output] = scheduler.step()
        expected = uncached_logits(model, sequence.tokens[:-1])
        np.testing.assert_allclose(output.logits, expected, rtol=0, atol=tolerance)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_prompts_of_any_length_have_the_logits_of_an_uncached_pass(sizes: list[int]) -> None:
    model = engine_of("numpy", "gpt2", VOCABULARY)
    tokens = random_tokens(sum(sizes), seed=4)
    scheduler = BatchScheduler(model, len(sizes))
    lengths = {scheduler.add(tokens[:n], Sampler(SamplingParams(0.0))): n for n in np.cumsum(sizes)}
    outputs = scheduler.step()
    assert {output.sequence for output in outputs} == lengths.keys()
    for output in outputs:
        expected = uncached_logits(model, tokens[: lengths[output.sequence]])
        np.testing.assert_allclose(output.logits, expected, rtol=0, atol=1e-4)


@given(st.lists(st.integers(1, BLOCK_SIZE), min_size=1, max_size=6))
def test_logits_do_not_depend_on_the_chunks_of_prefill(sizes: list[int]) -> None:
    model = engine_of("numpy", "gpt2", VOCABULARY)
    tokens = random_tokens(BLOCK_SIZE, seed=4)
    cache, n = model.new_kv_cache(), 0
    for size in sizes:
        if n == BLOCK_SIZE:
            break
        logits = model.next_logits(tokens[n : n + size], cache)
        n = min(n + size, BLOCK_SIZE)
        expected = uncached_logits(model, tokens[:n])
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


@each_engine
def test_generated_tokens_are_those_sampled_without_a_cache(engine: str) -> None:
    model = engine_of(engine, "microgpt", VOCABULARY)
    params = SamplingParams(1.0, seed=6)
    generated = list(islice(generate_tokens(model, [3, 1, 4], Sampler(params)), 30))
    sampler = Sampler(params)
    tokens = [3, 1, 4]
    for _ in range(30):
        tokens.append(sampler.sample(uncached_logits(model, tokens)))
    assert generated == tokens[3:]
    assert len(set(generated)) > 3


# One model, all engines


@each_architecture
def test_all_engines_generate_the_same_text(model_type: str) -> None:
    tokenizer = letters()
    config = config_of(model_type, tokenizer.vocab_size)
    weights = weights_of(config)
    engines = [open_engine(name, config, weights) for name in installed_engines()]
    for temperature in (0.0, 1.0):
        texts = set()
        for engine in engines:
            sampler = Sampler(SamplingParams(temperature))
            stream = stream_text(engine, tokenizer, "bead", sampler, max_tokens=2 * BLOCK_SIZE)
            texts.add("".join(stream))
        assert len(texts) == 1


# Lists of prompts


@each_engine
@pytest.mark.parametrize("max_tokens", [None, 1, 3])
def test_a_batch_has_the_continuations_of_its_prompts_alone(
    engine: str, max_tokens: int | None
) -> None:
    model = engine_of(engine, "llama", VOCABULARY)
    prompts = [random_tokens(1 + seed % BLOCK_SIZE, seed) for seed in range(20)]
    params = [SamplingParams(seed % 2, seed=seed) for seed in range(20)]
    expected = []
    for prompt, how in zip(prompts, params):
        limit = BLOCK_SIZE + 1 - len(prompt)
        limit = limit if max_tokens is None else min(limit, max_tokens)
        tokens = [*islice(generate_tokens(model, prompt, Sampler(how)), limit)]
        expected.append(tokens[: tokens.index(EOS)] if EOS in tokens else tokens)
    assert generate_batch(model, prompts, EOS, params, max_tokens) == expected
    assert any(EOS not in tokens for tokens in expected)
    assert max_tokens == 1 or len({len(tokens) for tokens in expected}) > 1


@pytest.mark.parametrize("count", [0, 1, 200])
def test_a_batch_is_greedy_by_default(count: int) -> None:
    model = engine_of("numpy", "gpt2", VOCABULARY)
    prompts = [random_tokens(3, seed) for seed in range(count)]
    greedy = [SamplingParams(0.0)] * count
    assert generate_batch(model, prompts, EOS) == generate_batch(model, prompts, EOS, greedy)


def test_a_prompt_without_room_has_no_continuation() -> None:
    model = engine_of("numpy", "gpt2", VOCABULARY)
    full, too_long = random_tokens(BLOCK_SIZE, 1), random_tokens(BLOCK_SIZE + 1, 1)
    texts = generate_batch(model, [too_long, full], -1)
    assert [len(text) for text in texts] == [0, 1]


def shortened(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens before the first one that ends the text."""
    return tokens[: next((n for n, token in enumerate(tokens) if token in ends), len(tokens))]


def test_stop_tokens_and_ignore_eos_end_a_completion_as_they_do_in_a_text() -> None:
    model = engine_of("numpy", "llama", VOCABULARY)
    prompts = [random_tokens(2, seed) for seed in range(20)]
    stop, limit = [1, 5], BLOCK_SIZE - 1
    cases: list[tuple[dict[str, Any], set[int]]] = [
        ({"ignore_eos": True}, set()),
        ({"stop_token_ids": stop}, {EOS, *stop}),
        ({"ignore_eos": True, "stop_token_ids": stop}, {*stop}),
    ]
    for fields, ends in cases:
        params = [SamplingParams(1.0, seed=seed, **fields) for seed in range(20)]
        whole = [
            [*islice(generate_tokens(model, prompt, Sampler(how)), limit)]
            for prompt, how in zip(prompts, params)
        ]
        expected = [shortened(tokens, ends) for tokens in whole]
        assert generate_batch(model, prompts, EOS, params) == expected
        assert expected != [shortened(tokens, {EOS}) for tokens in whole], "a test of nothing"


def test_no_completion_ends_before_min_tokens() -> None:
    model = engine_of("numpy", "llama", VOCABULARY)
    prompts = [random_tokens(2, seed) for seed in range(20)]
    lengths = {}
    for least in (0, 3):
        params = [SamplingParams(1.0, seed=seed, min_tokens=least) for seed in range(20)]
        lengths[least] = min(map(len, generate_batch(model, prompts, EOS, params)))
    assert lengths[0] < 3 <= lengths[3]


@pytest.mark.parametrize("prompts", [[], [[1]]])
def test_limits_and_tokens_out_of_range_are_refused(prompts: list[list[int]]) -> None:
    model = engine_of("numpy", "llama", VOCABULARY)
    for limit in (0, -1):
        with pytest.raises(UsageError, match=f"max_tokens must be at least 1, not {limit}"):
            generate_batch(model, prompts, EOS, max_tokens=limit)
    params = [SamplingParams(stop_token_ids=[VOCABULARY])]
    with pytest.raises(UsageError, match=f"stop_token_ids contains the token id {VOCABULARY}"):
        generate_batch(model, prompts, EOS, params)


def test_damaged_weights_are_an_error_of_one_sentence() -> None:
    config = config_of("gpt2", VOCABULARY)
    weights = random_weights(config, seed=1)
    damaged = {
        name: Weight(w.shape, array(w.typecode, [float("nan")] * len(w.data)))
        for name, w in weights.items()
    }
    engine = open_engine("numpy", config, damaged)
    with pytest.raises(AnexaError, match="not a number"):
        generate_batch(engine, [[1]], EOS)
    with pytest.raises(AnexaError, match="not a number"):
        next(generate_tokens(engine, [1], Sampler(SamplingParams(0.0))))

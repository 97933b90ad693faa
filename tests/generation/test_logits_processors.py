"""Bias, penalties, min-p, min_tokens and constraints: as transformers and vLLM define them."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.errors import AnexaError, UsageError
from anexa.generation import (
    Constraint,
    Prompt,
    Sampler,
    SamplingParams,
    TextStream,
    generate_tokens,
    probabilities,
)
from anexa.generation.sampling import SequenceTokens, sample_batch
from anexa.generation.scheduler import BatchScheduler
from tests.engines.helpers import ALL_ENGINES, needs_torch
from tests.generation.models import engine_of, letters

V, EOS = 12, 11
token_ids = st.integers(0, V - 1)
sequences = st.builds(
    lambda prompt, generated: SequenceTokens([*prompt, *generated], len(prompt)),
    st.lists(token_ids, min_size=1, max_size=9),
    st.lists(token_ids, max_size=9),
)
eighths = st.integers(-72, 72).map(lambda n: n / 8)  # transformers rounds to float32
biases = st.none() | st.dictionaries(token_ids, eighths, min_size=1, max_size=4)
penalties = st.floats(-2, 2)
all_params = st.builds(
    SamplingParams,
    temperature=st.floats(0.2, 3),
    top_k=st.none() | st.integers(1, V),
    top_p=st.floats(0.05, 1),
    seed=st.integers(0, 99),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.5, 3),
    frequency_penalty=penalties,
    presence_penalty=penalties,
    logit_bias=biases,
    min_tokens=st.integers(0, 9),
    stop_token_ids=st.lists(token_ids, max_size=2),
    ignore_eos=st.booleans(),
)


def random_logits(seed: int) -> npt.NDArray[np.float64]:
    """Logits that differ, so that ties, which transformers keeps, do not occur."""
    rng = random.Random(seed)
    return np.array([rng.gauss(0, 3) for _ in range(V)])


def sampled_probabilities(
    logits_V: npt.NDArray[np.float64], params: SamplingParams, sequence: SequenceTokens
) -> npt.NDArray[np.float64]:
    processed_V = Sampler(params, None, [EOS]).process_logits(logits_V, sequence)
    p_V: npt.NDArray[np.float64] = probabilities(processed_V[None], [params])[0]
    return p_V


@needs_torch
@given(st.integers(0, 2**32), all_params, sequences)
@settings(max_examples=40)
def test_probabilities_equal_those_of_transformers(
    seed: int, params: SamplingParams, sequence: SequenceTokens
) -> None:
    """transformers has no frequency and presence penalties."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    process = pytest.importorskip(
        "transformers.generation.logits_process", reason="transformers is not installed"
    )
    params = replace(params, frequency_penalty=0.0, presence_penalty=0.0)
    params = replace(params, ignore_eos=False, stop_token_ids=())
    processors: list[Any] = []
    if params.logit_bias:
        bias = [[[token], value] for token, value in params.logit_bias.items()]
        processors.append(process.SequenceBiasLogitsProcessor(bias))
    processors += [
        process.RepetitionPenaltyLogitsProcessor(float(params.repetition_penalty)),
        process.MinNewTokensLengthLogitsProcessor(
            sequence.num_prompt_tokens, params.min_tokens, EOS
        ),
        process.TemperatureLogitsWarper(float(params.temperature)),
        process.TopKLogitsWarper(params.top_k or V),
        process.TopPLogitsWarper(float(params.top_p)),
        process.MinPLogitsWarper(float(params.min_p)),
    ]
    logits_V = random_logits(seed)
    ids, scores = torch.tensor([sequence.tokens]), torch.tensor(logits_V[None])
    for processor in processors:
        scores = processor(ids, scores)
    expected_V = scores.softmax(-1)[0].numpy()
    actual_V = sampled_probabilities(logits_V, params, sequence)
    np.testing.assert_allclose(actual_V, expected_V, rtol=1e-9)


@given(st.integers(0, 2**32), penalties, penalties, sequences)
def test_frequency_and_presence_count_generated_tokens(
    seed: int, frequency: float, presence: float, sequence: SequenceTokens
) -> None:
    """OpenAI's and vLLM's definition, token by token; the prompt does not count."""
    params = SamplingParams(frequency_penalty=frequency, presence_penalty=presence)
    logits_V = random_logits(seed)
    counts = Counter(sequence.tokens[sequence.num_prompt_tokens :])
    expected = [
        z - frequency * counts[i] - presence * (counts[i] > 0) for i, z in enumerate(logits_V)
    ]
    processed_V = Sampler(params).process_logits(logits_V, sequence)
    np.testing.assert_allclose(processed_V, expected, rtol=1e-12, atol=1e-12)


def test_repetition_penalty_counts_prompt_and_generated_tokens() -> None:
    params = SamplingParams(repetition_penalty=2.0)
    logits_V = np.array([3.0, -3.0, 5.0, -5.0])
    processed_V = Sampler(params).process_logits(logits_V, SequenceTokens([0, 0, 1], 1))
    assert processed_V.tolist() == [1.5, -6.0, 5.0, -5.0]


@given(st.integers(0, 2**32), all_params, sequences)
def test_processing_leaves_the_logits_of_the_engine_as_they_are(
    seed: int, params: SamplingParams, sequence: SequenceTokens
) -> None:
    """Log probabilities are those of the engine's logits."""
    logits_BV = random_logits(seed)[None]
    sample_batch(logits_BV, [Sampler(params, None, [EOS])], [sequence])
    assert logits_BV[0].tolist() == random_logits(seed).tolist()


@pytest.mark.parametrize("penalty", [5e-324, 1e-300, 1e300])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e300])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1.0])
def test_extreme_penalties_sample_a_token(penalty: float, scale: float, temperature: float) -> None:
    params = SamplingParams(temperature, repetition_penalty=penalty, logit_bias={1: 100.0})
    logits = [scale, -scale, 0.0, scale]
    for tokens in ([0], [1], [0, 1, 2, 3]):
        assert 0 <= Sampler(params).sample(logits, tokens, 1) < len(logits)


# min_tokens, and tokens that end a text


@given(st.integers(0, 2**32), all_params, sequences)
def test_no_token_ends_the_text_before_min_tokens(
    seed: int, params: SamplingParams, sequence: SequenceTokens
) -> None:
    ends = {*params.stop_token_ids} | (set() if params.ignore_eos else {EOS})
    p_V = sampled_probabilities(random_logits(seed), params, sequence)
    assert sum(p_V) == pytest.approx(1)
    if len(sequence.tokens) - sequence.num_prompt_tokens < params.min_tokens:
        assert not any(p_V[token] for token in ends)


def test_a_vocabulary_of_ends_alone_is_sampled_from() -> None:
    params = SamplingParams(1.0, min_tokens=3, stop_token_ids=[0, 1])
    assert Sampler(params).sample([1.0, 2.0], [0], 1) in (0, 1)


def read(text: TextStream, tokens: list[int]) -> tuple[str, str | None, int]:
    for token in tokens:
        if not text.finish_reason:
            text.add(token)
    return text.text, text.finish_reason, text.num_tokens


LETTERS = letters()  # a b c d e, and the end-of-text token 5


@pytest.mark.parametrize(
    ("params", "stop", "expected"),
    [
        ({}, (), ("ab", "stop", 2)),
        ({"ignore_eos": True}, (), ("abcabc", "length", 7)),
        ({"ignore_eos": True, "stop_token_ids": [2]}, (), ("ab", "stop", 3)),
        ({"stop_token_ids": [1]}, (), ("a", "stop", 1)),
        ({"ignore_eos": True}, ("b",), ("a", "stop", 2)),
        ({"ignore_eos": True, "min_tokens": 1}, ("b",), ("a", "stop", 2)),
        ({"ignore_eos": True, "min_tokens": 2}, ("b",), ("abca", "stop", 6)),
        ({"ignore_eos": True, "min_tokens": 1}, ("ab",), ("", "stop", 2)),
        ({"ignore_eos": True, "min_tokens": 2}, ("ab",), ("abc", "stop", 6)),
        ({"ignore_eos": True, "min_tokens": 7}, ("b",), ("abcabc", "length", 7)),
    ],
)
def test_what_ends_a_text(
    params: dict[str, Any], stop: tuple[str, ...], expected: tuple[str, str, int]
) -> None:
    text = TextStream(
        LETTERS,
        Prompt(LETTERS, 8, "a"),
        max_tokens=7,
        stop=stop,
        params=SamplingParams(**params),
    )
    assert read(text, [0, 1, 5, 2, 0, 1, 2]) == expected


def test_min_tokens_above_max_tokens_is_refused() -> None:
    prompt, params = Prompt(LETTERS, 8, "a"), SamplingParams(min_tokens=8)
    with pytest.raises(
        UsageError, match="min_tokens must be at most max_tokens, which is 7, not 8"
    ):
        TextStream(LETTERS, prompt, max_tokens=7, params=params)


# Constraints


class Alternation:
    """Tokens in turns; the end-of-sequence token after `length` of them."""

    def __init__(self, turns: list[list[int]], length: int = 99, fails_at: int = 99) -> None:
        self.turns, self.length, self.fails_at = turns, length, fails_at
        self.tokens: list[int] = []

    def mask(self) -> npt.NDArray[np.bool_]:
        if len(self.tokens) == self.fails_at:
            raise AnexaError("the grammar is too large")
        mask_V = np.zeros(V, bool)
        at = len(self.tokens)
        mask_V[[EOS] if at >= self.length else self.turns[at % len(self.turns)]] = True
        return mask_V

    def advance(self, token: int) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_constraint_decides_which_tokens_are_sampled(temperature: float) -> None:
    constraint: Constraint = Alternation([[1, 2], [3]], length=4)
    sampler = Sampler(SamplingParams(temperature, min_tokens=9), constraint, [EOS])
    engine = engine_of("numpy", "llama", V)
    tokens = [*islice(generate_tokens(engine, [7], sampler), 5)]
    assert {tokens[0], tokens[2]} <= {1, 2}
    assert [tokens[1], tokens[3], tokens[4]] == [3, 3, EOS], "min_tokens gives way to it"
    assert vars(constraint)["tokens"] == tokens


def test_a_constraint_that_fails_ends_its_sequence_alone() -> None:
    scheduler = BatchScheduler(engine_of("numpy", "llama", V), 2)
    failing = Sampler(SamplingParams(), Alternation([[1]], fails_at=2))
    first, second = scheduler.add([3], failing), scheduler.add([3], Sampler(SamplingParams()))
    errors = [output for _ in range(4) for output in scheduler.step() if output.error]
    assert [(output.sequence, str(output.error)) for output in errors] == [
        (first, "the grammar is too large")
    ]
    assert first.tokens == [3, 1, 1]
    assert len(second.tokens) == 5


# Sequences together


@pytest.mark.parametrize("name", ALL_ENGINES)
@given(st.lists(all_params, min_size=2, max_size=4))
@settings(max_examples=3)
def test_sequences_in_a_batch_equal_those_alone(name: str, batch: list[SamplingParams]) -> None:
    engine = engine_of(name, "llama", V)
    scheduler, prompt = BatchScheduler(engine, len(batch)), [1, 2, 1]
    together = [scheduler.add(prompt, Sampler(params, None, [EOS])) for params in batch]
    for _ in range(6):
        scheduler.step()
    for sequence, params in zip(together, batch):
        tokens = generate_tokens(engine, prompt, Sampler(params, None, [EOS]))
        assert sequence.tokens == [*prompt, *islice(tokens, len(sequence.tokens) - len(prompt))]


# Bad input


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"min_p": -0.1}, "min_p must be at least 0, not -0.1"),
        ({"min_p": 1.1}, "min_p must be at most 1, not 1.1"),
        ({"min_p": math.nan}, "min_p must be a finite number, not nan"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0, not 0"),
        ({"repetition_penalty": math.inf}, "repetition_penalty must be a finite number, not inf"),
        ({"frequency_penalty": 2.1}, "frequency_penalty must be at most 2, not 2.1"),
        ({"presence_penalty": "1"}, "presence_penalty must be a number, not '1'"),
        ({"min_tokens": -1}, "min_tokens must be at least 0, not -1"),
        ({"min_tokens": 1.5}, "min_tokens must be an integer, not 1.5"),
        ({"min_tokens": 10**12}, "min_tokens must be at most 1,000,000,000, not 1000000000000"),
        ({"ignore_eos": 1}, "ignore_eos must be True or False, not 1"),
        ({"logit_bias": [5]}, "logit_bias must map token ids to numbers, such as "),
        ({"logit_bias": {5: 101}}, "logit_bias of token 5 must be at most 100, not 101"),
        ({"logit_bias": {5: math.nan}}, "logit_bias of token 5 must be a finite number, not nan"),
        ({"logit_bias": {"5": 1}}, "logit_bias: a token id must be an integer, not '5'"),
        ({"logit_bias": {-5: 1}}, "logit_bias: a token id must be at least 0, not -5"),
        ({"stop_token_ids": 5}, "stop_token_ids must be a list of token ids, not 5"),
        ({"stop_token_ids": "ab"}, "stop_token_ids must be a list of token ids, not 'ab'"),
        ({"stop_token_ids": [True]}, "stop_token_ids: a token id must be an integer, not True"),
        ({"stop_token_ids": [None]}, "stop_token_ids: a token id must be an integer, not None"),
    ],
)
def test_values_out_of_range_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}"):
        SamplingParams(**fields)


@pytest.mark.parametrize(
    "fields", [{"logit_bias": {3: 1, 12: 2}}, {"stop_token_ids": [12]}, {"logit_bias": {2**70: 1}}]
)
def test_token_ids_outside_the_vocabulary_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(
        UsageError, match=f"^{name} contains the token id .*of this model are 0 to 11"
    ):
        SamplingParams(**fields).check_token_ids(V)

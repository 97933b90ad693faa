from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError, UsageError
from anexa.generation import Sampler, SamplingParams, probabilities
from anexa.generation.sampling import SequenceTokens, sample_batch

FIVE_THREE_TWO = [math.log(0.5), math.log(0.3), math.log(0.2)]


def token_probabilities(
    logits: Sequence[float], temperature: float = 1.0, **options: float
) -> list[float]:
    """Compute the probability with which each token is sampled."""
    params = SamplingParams(temperature, **options)  # type: ignore[arg-type]
    return [float(x) for x in one_row(logits, params)]


def one_row(logits: Sequence[float], params: SamplingParams) -> npt.NDArray[np.float64]:
    """Compute the sampling probabilities of a batch of one sequence, shape (V,)."""
    return probabilities(np.array([logits]), [params]).ravel()


# By hand


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.3, 0.2]),
        # p² / Σ p², with Σ p² = 0.38
        ({"temperature": 0.5}, [25 / 38, 9 / 38, 4 / 38]),
        ({"temperature": 0}, [1, 0, 0]),
        ({"temperature": 0, "top_k": 2, "top_p": 0.9}, [1, 0, 0]),
        ({"top_k": 1}, [1, 0, 0]),
        ({"top_k": 2}, [0.625, 0.375, 0]),
        ({"top_k": 3}, [0.5, 0.3, 0.2]),
        ({"top_k": 99}, [0.5, 0.3, 0.2]),
        ({"top_p": 1.0}, [0.5, 0.3, 0.2]),
        ({"top_p": 0.85}, [0.5, 0.3, 0.2]),
        ({"top_p": 0.75}, [0.625, 0.375, 0]),
        ({"top_p": 0.55}, [0.625, 0.375, 0]),
        ({"top_p": 0.45}, [1, 0, 0]),
        ({"top_p": 1e-12}, [1, 0, 0]),
        ({"top_p": 0.0}, [1, 0, 0]),
        ({"top_k": 2, "top_p": 0}, [1, 0, 0]),
        ({"temperature": 1e9, "top_k": 1, "top_p": 0.5}, [1, 0, 0]),
        # top-p applies to the probabilities after top-k: 0.5 / 0.8 is 0.625
        ({"top_k": 2, "top_p": 0.6}, [1, 0, 0]),
        ({"top_k": 2, "top_p": 0.65}, [0.625, 0.375, 0]),
        # and after the temperature: 25 / 38 is 0.658
        ({"temperature": 0.5, "top_p": 0.6}, [1, 0, 0]),
        ({"temperature": 0.5, "top_p": 0.7}, [25 / 34, 9 / 34, 0]),
        ({"temperature": 0.5, "top_k": 2, "top_p": 0.73}, [1, 0, 0]),  # 25 / 34 is 0.735
    ],
)
def test_probabilities_by_hand(options: dict[str, float], expected: list[float]) -> None:
    assert token_probabilities(FIVE_THREE_TWO, **options) == pytest.approx(expected)
    # The id of a token does not matter.
    assert token_probabilities(FIVE_THREE_TWO[::-1], **options) == pytest.approx(expected[::-1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_k": 2}, [0, 0.5, 0.5, 0]),
        ({"top_p": 0.1}, [0, 1, 0, 0]),
        ({"top_p": 0.5}, [0, 0.5, 0.5, 0]),
    ],
)
def test_of_equal_logits_the_lower_id_is_likelier(
    options: dict[str, float], expected: list[float]
) -> None:
    assert token_probabilities([0.0, 3.0, 3.0, 3.0], **options) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_non_finite_logits_are_refused(bad: float, temperature: float) -> None:
    with pytest.raises(AnexaError, match="not a number"):
        Sampler(SamplingParams(temperature)).sample([1.0, bad, 2.0])


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9, 1e9, 1e300])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_extreme_temperatures_give_probabilities(temperature: float, scale: float) -> None:
    logits = [-scale, scale, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ps = token_probabilities(logits, temperature)
    assert sum(ps) == pytest.approx(1)
    ratio = scale / temperature
    if ratio > 1e3:
        assert ps == [0, 1, 0]
    if ratio < 1e-3:
        assert ps == pytest.approx([1 / 3] * 3, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": -0.1}, "temperature must be at least 0, not -0.1"),
        ({"temperature": math.nan}, "temperature must be a finite number, not nan"),
        ({"temperature": math.inf}, "temperature must be a finite number, not inf"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_k": -1}, "top_k must be at least 1, not -1"),
        ({"top_p": -0.1}, "top_p must be at least 0, not -0.1"),
        ({"top_p": 1.5}, "top_p must be at most 1, not 1.5"),
        ({"temperature": 10**400}, "temperature must be a finite number, not "),
        ({"temperature": "0.5"}, "temperature must be a number, not '0.5'"),
        ({"temperature": True}, "temperature must be a number, not True"),
        ({"temperature": None}, "temperature must be a number, not None"),
        ({"top_k": 1.5}, "top_k must be an integer, not 1.5"),
        ({"top_k": True}, "top_k must be an integer, not True"),
        ({"top_p": "1"}, "top_p must be a number, not '1'"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": 1.0}, "seed must be an integer, not 1.0"),
        (
            {"seed": 2**64},
            "seed must be below 18,446,744,073,709,551,616, not 184",
        ),
        ({"top_p": math.nan}, "top_p must be a finite number, not nan"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        SamplingParams(**options)


def test_numbers_of_numpy_are_numbers() -> None:
    logits = [1.0, 2.0, 3.0, 4.0]
    of_numpy: Any = (np.float32(0.5), np.int64(3), np.float64(1), np.int32(7))
    sampler = Sampler(SamplingParams(*of_numpy))
    same = Sampler(SamplingParams(0.5, 3, 1.0, 7))
    assert [sampler.sample(logits) for _ in range(9)] == [same.sample(logits) for _ in range(9)]


def test_top_p_takes_no_token_beyond_the_mass() -> None:
    assert token_probabilities([3.0, 3.0], top_p=0.5) == [1, 0]
    assert token_probabilities([3.0, 3.0, 3.0, 3.0], top_p=0.75) == pytest.approx(
        [1 / 3, 1 / 3, 1 / 3, 0]
    )


# Whatever the logits

hundredths = st.integers(-3000, 3000).map(lambda n: n / 100)
logits_lists = st.lists(hundredths, min_size=1, max_size=12)
samplings = st.builds(
    SamplingParams,
    temperature=st.floats(0.1, 10) | st.just(0.0),
    top_k=st.none() | st.integers(1, 15),
    top_p=st.floats(0.01, 1.0),
)


@given(logits_lists, samplings)
def test_only_the_likeliest_tokens_have_probability(
    logits: list[float], sampling: SamplingParams
) -> None:
    ps = one_row(logits, sampling)
    assert ps.shape == (len(logits),)
    assert ps.min() >= 0
    assert ps.sum() == pytest.approx(1)
    kept = [i for i, x in enumerate(ps) if x > 0]
    assert len(kept) <= (sampling.top_k or len(logits))
    dropped = set(range(len(logits))) - set(kept)
    if dropped and sampling.temperature:  # e⁻⁶⁰⁰ is still a number: nothing vanishes by rounding
        assert min(logits[i] for i in kept) >= max(logits[i] for i in dropped)
    if sampling.temperature == 0:
        assert kept == [logits.index(max(logits))]


@given(logits_lists, samplings)
def test_top_p_keeps_the_fewest_tokens(logits: list[float], sampling: SamplingParams) -> None:
    of_top_k = sorted(
        one_row(logits, SamplingParams(sampling.temperature, sampling.top_k)), reverse=True
    )
    n = np.count_nonzero(one_row(logits, sampling))
    assert sum(of_top_k[:n]) >= sampling.top_p - 1e-9
    assert sum(of_top_k[: n - 1]) < sampling.top_p + 1e-9


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=12), st.integers(-999, 999), samplings)
def test_a_shift_of_all_logits_changes_nothing(
    logits: list[int], shift: int, sampling: SamplingParams
) -> None:
    shifted = one_row([z + shift for z in logits], sampling)
    assert list(shifted) == list(one_row(logits, sampling))


@pytest.mark.skipif(
    not (find_spec("transformers") and find_spec("torch")),
    reason="transformers or PyTorch is not installed",
)
def test_probabilities_equal_those_of_transformers() -> None:
    import torch
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    rng = random.Random(1)
    ids = torch.zeros((1, 1), dtype=torch.long)
    supports = set()
    for _ in range(300):
        logits = [rng.gauss(0, 3) for _ in range(rng.randint(2, 40))]
        sampling = SamplingParams(
            temperature=rng.choice([0.3, 0.8, 1.0, 2.5]),
            top_k=rng.choice([None, 1, 3, 10]),
            top_p=rng.choice([0.05, 0.5, 0.9, 0.99, 1.0]),
        )
        scores = torch.tensor([logits], dtype=torch.float64)
        scores = TemperatureLogitsWarper(sampling.temperature)(ids, scores)
        if sampling.top_k is not None:
            scores = TopKLogitsWarper(sampling.top_k)(ids, scores)
        if sampling.top_p < 1:
            scores = TopPLogitsWarper(sampling.top_p)(ids, scores)
        expected = scores.softmax(-1)[0].numpy()
        ps = one_row(logits, sampling)
        np.testing.assert_allclose(ps, expected, rtol=1e-9)
        supports.add(np.count_nonzero(ps) / len(ps))
    assert len(supports) > 20  # it has not been the same case again and again


# Draws


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.8}, {"temperature": 2.0}])
def test_draws_are_as_frequent_as_they_are_probable(options: dict[str, float]) -> None:
    logits = [0.3, -1.0, 1.7, 0.9, -0.2, 1.1]
    sampling = SamplingParams(**{"temperature": 1.0, "seed": 5, **options})  # type: ignore[arg-type]
    sampler = Sampler(sampling)
    n = 10_000
    counts = Counter(sampler.sample(logits) for _ in range(n))
    ps = one_row(logits, sampling)
    assert set(counts) == {i for i, x in enumerate(ps) if x > 0}
    chi_square = sum((counts[i] - n * x) ** 2 / (n * x) for i, x in enumerate(ps) if x > 0)
    assert chi_square < 20.5  # exceeded once in a thousand with 5 degrees of freedom


def test_a_seed_gives_the_same_draws() -> None:
    logits = [0.1 * i for i in range(20)]

    def draws(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(1.0, seed=seed))
        return [sampler.sample(logits) for _ in range(50)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert len(set(draws(1))) > 5


def test_greedy_takes_the_likeliest() -> None:
    sampler = Sampler(SamplingParams(0.0))
    assert [sampler.sample([1.0, 3.0, 2.0]), sampler.sample([2.0, 1.0, 2.0])] == [1, 0]


# Batches


rows = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.tuples(st.lists(hundredths, min_size=width, max_size=width), samplings),
        min_size=1,
        max_size=6,
    )
)


@given(rows)
def test_probabilities_in_a_batch_equal_those_alone(
    batch: list[tuple[list[float], SamplingParams]],
) -> None:
    logits_BV, params = np.array([logits for logits, _ in batch]), [one for _, one in batch]
    together = probabilities(logits_BV, params)
    for row, logits_V, one in zip(together, logits_BV, params):
        assert row.tobytes() == one_row(logits_V, one).tobytes()


@given(rows, st.integers(0, 9))
def test_draws_in_a_batch_equal_those_alone(
    batch: list[tuple[list[float], SamplingParams]], seed: int
) -> None:
    params = [replace(one, seed=seed + number) for number, (_, one) in enumerate(batch)]
    together, alone = ([Sampler(one) for one in params] for _ in range(2))
    logits_BV = np.array([logits for logits, _ in batch])
    for _ in range(5):
        tokens = sample_batch(logits_BV, together, [SequenceTokens((), 0)] * len(together))
        assert tokens == [s.sample(logits) for s, (logits, _) in zip(alone, batch)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_non_finite_logits_affect_only_their_own_sequence(temperature: float) -> None:
    params = SamplingParams(temperature, seed=3)
    good = [0.1, 0.5, 0.3]
    logits_BV = np.array([good, [1.0, math.nan, 2.0], good])
    samplers = [Sampler(params) for _ in logits_BV]
    first, error, last = sample_batch(logits_BV, samplers, [SequenceTokens((), 0)] * len(samplers))
    assert first == last == Sampler(params).sample(good)
    assert isinstance(error, AnexaError)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.8}, [27, 1, 11, 9, 29, 28, 37, 2, 18, 1, 9, 20]),
        (
            {"temperature": 1.3, "top_k": 9, "seed": 7},
            [11, 3, 28, 2, 20, 19, 2, 20, 2, 19, 2, 2],
        ),
        (
            {"temperature": 1.0, "top_p": 0.7, "seed": 1},
            [3, 37, 30, 11, 20, 19, 28, 36, 2, 1, 37, 19],
        ),
        (
            {"temperature": 2.0, "top_k": 20, "top_p": 0.9, "seed": 5},
            [28, 30, 36, 38, 30, 38, 1, 20, 38, 28, 38, 2],
        ),
    ],
)
def test_draws_of_a_seed_are_those_recorded(options: dict[str, float], expected: list[int]) -> None:
    """Tokens recorded on 2026-11-28, before sampling was done in batches."""
    sampler = Sampler(SamplingParams(**options))  # type: ignore[arg-type]
    logits = [math.sin(7 * i) for i in range(40)]
    assert [sampler.sample(logits) for _ in expected] == expected

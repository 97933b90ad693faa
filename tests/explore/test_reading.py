"""A text as a model reads it, against other engines and models of fewer layers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.engines import Batch, DeviceConfig, open_engine
from anexa.explore.reading import is_special, logit_lens, read_sequence, token_text
from anexa.explore.trace import LOGITS, LOSS, trace_batch
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.weights import Weights
from tests.engines.helpers import batches, models, random_weights
from tests.explore.test_terms import BATCH, CONFIGS

TOKENIZER = Tokenizer.from_characters(["abcdef"], adds_bos=True)  # 7 tokens
FLOAT64 = DeviceConfig(dtype="float64")


@given(st.data(), models())
@settings(max_examples=50)
def test_losses_of_the_tokens_add_up_to_the_loss(
    data: st.DataObject, model: tuple[ModelConfig, Weights]
) -> None:
    config, weights = model
    batch = data.draw(batches(config))
    trace = trace_batch(config, weights, batch)
    tokens = [
        token
        for sequence in range(batch.shape[0])
        for token in read_sequence(trace, TOKENIZER, 3, sequence).tokens
    ]
    losses = [token.loss for token in tokens if token.loss is not None]
    assert len(losses) == batch.num_targets
    assert math.fsum(losses) / len(losses) == pytest.approx(float(trace.values[LOSS]), rel=1e-12)
    for token in tokens:
        if token.loss is not None:
            assert token.probability == pytest.approx(math.exp(-token.loss), rel=1e-9)


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_predictions_are_those_of_the_scalar_engine(model_type: str) -> None:
    config = CONFIGS[model_type]
    weights = random_weights(config, seed=1)
    reading = read_sequence(trace_batch(config, weights, BATCH), TOKENIZER, top=3)
    ids = [token.id for token in reading.tokens]
    assert ids == [1, 2, 3, 2, 1, 5]
    assert [token.text for token in reading.tokens] == [*"bcdcbf"]
    engine = open_engine("scalar", config, weights, device_config=FLOAT64)
    for token, row in zip(reading.tokens[1:], engine.logits(ids[:-1])):
        total = math.fsum(map(math.exp, row))
        best = sorted(range(7), key=lambda v: -row[v])
        assert [candidate.id for candidate in token.candidates] == best[:3]
        assert token.rank == best.index(token.id) + 1
        for candidate in token.candidates:
            assert candidate.probability == pytest.approx(math.exp(row[candidate.id]) / total)
            assert candidate.text == token_text(TOKENIZER, candidate.id)
        assert token.probability == pytest.approx(math.exp(row[token.id]) / total)


@given(models(), st.data())
@settings(max_examples=50)
def test_the_last_layer_of_the_lens_is_the_model(
    model: tuple[ModelConfig, Weights], data: st.DataObject
) -> None:
    config, weights = model
    trace = trace_batch(config, weights, data.draw(batches(config)))
    layers = list(logit_lens(trace))
    assert len(layers) == config.n_layer + 1
    np.testing.assert_array_equal(layers[-1], trace.values[LOGITS])


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_a_layer_of_the_lens_is_a_model_of_fewer_layers(model_type: str) -> None:
    config = CONFIGS[model_type]
    weights = random_weights(config, seed=1)
    trace = trace_batch(config, weights, BATCH)
    fewer = replace(config, n_layer=1, attention_windows=config.attention_windows[:1])
    engine = open_engine("lists", fewer, weights, device_config=FLOAT64)
    ids = [token.id for token in read_sequence(trace, TOKENIZER).tokens]
    expected = engine.logits(ids[:-1])
    np.testing.assert_allclose(list(logit_lens(trace))[1][0], expected, rtol=1e-12, atol=1e-12)


def test_the_lens_of_the_embeddings_has_no_layer() -> None:
    config = CONFIGS["gpt2"]
    weights = random_weights(config, seed=1)
    trace = trace_batch(config, weights, BATCH)
    w = {name: np.array(weight.data).reshape(weight.shape) for name, weight in weights.items()}
    x = w["wte.weight"][[1, 2, 3, 2, 1]] + w["wpe.weight"][:5]
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config.norm_eps)
    expected = (n * w["ln_f.weight"] + w["ln_f.bias"]) @ w["wte.weight"].T
    np.testing.assert_allclose(next(logit_lens(trace))[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_each_token_has_a_lens_that_ends_in_its_prediction(model_type: str) -> None:
    config = CONFIGS[model_type]
    trace = trace_batch(config, random_weights(config, seed=1), BATCH)
    first, *tokens = read_sequence(trace, TOKENIZER).tokens
    assert first.lens == first.candidates == ()
    assert first.loss is first.probability is first.rank is None
    early = next(logit_lens(trace))[0]
    for token, row in zip(tokens, early):
        assert len(token.lens) == len(token.lens_probabilities) == config.n_layer + 1
        assert token.lens[-1].id == token.candidates[0].id
        assert token.lens[-1].probability == pytest.approx(token.candidates[0].probability)
        assert token.lens_probabilities[-1] == pytest.approx(token.probability)
        assert token.lens[0].id == row.argmax()
        shares = np.exp(row) / np.exp(row).sum()
        assert token.lens[0].probability == pytest.approx(shares.max())
        assert token.lens_probabilities[0] == pytest.approx(shares[token.id])


def test_a_prompt_is_predicted_but_has_no_loss() -> None:
    config = CONFIGS["llama"]
    weights = random_weights(config, seed=1)
    sequence = [1, 2, 3, 2, 1, 5]
    whole = read_sequence(trace_batch(config, weights, Batch.from_sequences([sequence])), TOKENIZER)
    batch = Batch.from_sequences([sequence, [1, 2]], num_prompt_tokens=[4, 1])
    found = read_sequence(trace_batch(config, weights, batch), TOKENIZER)
    assert [token.id for token in found.tokens] == sequence
    assert [token.loss is None for token in found.tokens] == [True] * 4 + [False] * 2
    for token, other in zip(found.tokens[1:], whole.tokens[1:]):
        assert token.probability == pytest.approx(other.probability, rel=1e-12)
        assert token.rank == other.rank
        assert token.lens[0].id == other.lens[0].id
        assert token.lens[0].probability == pytest.approx(other.lens[0].probability, rel=1e-12)


def test_texts_of_tokens_are_visible() -> None:
    tokenizer = Tokenizer.train_bpe(["é é \n"] * 2, 300, adds_bos=True)
    half = next(token for token in range(300) if tokenizer.token_bytes(token) == b"\xc3")
    assert token_text(tokenizer, half) == r"\xc3"
    assert token_text(tokenizer, tokenizer.encode("\n")[0]) == r"\n"
    assert token_text(tokenizer, tokenizer.eot_token_id) == END_OF_TEXT
    assert token_text(tokenizer, 9999) == "<9999>"
    assert token_text(TOKENIZER, 0) == "a"
    assert [i for i in range(8) if is_special(TOKENIZER, i)] == [TOKENIZER.eot_token_id, 7]

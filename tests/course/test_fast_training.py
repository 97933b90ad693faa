"""The fast training of the course: the numbers of `microgpt.py`."""

from __future__ import annotations

import copy
import random

import pytest

import microgpt
from anexa.course.exercises.teachers import ROUNDS, train
from anexa.course.fast_training import fast_gradient, fast_loss, fast_shares, fast_train
from microgpt import Value

DOCS = ["samos", "chios", "thera", "santorini thera kaldera"]  # the last one exceeds the context


@pytest.fixture
def model() -> microgpt.Model:
    return microgpt.Model(DOCS, random.Random(7))


def numbers(model: microgpt.Model) -> list[float]:
    return [value.data for value in model.parameters]


def test_it_trains_as_microgpt_does(model: microgpt.Model) -> None:
    other = copy.deepcopy(model)
    losses = list(fast_train(model, DOCS, 10))
    assert losses == pytest.approx(list(microgpt.train(other, DOCS, 10)), rel=1e-12)
    assert numbers(model) == pytest.approx(numbers(other), rel=1e-9, abs=1e-12)


def test_weights_that_change_between_steps_count(model: microgpt.Model) -> None:
    def train(trainer: object, model: microgpt.Model) -> list[float]:
        losses = []
        for loss in trainer(model, DOCS, 6):  # type: ignore[operator]
            losses.append(loss)
            model.weights["wte"][0][0].data = 0.5
            for value in model.weights["layer0.attn_wo"][2]:
                value.data = 0.0
        return losses

    other, plain = copy.deepcopy(model), copy.deepcopy(model)
    losses = train(fast_train, model)
    assert losses == pytest.approx(train(microgpt.train, other), rel=1e-12)
    assert losses != pytest.approx(list(fast_train(plain, DOCS, 6)), rel=1e-6)


def test_loss_and_gradient_of_a_document(model: microgpt.Model) -> None:
    for doc in (DOCS[0], DOCS[3]):
        tokens = [model.bos, *map(model.chars.index, doc), model.bos]
        predictions = zip(tokens[1:], microgpt.gpt(model, tokens))
        losses = [-microgpt.softmax(logits)[target].log() for target, logits in predictions]
        loss = sum(losses[1:], losses[0]) / len(losses)
        assert isinstance(loss, Value)
        slopes = microgpt.gradients(loss)
        expected = [slopes.get(value, 0.0) for value in model.parameters]
        assert fast_loss(model, doc) == pytest.approx(loss.data, rel=1e-12)
        assert fast_gradient(model, doc) == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_shares_add_up_to_the_change_of_the_loss(model: microgpt.Model) -> None:
    other, text = copy.deepcopy(model), "samos thera"
    before = fast_loss(model, text)
    shares = fast_shares(model, DOCS, 8, text)
    list(fast_train(other, DOCS, 8))
    assert numbers(model) == pytest.approx(numbers(other), rel=1e-9, abs=1e-12)
    assert list(shares) == DOCS
    assert sum(shares.values()) == pytest.approx(fast_loss(model, text) - before, rel=0.05)


def test_shares_equal_those_of_the_glass_box() -> None:
    docs, text = ("ann", "otto", "nina"), "anna"
    shares = train(docs, 5, text).shares
    model = microgpt.Model([*docs, text], random.Random(5))
    assert fast_shares(model, docs, len(docs) * ROUNDS, text) == pytest.approx(shares, rel=1e-9)

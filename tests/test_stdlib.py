"""Tests that need nothing but plain Python; `bazel test` runs this file, as pytest does.

PYTHONPATH=.:src python tests/test_stdlib.py
"""

from __future__ import annotations

import math
import random
from array import array

import microgpt
from anexa.engines import Batch, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights, initial_weights

ISLANDS = ["samos", "ithaka", "chios", "korfu", "naxos", "rhodos", "kos"]


def loss_of(model: microgpt.Model, tokens: list[int]) -> microgpt.Value:
    """Return the mean of −log p(next token), the training loss."""
    predictions = zip(tokens[1:], microgpt.gpt(model, tokens))
    losses = [-microgpt.softmax(logits)[target].log() for target, logits in predictions]
    return sum(losses[1:], losses[0]) / len(losses)


def island(model: microgpt.Model, name: str) -> list[int]:
    return [model.bos, *map(model.chars.index, name), model.bos]


def test_gradients_are_central_differences() -> None:
    model = microgpt.Model(ISLANDS, random.Random(1))
    tokens = island(model, "naxos")
    grads = microgpt.gradients(loss_of(model, tokens))
    step = 1e-5
    for p in random.Random(2).sample(model.parameters, 20):
        number = p.data
        p.data = number + step
        up = loss_of(model, tokens).data
        p.data = number - step
        down = loss_of(model, tokens).data
        p.data = number
        assert math.isclose(grads.get(p, 0.0), (up - down) / (2 * step), rel_tol=1e-4, abs_tol=1e-8)


def test_training_begins_at_chance_and_learns() -> None:
    model = microgpt.Model(["ab"], random.Random(3))
    losses = list(microgpt.train(model, ["ab"], steps=40))
    assert math.isclose(losses[0], math.log(3), rel_tol=0.25), "a guess among a, b and the end"
    assert losses[-1] < 0.2
    rng = random.Random(4)
    assert [microgpt.inference(model, rng) for _ in range(5)].count("ab") >= 4


def test_the_engines_compute_what_microgpt_does() -> None:
    """The same weights under Anexa's names: loss and gradients, by two other ways."""
    model = microgpt.Model(ISLANDS, random.Random(5))
    weights = {}
    for name, matrix in model.weights.items():
        numbers = array("d", [value.data for row in matrix for value in row])
        name = name.replace("layer", "layers.") + ".weight"
        weights[name] = Weight((len(matrix), len(matrix[0])), numbers)
    config = ModelConfig("microgpt", model.bos + 1, 16, 16, 4, 1)
    tokens = island(model, "ithaka")
    loss = loss_of(model, tokens)
    grads = microgpt.gradients(loss)
    expected = [grads.get(p, 0.0) for p in model.parameters]
    for engine in ("scalar", "lists"):
        found, gradients = open_engine(engine, config, weights).gradients(
            Batch.from_sequences([tokens])
        )
        assert math.isclose(found, loss.data, rel_tol=1e-12)
        assert close(numbers_of({name: gradients[name] for name in weights}), expected)


def test_scalar_and_lists_agree() -> None:
    """Gradients by the chain rule and derived by hand, in every architecture."""
    batch = Batch.from_sequences([[1, 5, 2, 6, 0, 3], [6, 6, 2]])
    for model_type in ("microgpt", "gpt2", "llama", "mistral", "qwen2", "qwen3"):
        config = ModelConfig(model_type, 7, 6, 4, 2, 1)
        rng = random.Random(6)
        weights = {
            name: Weight(w.shape, array("d", [x + rng.gauss(0, 0.3) for x in w.data]))
            for name, w in initial_weights(config, rng).items()
        }
        results = [open_engine(e, config, weights).gradients(batch) for e in ("scalar", "lists")]
        (loss, gradients), (other_loss, other_gradients) = results
        assert math.isclose(loss, other_loss, rel_tol=1e-12)
        assert gradients.keys() == other_gradients.keys() == weights.keys()
        assert close(numbers_of(gradients), numbers_of(other_gradients))


def numbers_of(weights: Weights) -> list[float]:
    return [number for weight in weights.values() for number in weight.data]


def close(numbers: list[float], expected: list[float]) -> bool:
    """Whether all differences are below 1e-9, relative to the largest number."""
    bound = 1e-9 * max(map(abs, expected))
    return len(numbers) == len(expected) and all(
        abs(number - other) <= bound for number, other in zip(numbers, expected)
    )


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()

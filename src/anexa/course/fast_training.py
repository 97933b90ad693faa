"""The training of `microgpt.py` by the engine `numpy`: the same numbers, many times as fast."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

import microgpt
from anexa.engines import Batch, DeviceConfig, OptimizerConfig, open_engine
from anexa.engines.numpy import NumpyEngine
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights

# Configuration of the optimizer of `microgpt.py`, but for its learning rate.
ADAM_CONFIG = OptimizerConfig(microgpt.BETA1, microgpt.BETA2, microgpt.EPSILON)


def fast_train(model: microgpt.Model, docs: Sequence[str], steps: int) -> Iterator[float]:
    """Train a model as `microgpt.train` does, and yield the loss of each step in nats per token.

    A step is made when its loss is asked for; the loss is that before the weights change.
    Between two steps the weights may be changed: the next step starts from them. Losses and weights
    equal those of `microgpt.train` but for the last digits.

    Args:
        model: model to train; its weights are changed in place.
        docs: one document for each step, again from the first after the last.
        steps: number of steps, over which the learning rate falls.

    Raises:
        ValueError: if a document has a letter that the model does not know.
    """
    engine = open_numpy_engine(model)
    for step in range(steps):
        rate = microgpt.LEARNING_RATE * (1 - step / steps)
        copy_weights(model, engine)
        loss = engine.train_step(batch_of(model, docs[step % len(docs)]), rate).loss
        _write_weights(model, engine)
        yield loss


def open_numpy_engine(model: microgpt.Model) -> NumpyEngine:
    """Open an engine with a copy of the weights of a model, in float64, as Python's numbers."""
    weights: Weights = {}
    for name, matrix in model.weights.items():
        numbers = array("d", [value.data for row in matrix for value in row])
        weights[_engine_name(name)] = Weight((len(matrix), len(matrix[0])), numbers)
    config = ModelConfig(
        "microgpt",
        model.bos + 1,
        microgpt.BLOCK_SIZE,
        microgpt.N_EMBD,
        microgpt.N_HEAD,
        microgpt.N_LAYER,
    )
    exact = DeviceConfig("cpu", "float64")
    engine = open_engine("numpy", config, weights, device_config=exact, optimizer=ADAM_CONFIG)
    return cast("NumpyEngine", engine)


def batch_of(model: microgpt.Model, doc: str) -> Batch:
    """Return the batch that has a document alone, between two tokens `bos`.

    A document that is too long for the context is cut.

    Raises:
        ValueError: if the document has a letter that the model does not know.
    """
    tokens = [model.bos, *map(model.chars.index, doc), model.bos]
    return Batch.from_sequences([tokens[: microgpt.BLOCK_SIZE + 1]])


def copy_weights(model: microgpt.Model, engine: NumpyEngine) -> None:
    """Set the weights of an engine, in place, to those of a model of the same sizes."""
    for name, matrix in model.weights.items():
        engine.arrays[_engine_name(name)][:] = [[value.data for value in row] for row in matrix]


def _write_weights(model: microgpt.Model, engine: NumpyEngine) -> None:
    for name, matrix in model.weights.items():
        numbers = np.asarray(engine.arrays[_engine_name(name)]).tolist()
        for row, new in zip(matrix, numbers):
            for value, number in zip(row, new):
                value.data = number


def _engine_name(name: str) -> str:
    """Return Anexa's name of a weight of `microgpt.py`."""
    return name.replace("layer", "layers.") + ".weight"


def fast_loss(model: microgpt.Model, doc: str) -> float:
    """Return the loss of a document in nats per token, as `microgpt.train` computes it."""
    return open_numpy_engine(model).loss(batch_of(model, doc))


def fast_gradient(model: microgpt.Model, doc: str) -> list[float]:
    """Return the gradient of the loss of a document, one number for each of `model.parameters`."""
    gradients = open_numpy_engine(model).gradients(batch_of(model, doc))[1]
    return [number for name in model.weights for number in gradients[_engine_name(name)].data]


def fast_shares(
    model: microgpt.Model, docs: Sequence[str], steps: int, text: str
) -> dict[str, float]:
    """Train a model as `fast_train` does, and split the change of a text's loss among documents.

    Args:
        model: model to train; its weights are changed in place.
        docs: one document for each step, all different, again from the first after the last.
        steps: number of steps.
        text: text whose loss is followed.

    Returns:
        The share of each document, in nats: the sum over all steps and weights of the document's
        part of Adam's m times the change of the text's loss for each unit of m.
    """
    beta1, beta2 = ADAM_CONFIG.beta1, ADAM_CONFIG.beta2
    shares = dict.fromkeys(docs, 0.0)
    v = [0.0] * len(model.parameters)
    pots = {doc: list(v) for doc in docs}  # together they are m
    before = fast_gradient(model, text)
    for t in range(1, steps + 1):
        doc = docs[(t - 1) % len(docs)]
        gradient = fast_gradient(model, doc)
        v = [beta2 * vi + (1 - beta2) * g**2 for vi, g in zip(v, gradient)]
        for other in docs:
            pots[other] = [beta1 * pot for pot in pots[other]]
        pots[doc] = [pot + (1 - beta1) * g for pot, g in zip(pots[doc], gradient)]
        rate = microgpt.LEARNING_RATE * (1 - (t - 1) / steps)
        m_bias, v_bias = ADAM_CONFIG.bias_corrections(t)
        speed = [-rate / m_bias / ((vi / v_bias) ** 0.5 + ADAM_CONFIG.eps) for vi in v]
        for weight, s, *parts in zip(model.parameters, speed, *pots.values()):
            weight.data += s * sum(parts)
        after = fast_gradient(model, text)
        slopes = [s * (b + a) / 2 for s, b, a in zip(speed, before, after)]
        for other in docs:
            shares[other] += sum([slope * pot for slope, pot in zip(slopes, pots[other])])
        before = after
    return shares

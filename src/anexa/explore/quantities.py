"""Whole tensors of a scene by quantity, and the file that carries them to the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import safetensors.numpy

from anexa.errors import UsageError
from anexa.explore.rule import Array
from anexa.explore.scene import Scene
from anexa.explore.session import Session, hurry
from anexa.model.weights import Weight

QuantityName: TypeAlias = Literal[
    "value", "gradient", "change", "difference", "m", "v", "clipped", "update"
]
QUANTITIES: tuple[QuantityName, ...] = get_args(QuantityName)


def read_tensor(
    session: Session, scene: Scene, name: str, quantity: QuantityName, versus: Scene
) -> Array:
    """Read a tensor.

    Args:
        session: the open folders.
        scene: the scene.
        name: name of the tensor.
        quantity: kind of numbers. "change": of a run's weight by the step that led to the scene;
            "difference": here minus in `versus`; "m" and "v": the optimizer's moments after the
            step.
        versus: scene that a "difference" subtracts.

    Raises:
        AnexaError: if the scene has no such tensor, or the tensor no such quantity.
    """
    trace = session.trace(scene)
    if name not in trace.values:
        raise UsageError(f"there is no tensor {name} in this model")
    if quantity == "value":
        return trace.values[name]
    if quantity == "gradient":
        if name not in trace.grads:
            raise UsageError(f"{name} is an intermediate result without a gradient")
        return trace.grads[name]
    if quantity == "difference":
        other = session.trace(versus).values.get(name)
        if other is None or other.shape != trace.values[name].shape:
            raise UsageError(f"{name} has another shape where it is compared with")
        return np.asarray(trace.values[name] - other)
    return _read_of_run(session, scene, name, quantity)


def _read_of_run(session: Session, scene: Scene, name: str, quantity: QuantityName) -> Array:
    folder = session.folder(scene.folder)
    if (
        name not in folder.model.weights
        or scene.step is None
        or quantity not in ("change", "m", "v")
    ):
        raise UsageError(f"{name} has no {quantity}: only a weight of a run at a step has one")
    run = folder.run
    moment = hurry(run.state(scene.step))
    if quantity == "change":
        before = hurry(run.state(max(scene.step - 1, run.first_step)))
        return to_array(moment.weights[name]) - to_array(before.weights[name])
    found = moment.moments.get(f"{quantity}.{name}")
    if found is None:
        raise UsageError(f"{name} has no {quantity} at step {scene.step}")
    return to_array(found)


def to_array(weight: Weight) -> Array:
    """Return a weight as an array in its own precision."""
    found: Array = np.frombuffer(weight.data, weight.data.typecode).reshape(weight.shape)
    return found


def encode_tensors(tensors: Mapping[str, Array], about: Mapping[str, Any]) -> bytes:
    """Write tensors as the content of a safetensors file.

    Args:
        tensors: the tensors by name.
        about: further facts for the page, as JSON in the metadata's field "about".
    """
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors.numpy.save(arrays, {"about": json.dumps(about)})
